"""Task models in ONNX form say what they say in torch, and need no torch for it."""

import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.runtime.conftest import LABELS
from tests.test_light_install import BASE, ROOT
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

import bistil
from bistil.errors import BistilError
from bistil.exporting.graph import write_graph
from bistil.models.folder import save_model
from bistil.runtime import threads
from bistil.runtime.engine import OnnxEngine
from bistil.runtime.tokenizer import FolderTokenizer
from bistil.tasks import saved, task_kind
from bistil.tasks.inference import batched

TEXTS = [
    "Öğretmen sabahleyin taze ekmeği okuyor, 12.",
    "Komşum (bir öğrenci) 🙂 gördü!",
    "bir",
    " ".join(["Yaşlı doktor her hafta yeşil elmaları satıyor."] * 30),  # more than the model takes
]
QUESTIONS = [{"question": "Kim okuyor?", "context": text} for text in TEXTS]


@pytest.fixture(scope="module")
def folders(tiny_teacher, tiny_tokenizer, tmp_path_factory):
    """A task model in both forms for each kind."""
    found = {}
    for kind, labels in LABELS.items():
        folder = tmp_path_factory.mktemp(kind) / kind
        task = task_kind(kind)(labels)
        model = task.new_model(tiny_teacher, seed=1).eval()
        save_model(model, tiny_tokenizer, folder)
        (folder / "onnx").mkdir()
        write_graph(model, tiny_tokenizer, folder / "onnx/model.onnx")
        found[kind] = folder
    return found


def given(kind):
    return QUESTIONS if kind == "qa" else TEXTS


def same(one, other):
    """The same answers, and probabilities that differ in the last digits."""
    if isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-4)
    elif isinstance(one, dict | tuple | list):
        assert len(one) == len(other)
        for left, right in zip(*(x.values() if isinstance(x, dict) else x for x in (one, other)), strict=True):
            same(left, right)
    elif hasattr(one, "__dataclass_fields__"):
        same(vars(one), vars(other))
    else:
        assert one == other


@pytest.mark.parametrize("kind", LABELS)
def test_both_engines_say_the_same(kind, folders):
    onnx, torch_one = (bistil.load(folders[kind], engine=engine) for engine in ("onnx", "torch"))
    assert isinstance(onnx.network, OnnxEngine)
    assert (onnx.task, onnx.labels) == (torch_one.task, torch_one.labels)
    same(onnx(given(kind)), torch_one(given(kind)))
    assert isinstance(bistil.load(folders[kind]).network, OnnxEngine)


