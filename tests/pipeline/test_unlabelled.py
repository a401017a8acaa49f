"""Examples without labels: the task teacher labels them for the student."""

import io
import json

import pytest

from bistil.errors import BistilError
from bistil.pipeline.runs import transfer_tasks
from bistil.pipeline.taskdata import TaskData
from bistil.planning.planned import plan
from bistil.planning.walk import walk
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.training import transfer


@pytest.fixture
def pairs(experiment, tmp_path):
    """A function that makes a recipe of pairs of texts, with such examples in some languages."""

    def write(name, rows):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return str(tmp_path / name)

    rows = [{"text": f"text {number}", "text_pair": "b", "label": "ab"[number % 2]} for number in range(40)]
    train = write("pairs.jsonl", rows)

    def make(**unlabelled):
        task = {
            "kind": "classification",
            "train": train,
            "test": {"tr": train},
            "batch_size": 4,
            "epochs": [1, 1],
            "min_steps": 0,
            "unlabelled": {code: write(f"{code}.jsonl", own) for code, own in unlabelled.items()},
        }
        own = {"tasks": [task], "seeds": [0], "baselines": [], "out": str(tmp_path / "out")}
        return Recipe.model_validate(experiment | own)

    return make


EN = [{"text": f"word {number}", "text_pair": "c"} for number in range(8)]
TR = [{"text": f"söz {number}", "text_pair": "ç", "label": "never heard of"} for number in range(12)]


@pytest.mark.slow
def test_the_student_learns_from_them_in_their_languages_and_the_plan_counts_them(pairs, monkeypatch):
    recipe, seen = pairs(en=EN, tr=TR), {}
    distill = transfer.distill_task

    def noted(teacher, student, alignment, features, *rest):
        seen.update({code: len(own) for code, own in features.items()})
        return distill(teacher, student, alignment, features, *rest)

    monkeypatch.setattr(transfer, "distill_task", noted)
    (before,) = [own.work for own in plan(pairs()).stages if own.title == "Distilling: task student"]
    (work,) = [own.work for own in plan(recipe).stages if own.title == "Distilling: task student"]
    transfer_tasks(recipe, Progress(io.StringIO()))
    assert seen == {"en": 36 + 8, "tr": 12}
    assert work.tokens == pytest.approx(before.tokens * (36 + 8 + 12) / 36, rel=0.1)
    manifest = json.loads(next((recipe.out / "stages").glob("task-student-*/manifest.json")).read_text("utf-8"))
    assert set(manifest["inputs"]["unlabelled"]) == {"en", "tr"}


def test_only_the_student_is_made_anew_and_only_where_they_change(pairs):
    def names(recipe):
        with walk(recipe) as found:
            return {step.name: step.folder.path.name for step in found.steps}

    without, first, second = names(pairs()), names(pairs(tr=TR)), names(pairs(tr=TR[:5]))
    changed = {"task-student", "evaluation", "efficiency"}
    for one, other in ((without, first), (first, second)):
        assert {name for name in one if one[name] != other[name]} <= changed
        assert one["task-student"] != other["task-student"]


def test_labels_are_not_read(pairs):
    data = TaskData.read(pairs(tr=TR).tasks[0])
    counts = {"train_examples": 36, "unlabelled_examples": {"tr": 12}, "tests": {"tr": {"examples": 40}}}
    assert data.counts == counts
    assert "unlabelled_examples" not in TaskData.read(pairs().tasks[0]).counts
    assert data.task.labels == ("a", "b")
    assert [one.texts for one in data.unlabelled["tr"]] == [(row["text"], row["text_pair"]) for row in TR]


@pytest.mark.parametrize(
    ("unlabelled", "said"),
    [
        ({"de": EN}, "tasks.0.unlabelled has de; the student only knows en and tr"),
        ({"tr": [{"text": "alone"}]}, "tr.jsonl, line 1: a single text, where the training examples are pairs"),
        ({"tr": [{"premise": "alone"}]}, "tr.jsonl, line 1: there is no column 'text'"),
    ],
)
def test_what_is_wrong_is_said(pairs, unlabelled, said):
    with pytest.raises((BistilError, ValueError), match=said):
        TaskData.read(pairs(**unlabelled).tasks[0])


@pytest.mark.slow
def test_a_file_that_is_missing_or_empty_is_named(pairs):
    recipe = pairs(tr=[])
    with pytest.raises(BistilError, match=r"tasks\.0\.unlabelled\.tr: .*tr\.jsonl is empty\. Give a file with"):
        recipe.check_files()
    recipe.tasks[0].unlabelled["tr"].unlink()
    with pytest.raises(BistilError, match=r"tasks\.0\.unlabelled\.tr: there is no file"):
        recipe.check_files()
    assert any("unlabelled.tr not there yet" in note for note in plan(recipe).notes)
