"""Texts as nobody would write them: the same answer from every engine, or one sentence; and bounded memory."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.cli.test_predict import status
from tests.runtime.conftest import LABELS
from tests.runtime.test_engine import same
from tests.test_light_install import ROOT
from transformers import AutoTokenizer

import bistil
from bistil.errors import BistilError
from bistil.tasks import saved

KINDS = tuple(LABELS)
W = "öğretmen kitabı okuyor, "
TEXTS = {
    "empty": "",
    "blank": " \t\n\u00a0\u2028 ",
    "a NUL": "\0",
    "NULs": "kedi\0 uyu\0du \0",
    "control characters": "\x01\x02 kedi\x7f\x85\x1b[31m",
    "invisible": "\u200b\u200d\ufeff\u202e",
    "unknown only": "这是一个完全不同的语言",
    "marks without end": "a" + 3000 * "\u0301",
    "special tokens": "<s> kedi </s><pad> <unk><mask>",
    "a long word": 100_000 * "a",
    "a long word of known pieces": 12_500 * "öğretmen",
    "signs": 3000 * "!",
    "lines": 3000 * "a\n",
    "one letter becomes many": 300 * "\ufdfa",
}
HALVES = ("ke\ud83ddi", "\udc00", "\ud83d" * 3)


@pytest.fixture(scope="module")
def models(exported):
    """By kind and engine, opened when they are first asked for."""
    opened = {}

    def model(kind, engine):
        if (kind, engine) not in opened:
            opened[kind, engine] = bistil.load(exported[kind], engine=engine)
        return opened[kind, engine]

    return model


def inputs(kind, text):
    """All that a task may be given with this text in it."""
    if kind == "qa":
        pairs = (("Kim?", text), (text, "Kedi uyudu."), (text, text))
        return [{"question": question, "context": context} for question, context in pairs]
    if kind == "classification":
        return [text, {"text": text, "text_pair": text}, ("kedi", text)]
    return [text, *([{"tokens": [text]}] if text.strip() and not set(text) & set("\t\n") else [])]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_engine_says_the_same(kind, name, models):
    for given in inputs(kind, TEXTS[name]):
        results = {}
        for engine in saved.ENGINES:
            model = models(kind, engine)
            example = model.example(given, "it")
            (prediction,) = model.predict([example])
            found = results[engine] = model.learned.result(example, prediction)
            assert repr(found)
            assert found._repr_html_()
            assert model.learned.render(example, prediction).encode()
            for word in getattr(found, "words", ()):
                assert found.text[word.start : word.end] == word.text
        same(results["onnx"], results["torch"])


@pytest.mark.parametrize("text", HALVES, ids=ascii)
@pytest.mark.parametrize("kind", KINDS)
def test_half_of_a_character(kind, text, models):
    model = models(kind, "int8")
    for given in [
        *inputs(kind, text),
        *([{"tokens": ["kedi", text]}] if kind in ("pos", "ner", "parsing") else []),
    ]:
        with pytest.raises(BistilError, match="half of a character") as caught:
            model([given])
        assert "\n" not in str(caught.value)
        str(caught.value).encode()
    rows = {
        "pos": {"tokens": [text], "upos": ["NOUN"]},
        "ner": {"tokens": [text], "ner_tags": ["O"]},
        "parsing": {"tokens": [text], "head": [0], "deprel": ["root"]},
        "classification": {"text": text, "label": "food"},
        "qa": {"question": text, "context": text, "answers": []},
    }
    with pytest.raises(BistilError, match=r"data\[0\]: .* half of a character"):
        model.evaluate([rows[kind]])


def test_half_of_a_character_to_train_on(exported, tmp_path):
    with pytest.raises(BistilError, match=r"The text of tr: .* half of a character"):
        bistil.trim(exported["student"], text={"tr": ["kedi", "\ud83d"]}, output_dir=tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_none(kind, models):
    model = models(kind, "int8")
    for given in ({}, {1: "a"}, {None: None}, {"text": 3, "tokens": 3, "question": 3, "context": 3}):
        with pytest.raises(BistilError):
            model(given)
        with pytest.raises(BistilError):
            model.evaluate([given])
    with pytest.raises(BistilError, match=r"Cannot read|are read from|is not"):
        model.evaluate("a\0b.txt")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ["int8", "torch"])
def test_threads_say_what_one_says(engine, kind, models):
    model = models(kind, engine)
    texts = ["bir", 60 * "Öğretmen kitabı okuyor, ", "Kedi uyudu.", "", 300 * "a "]
    given = [inputs(kind, text)[0] for text in texts]
    alone = [repr(model(one)) for one in given]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: repr(model(given[number % len(given)])), range(30)))
    assert found == [alone[number % len(alone)] for number in range(30)]


def test_texts_are_cut_as_transformers_cuts_them(exported, models):
    tokenizer = AutoTokenizer.from_pretrained(exported["classification"])
    model = models("classification", "torch")
    every = [*TEXTS.values(), 100 * W]
    for first, second in zip(every, reversed(every), strict=True):
        pair = len(first) + len(second) < 30_000  # for more it takes gigabytes
        texts = ([first], [second]) if pair else ([first],)
        batch = tokenizer(*texts, truncation=True, max_length=128, return_tensors="pt")
        expected = model.network(**batch).logits.softmax(-1)[0].tolist()
        found = model({"text": first, "text_pair": second}) if pair else model(first)
        assert list(map(found.probabilities.get, model.labels)) == pytest.approx(expected, abs=1e-5)


def test_very_many_texts(models):
    for kind in KINDS:
        model = models(kind, "int8")
        one = inputs(kind, "kedi uyudu")[0]
        assert {repr(found) for found in model(one for _ in range(2000))} == {repr(model(one))}


LIMITED = """
import json, resource, sys
import bistil