def test_no_torch_is_needed(folders, tmp_path):
    calls = {kind: (str(folder), given(kind)) for kind, folder in folders.items()}
    (tmp_path / "calls.json").write_text(json.dumps(calls))
    code = f"""{BASE}
import json, bistil
calls = json.load(open("calls.json"))
said = {{kind: list(map(repr, bistil.load(folder)(given))) for kind, (folder, given) in calls.items()}}
assert not {{"torch", "transformers"}} & sys.modules.keys()
print(json.dumps(said))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    here = {kind: list(map(repr, bistil.load(folder)(given(kind)))) for kind, folder in folders.items()}
    assert json.loads(done.stdout) == here


def test_several_threads_at_once(folders):
    model = bistil.load(folders["pos"])
    expected = [repr(model(text)) for text in TEXTS]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: repr(model(TEXTS[number % len(TEXTS)])), range(64)))
    assert found == [expected[number % len(TEXTS)] for number in range(64)]


def test_batches_beside_one_another_are_those_one_after_the_other(folders):
    chance, file = np.random.default_rng(0), folders["pos"] / "onnx/model.onnx"
    batches = [
        {
            name: chance.integers(low, high, (rows, tokens))
            for name, low, high in (("input_ids", 5, 90), ("attention_mask", 1, 2))
        }
        for rows, tokens in ((3, 7), (1, 12), (8, 4), (2, 30), (1, 1), (5, 9), (4, 11))
    ]
    expected = [OnnxEngine(file, {}, threads=1).run(batch)["logits"] for batch in batches]
    for threads_used in (1, 2, 3):
        found = list(OnnxEngine(file, {}, threads_used).each(iter(batches)))
        assert len(found) == len(batches)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one["logits"], other, atol=1e-6)
    assert list(OnnxEngine(file, {}, 2).each([])) == []
    broken = [*batches[:3], {"input_ids": np.array([[10**6]]), "attention_mask": np.ones((1, 1), int)}, *batches]
    engine = OnnxEngine(file, {}, 2)
    with pytest.raises(Exception, match="out of"):
        list(engine.each(broken))
    begun = engine.each(batches)
    next(begun)
    begun.close()
    np.testing.assert_allclose(next(engine.each(batches))["logits"], expected[0], atol=1e-6)


@pytest.mark.parametrize(("batch_size", "rows"), [(32, [1, 1, 5, 25, 2]), (4, [1, 1, 4, 1, 4, 4, 4, 4, 4, 4, 3])])
def test_a_batch_has_as_many_tokens_as_a_core_keeps_and_little_padding(batch_size, rows, folders):
    seen = []

    class Unrun(OnnxEngine):
        def run(self, batch):
            seen.append(batch["input_ids"].shape)
            return {"first": batch["input_ids"][:, 0]}

    engine = Unrun(folders["pos"] / "onnx/model.onnx", {}, threads=1)
    lengths = [10] * 10 + [50] * 4 + [300, 120] + [10] * 10 + [50] + [9] * 4 + [6, 5, 4]
    inputs = [{"input_ids": [number] * length} for number, length in enumerate(lengths)]
    found = {}
    for chosen, outputs in batched(engine, FolderTokenizer(folders["pos"], engine), inputs, batch_size):
        found |= dict(zip(chosen, outputs["first"].tolist(), strict=True))
    assert [count for count, _ in seen] == rows
    assert found == {number: number for number in range(len(inputs))}


def test_files_that_are_not_there_or_are_cut_off(folders, tmp_path):
    with pytest.raises(BistilError, match=r"has no onnx/model_quantized\.onnx\. Write it with: bistil export"):
        bistil.load(folders["pos"], engine="int8")
    with pytest.raises(BistilError, match=r"There is no engine 'tensorrt'\. Use int8, onnx, torch"):
        bistil.load(folders["pos"], engine="tensorrt")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folders["pos"] / name).read_bytes())
    (tmp_path / "onnx").mkdir()
    whole = (folders["pos"] / "onnx/model.onnx").read_bytes()
    (tmp_path / "onnx/model.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BistilError, match=r"model\.onnx cannot be loaded: .*Export the model again"):
        bistil.load(tmp_path)


def test_a_tokenizer_is_the_same_without_transformers(folders, tiny_tokenizer):
    _, own, _ = saved.load(folders["pos"], "onnx")
    for name in ("unk_token_id", "mask_token_id", "pad_token_id", "model_max_length", "model_input_names"):
        assert getattr(own, name) == getattr(tiny_tokenizer, name), name
    assert len(own) == len(tiny_tokenizer)
    assert own.get_vocab() == tiny_tokenizer.get_vocab()
    assert [own.num_special_tokens_to_add(pair) for pair in (False, True)] == [
        tiny_tokenizer.num_special_tokens_to_add(pair) for pair in (False, True)
    ]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, math.inf),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 2.0),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ({}, math.inf),
    ],
)
def test_the_limit_of_a_container(files, cores, tmp_path, monkeypatch):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert threads.limit(tmp_path) == cores
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "limit", lambda: cores)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    assert threads.available() == (8 if cores == math.inf else math.ceil(cores))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads.available() == 3


def test_what_a_tokenizer_of_transformers_does_not_write_down(tiny_lines, tmp_path):
    """BertTokenizer leaves out that it gives segments, by which a BERT tells two texts apart, and any limit."""
    words = sorted({word for lines in tiny_lines.values() for line in lines for word in line.split()})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(tokens)}, do_lower_case=False)
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, initializer_range=0.4, num_labels=3,
    )  # fmt: skip
    for one in (BertForSequenceClassification(config), tokenizer):
        one.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert "model_input_names" not in written
    assert written["model_max_length"] > 10**9
    bistil.export(tmp_path, quantize=None, progress=False)
    torch, onnx = (bistil.load(tmp_path, engine=engine) for engine in ("torch", "onnx"))
    texts = [*zip(tiny_lines["en"][:9], tiny_lines["en"][9:18], strict=True), (" ".join(words), "a")]
    for one, other in zip(torch(texts), onnx(texts), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)
