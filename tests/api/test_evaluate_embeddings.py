"""Sentence embedding models scored and compared, from Python and by `bistil eval`, on files and on rows."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import bistil
from bistil.cli import app, main
from bistil.errors import BistilError
from bistil.models.e5 import POOLING


@pytest.fixture(scope="module")
def folder(tiny_teacher, tiny_lines, tmp_path_factory):
    """Two models that pool differently, and files to score them on."""
    made = tmp_path_factory.mktemp("embeddings")
    for name, pooling in (("mean", POOLING), ("cls", replace(POOLING, mode="cls"))):
        shutil.copytree(tiny_teacher, made / name)
        pooling.save(made / name, 32)
    for code, lines in tiny_lines.items():
        (made / f"lines.{code}").write_text("\n".join(lines[:50]), encoding="utf-8")
    rows = [
        {"text": line, "label": "food" if "bread" in line or "apples" in line else "object"}
        for line in tiny_lines["en"]
    ]
    for name, part in (("train", rows[:120]), ("test", rows[120:])):
        (made / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)), encoding="utf-8")
    return made


def test_scores_are_those_of_the_vectors(folder, tiny_lines):
    model = bistil.load(folder / "mean")
    found = model.evaluate([folder / "lines.en", str(folder / "lines.tr")])
    one, other = (model.encode(tiny_lines[code][:50], prompt="query: ") for code in ("en", "tr"))
    there, back = ((own.argmax(1) == np.arange(50)).mean() for own in (one @ other.T, other @ one.T))
    assert found.scores == pytest.approx(
        {"mean_accuracy": 50 * (there + back), "src2trg_accuracy": 100 * there, "trg2src_accuracy": 100 * back}
    )
    assert (found.examples, found.per_label) == (50, {})
    assert "src2trg accuracy" in repr(found)


def test_rows_are_as_good_as_files(folder, tiny_lines):
    model = bistil.load(folder / "mean")
    rows = [
        {"en": one, "tr": other} for one, other in zip(*(own[:50] for own in tiny_lines.values()), strict=True)
    ]
    assert model.evaluate(rows).scores == model.evaluate((folder / "lines.en", folder / "lines.tr")).scores
    train = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    by_rows = model.evaluate(folder / "test.jsonl", train=train).scores
    assert by_rows == model.evaluate(folder / "test.jsonl", train=folder / "train.jsonl").scores
    assert by_rows["accuracy"] > 60


def test_two_models_are_compared(folder, tiny_lines):
    tests = {
        "en-tr": (folder / "lines.en", folder / "lines.tr"),
        "en-en": (folder / "lines.en", folder / "lines.en"),
    }
    found = bistil.compare(folder / "mean", folder / "cls", test=tests, progress=False)
    models = [bistil.load(folder / name) for name in ("mean", "cls")]
    for name, files in tests.items():
        assert found.scores[name] == tuple(model.evaluate(files).scores["mean_accuracy"] for model in models)
        sure = found.differences[name]
        assert sure.difference == pytest.approx(found.scores[name][0] - found.scores[name][1])
        assert sure.difference_low <= sure.difference <= sure.difference_high
    assert found.metric == "accuracy at 1"
    labels = bistil.compare(*models, test=folder / "test.jsonl", train=folder / "train.jsonl", progress=False)
    assert labels.metric == "accuracy"


@pytest.mark.parametrize("name", ["../../x", "ş" * 300, "a/b\0", ""])
def test_a_test_has_any_name(folder, tmp_path, monkeypatch, name):
    (tmp_path / "one/two").mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "one/two"))
    rows = [{"en": "A cat.", "tr": "Bir kedi."}, {"en": "A dog.", "tr": "Bir köpek."}]
    found = bistil.compare(folder / "mean", folder / "cls", test={name: rows}, progress=False)
    assert list(found.scores) == [name]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_an_exported_model_is_compared_with_its_original(folder):
    small = bistil.export(folder / "mean", folder / "exported", progress=False)
    rows = {"en-tr": (folder / "lines.en", folder / "lines.tr")}
    found = bistil.compare(small, folder / "mean", test=rows, progress=False)
    assert found.parameters[0] == found.parameters[1] > 0
    (folder / "exported/model.safetensors").unlink()
    found = bistil.compare(small, folder / "mean", test=rows, progress=False)
    assert found.parameters[0] == 0
    assert "ONNX files alone" in repr(found)


def test_models_and_tests_that_cannot_be_compared(folder, tiny_lines):
    lines, labels = (folder / "lines.en", folder / "lines.tr"), folder / "test.jsonl"
    rows = [{"sentence1": "a", "sentence2": "b", "score": 1}]
    for tests, told in (
        ({"a": lines, "b": rows}, "scored by mean_accuracy and by spearman"),
        ({}, "test is empty"),
        (labels, r"name the labelled texts to learn from, too \(train\)"),
        (folder / "none.tsv", "there is no file"),
    ):
        with pytest.raises(BistilError, match=told):
            bistil.compare(folder / "mean", folder / "cls", test=tests, progress=False)


def test_eval_says_what_python_says(folder):
    files = [str(folder / name) for name in ("lines.en", "lines.tr")]
    result = CliRunner().invoke(app, ["eval", str(folder / "mean"), *files, "--json"])
    assert json.loads(result.stdout)["scores"] == bistil.load(folder / "mean").evaluate(files).scores
    told = CliRunner().invoke(
        app, ["eval", str(folder / "mean"), str(folder / "test.jsonl"), "--train", str(folder / "train.jsonl")]
    )
    assert "80 examples, in per cent" in told.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lines.en"], "cannot be scored. Give two files of lines"),
        (["lines.en", "lines.tr", "--lenient"], "--lenient is for task models"),
        (["lines.en", "lines.tr", "--map", "a=b"], "--map is for task models"),
        (["test.jsonl", "--train", "none.jsonl"], "train: there is no file"),
    ],
)
def test_eval_says_what_is_wrong(folder, arguments, told, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["eval", "mean", *arguments]) == 2
    assert told in capsys.readouterr().err