folder, engine, texts = sys.argv[1], sys.argv[2], json.load(sys.stdin)
model = bistil.load(folder, engine=engine)
model(texts["short"])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
now = int(status["VmSize"].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (now + int(sys.argv[3]), now + int(sys.argv[3])))
print(len(repr(model(texts["long"]))))
"""


def limited(folder, engine, short, long, room):
    """Runs a model that may take so many bytes more than it has after its first answer."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), engine, str(room)],
        input=json.dumps({"short": short, "long": long}),
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is the kernel's")
@pytest.mark.parametrize("kind", ["classification", "qa"])
def test_memory_of_two_long_texts(kind, exported):
    """What is cut off one is not framed with each piece that is cut off the other, which took gigabytes."""
    limited(exported[kind], "int8", *(inputs(kind, text)[-1] for text in ("kedi", 4000 * W)), 250_000_000)
    if kind == "classification":
        pair = {"text": 4000 * W, "text_pair": 4000 * W}
        limited(exported[kind], "int8", "kedi", pair, 250_000_000)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is the kernel's")
@pytest.mark.parametrize("engine", ["int8", "torch"])
@pytest.mark.parametrize("kind", KINDS)
def test_memory_of_a_megabyte(kind, engine, exported):
    """At most 700 bytes a character beside the model."""
    text = (42_000 * W)[:1_000_000]
    for given in inputs(kind, text)[:: 2 if kind == "qa" else 1]:
        limited(exported[kind], engine, inputs(kind, "kedi")[0], given, 700_000_000)


def test_predict_reads_what_files_hold(exported, tmp_path, capsys):
    """A line of every text that a file can hold as one line."""
    texts = [text for text in TEXTS.values() if text.strip() and "\n" not in text]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    assert status("predict", str(exported["classification"]), str(tmp_path / "texts.txt")) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.rstrip("\n").split("\n")]
    assert [row["text"] for row in rows] == [text.strip() for text in texts]
    (tmp_path / "half.txt").write_bytes(b"ke\xed\xa0\xbddi\n")
    for kind in KINDS:
        assert status("predict", str(exported[kind]), str(tmp_path / "half.txt")) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "is not UTF-8" in line
