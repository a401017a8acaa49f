"""Arguments that are none: one sentence with the cure, before anything is read, fetched or written."""

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, DatasetDict

import bistil
from bistil.api.given import folder_of, label_map_of
from bistil.api.model import TaskModel
from bistil.errors import BistilError, BistilWarning
from bistil.pipeline.taskdata import TaskData
from bistil.recipe.parts import Task, validated
from bistil.tasks import Classification

LINES = {"en": ["A cat."], "tr": ["Bir kedi."]}
ROWS = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
MODEL = TaskModel(Path("none"), None, None, Classification(("x", "y")))


def trim(**settings):
    bistil.trim("./none", output_dir="out", **{"text": LINES, **settings})


def distill(**settings):
    bistil.distill("./none", text=LINES, output_dir="out", **settings)


def train(model="./none", **settings):
    bistil.train(model, task="classification", train=ROWS, output_dir="out", **settings)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: train(None), "The model is None. Give its folder or hub id"),
        (lambda: train(teacher=3), "The teacher is of the type int. Give its folder or hub id"),
        (lambda: train(label_map=["a"]), "label_map is of the type list. Give the new labels by the old ones"),
        (lambda: train(label_map={True: "a"}), "label_map has the label True. Give it as text, such as 'True'."),
        (lambda: train(label_map={"a": None}), "label_map has the label None. Give it as text"),
        (
            lambda: MODEL.evaluate(ROWS, language="english"),
            "language must be a language code such as en; got 'english'",
        ),
        (
            lambda: bistil.compare(MODEL, MODEL, test={"tr": ROWS, "english": ROWS}),
            "A key of test must be a language code such as en; got 'english'",
        ),
        (
            lambda: bistil.compare(MODEL, MODEL, test=DatasetDict(validation=Dataset.from_list(ROWS))),
            "test is of the type DatasetDict. Give one of its splits: ['validation']",
        ),
        (lambda: bistil.compare(None, "x", test=ROWS), "The first model is None"),
        (lambda: bistil.compare("x", "", test=ROWS), "The second model is ''"),
        (lambda: bistil.export(None), "The model is None"),
        (lambda: bistil.push_to_hub(None, "me/model"), "The model is None. Give its folder"),
        (lambda: bistil.distill(None, text=LINES, output_dir="out"), "The teacher is None"),
        (lambda: bistil.distill("x", text=LINES, output_dir=None), "output_dir is None. Give a folder"),
        (lambda: bistil.trim(np.array([1, 2]), text=LINES, output_dir="out"), "The model is of the type ndarray"),
        (lambda: bistil.run(None), "The recipe is None. Give a YAML file, or a Recipe"),
        (lambda: bistil.run({"name": "a"}), "The recipe is of the type dict. Give a YAML file, or a Recipe"),
        (lambda: bistil.run("a.yaml", overrides="seeds=[1]"), "overrides is of the type str. Give a list"),
        (lambda: bistil.run("a.yaml", overrides={"seeds": 1}), "overrides is of the type dict. Give a list"),
        (lambda: trim(top_k="many"), "trim: 'top_k' must be a valid integer"),
        (lambda: trim(top_k=2.5), "trim: 'top_k' must be a valid integer"),
        (lambda: trim(coverage="all"), "trim: 'coverage' must be a valid number"),
        (lambda: trim(vocab_size_multiple=0), "trim: 'vocab_size_multiple' must be greater than 0"),
        (lambda: trim(keep=None), "trim: 'keep' must be a list; got None"),
        (lambda: trim(keep=[3]), "trim: 'keep.0' must be a valid string; got 3"),
        (lambda: trim(text={"english": "en.txt"}), "must be a language code such as en; got 'english'"),
    ],
)
def test_what_is_no_argument(call, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BistilError) as caught:
        call()
    assert told in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("epochs", [3, [1], "12"])
def test_epochs_are_two(epochs):
    for key in ("epochs", "student_epochs"):
        with pytest.raises(BistilError, match=rf"'{key}' must be two numbers, such as \[1, 2\]; got"):
            validated(Task, {"kind": "pos", "train": "a", key: epochs}, "train")


@pytest.mark.parametrize("layers", [range(1, 3), np.array([1, 3]), [np.int64(1), 3], (2, 4), np.int64(2)])
def test_layers_of_any_kind(layers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BistilError, match=r"there|exist|folder"):  # of the teacher, which comes after the layers
        distill(layers=layers, progress=False)
    with pytest.raises(BistilError, match=r"'student.layers' must be"):
        distill(layers=[2.5], progress=False)


def test_a_label_that_no_file_has(tmp_path, recwarn):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(f'{{"text": "{n}", "label": "{"xy"[n % 2]}"}}' for n in range(20)))
    values = {"kind": "classification", "train": path, "test": {"tr": path}}

    def read(**labels):
        return TaskData.read(validated(Task, {**values, "label_map": labels}, "a"))

    assert set(read(x="z").task.labels) == {"y", "z"}
    assert not [one for one in recwarn if one.category is BistilWarning]
    with pytest.warns(BistilWarning, match="The task classification: No label is called zz, so none was renamed"):
        assert set(read(zz="x", x="z").task.labels) == {"y", "z"}


def test_labels_that_are_numbers_are_text_as_in_a_recipe():
    given = {0: "neg", 1.5: 2}
    assert label_map_of({**given, np.int64(3): "x"}) == {"0": "neg", "1.5": "2", "3": "x"}
    task = validated(Task, {"kind": "classification", "name": "a", "train": "a", "label_map": given}, "a")
    assert task.label_map == label_map_of(given)


def test_a_folder_to_write_may_be_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert folder_of("~/student", "output_dir") == tmp_path / "student"
    assert folder_of(Path("out"), "output_dir") == Path("out")
    with pytest.raises(BistilError, match=r"web is None\. Give a folder"):
        folder_of(None, "web")
