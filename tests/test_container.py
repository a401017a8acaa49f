"""The container of examples/: what goes into it, and that its steps make something that answers."""

import json

import pytest
from benchmarks.container import EXAMPLE, build, context, instructions, sent

import bistil
from bistil.exporting.graph import write_graph
from bistil.exporting.quantisation import quantise
from bistil.models.folder import save_model
from bistil.tasks import Classification

NEEDED = {"config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model_quantized.onnx"}


def test_only_the_wheel_and_what_a_deployment_needs_goes_in(tmp_path):
    for name in ("Dockerfile", ".dockerignore"):
        (tmp_path / name).write_bytes((EXAMPLE / name).read_bytes())
    others = {"model.safetensors", "onnx/model.onnx", "README.md", ".bistil.json", "train.jsonl"}
    for name in (*NEEDED, *others):
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_text(name)
    (tmp_path / "dist").mkdir()
    for name in ("bistil-1-py3-none-any.whl", "bistil-1.tar.gz"):
        (tmp_path / "dist" / name).write_text(name)
    expected = {"dist/bistil-1-py3-none-any.whl", *(f"model/{name}" for name in NEEDED)}
    assert {path.relative_to(tmp_path).as_posix() for path in sent(tmp_path)} == expected
    copied = [rest.split()[:-1] for word, rest in instructions(EXAMPLE / "Dockerfile") if word == "COPY"]
    assert {path for patterns in copied for pattern in patterns for path in tmp_path.glob(pattern)} == sent(
        tmp_path
    )


def test_it_does_not_run_as_root_and_calls_bistil_alone():
    steps = list(instructions(EXAMPLE / "Dockerfile"))
    users = [rest for word, rest in steps if word == "USER"]
    assert users
    assert not {"root", "0"} & {user.partition(":")[0] for user in users[-1:]}
    assert steps[0][0] == "FROM"
    (entry,) = (json.loads(rest) for word, rest in steps if word == "ENTRYPOINT")
    assert entry == ["bistil", "predict", "model"]


@pytest.mark.slow
@pytest.mark.network
def test_its_steps_make_something_that_answers(tiny_teacher, tiny_tokenizer, tmp_path):
    model = Classification(("food", "object")).new_model(tiny_teacher, seed=1).eval()
    folder = tmp_path / "exported"
    save_model(model, tiny_tokenizer, folder)
    (folder / "onnx").mkdir()
    quantise(
        write_graph(model, tiny_tokenizer, folder / "onnx/model.onnx").file, folder / "onnx/model_quantized.onnx"
    )
    made = build(context(folder, tmp_path / "context"), tmp_path / "root")
    files = {path.relative_to(made.work / "model").as_posix() for path in (made.work / "model").rglob("*.*")}
    assert files == NEEDED
    process = made.start()
    texts = ["Öğretmen taze ekmeği okuyor.", "", "kedi"]
    out, said = process.communicate("\n".join(texts))
    assert (process.returncode, said) == (0, "")
    found = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in found] == [text for text in texts if text]
    for row, label in zip(found, bistil.load(folder)([row["text"] for row in found]), strict=True):
        assert (row["label"], row["probability"]) == (label.label, pytest.approx(label.probability, abs=1e-4))
    wheel, installed, *copied = made.layers.values()
    assert sum(copied) == sum((folder / name).stat().st_size for name in NEEDED)
    assert wheel < 2_000_000 < installed
