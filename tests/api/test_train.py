"""What `bistil.train` leaves, and what it says of wrong arguments."""

import json
from pathlib import Path

import pytest
from tests import tiny

import bistil
from bistil import BistilError, Recipe
from bistil.cli import main
from bistil.errors import BistilWarning

LINES = tiny.lines()
ROWS = [{"text": line, "label": "food" if "bread" in line else "object"} for line in LINES["en"]]
TASK = {
    "task": "classification",
    "train": ROWS,
    "epochs": (1, 1),
    "batch_size": 32,
    "min_steps": 0,
    "progress": False,
}
SMALL = {"layers": 2, "tokens": 512, "sequence_length": 16, "batch_size": 8, "progress": False}


@pytest.fixture(scope="module")
def student(tiny_teacher, tmp_path_factory):
    """Where a student with seed 0 lies."""
    out = tmp_path_factory.mktemp("distilled") / "student"
    return bistil.distill(tiny_teacher, text=LINES, output_dir=out, **SMALL).output_dir


def weights(folder):
    return Path(folder, "model.safetensors").read_bytes()


def test_a_task_model_that_guesses_is_no_silent_success(tiny_teacher, tmp_path):
    """At a rate at which nothing is learned; of fewer labels nothing is said."""
    still = {**TASK, "teacher_learning_rate": 1e-9}
    assert len(ROWS) >= 100
    with pytest.warns(
        BistilWarning, match=r"the task model has learned nothing.*would be by chance.*3e-10 with batch_size: 64"
    ):
        bistil.train(tiny_teacher, output_dir=tmp_path / "still", validation=ROWS, **still)
    bistil.train(tiny_teacher, output_dir=tmp_path / "few", validation=ROWS[:20], **still)


@pytest.mark.slow
def test_the_recipe_has_the_seed_of_the_task(student, tiny_teacher, tmp_path):
    """With the student's own seed it makes the same model; with another it says that it does not."""
    bistil.train(student, teacher=tiny_teacher, output_dir=tmp_path / "other", seed=1, **TASK)
    assert Recipe.load(tmp_path / "other/recipe.yaml").seeds == (1,)
    told = "# Not the same model: its student was distilled with seed 0, the task was learned with seed 1.\n"
    assert (tmp_path / "other/recipe.yaml").read_text().startswith(told)
    ones = bistil.distill(tiny_teacher, text=LINES, output_dir=tmp_path / "ones", seed=1, **SMALL)
    bistil.train(ones, teacher=tiny_teacher, output_dir=tmp_path / "same", seed=1, **TASK)
    assert (tmp_path / "same/recipe.yaml").read_text().startswith("name:")
    with pytest.raises(SystemExit, match="0"):
        main(["transfer", str(tmp_path / "same/recipe.yaml"), "--set", f"out={tmp_path / 'run'}"])
    assert weights(tmp_path / "run/tasks/classification") == weights(tmp_path / "same")


@pytest.mark.slow
def test_the_teacher_labels_examples_without_labels(student, tiny_teacher, tmp_path):
    further = {"tr": [{"text": line} for line in LINES["tr"][:24]]}
    settings = {**TASK, "pseudo_labels": 0, "unlabelled": further}
    bistil.train(student, teacher=tiny_teacher, output_dir=tmp_path / "out", **settings)
    (task,) = Recipe.load(tmp_path / "out/recipe.yaml").tasks
    assert len(task.unlabelled["tr"].read_text("utf-8").splitlines()) == 24
    manifest = next((tmp_path / "out/stages").glob("task-student-*/manifest.json")).read_text("utf-8")
    assert "tr" in json.loads(manifest)["inputs"]["unlabelled"]


@pytest.mark.slow
def test_the_student_of_a_run_with_several_seeds_and_further_languages(student, tiny_teacher, tmp_path):
    """The text of a baseline is left out with the baseline."""
    recipe = Recipe.load(student / "recipe.yaml")
    changes = {"seeds": [0, 1], "baselines": ["multilingual"], "multilingual": {"az": [str(tmp_path / "az.txt")]}}
    (tmp_path / "az.txt").write_text("\n".join(LINES["tr"]), encoding="utf-8")
    Recipe.checked({**recipe.model_dump(mode="json"), **changes}).save(student / "recipe.yaml")
    try:
        bistil.train(student, teacher=tiny_teacher, output_dir=tmp_path / "out", **TASK)
    finally:
        recipe.save(student / "recipe.yaml")
    left = Recipe.load(tmp_path / "out/recipe.yaml")
    assert (left.seeds, left.baselines, left.multilingual) == ((0,), (), {})


def test_a_sentence_embedding_student_learns_no_task_from_its_teacher(student, tiny_teacher, tmp_path):
    recipe = Recipe.load(student / "recipe.yaml")
    recipe.override(["distill.embeddings=true"]).save(student / "recipe.yaml")
    try:
        with pytest.raises(BistilError, match=r"is a sentence embedding student.*Leave out the teacher"):
            bistil.train(student, teacher=tiny_teacher, output_dir=tmp_path / "out", **TASK)
    finally:
        recipe.save(student / "recipe.yaml")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seed": -1}, "train: 'seed' must be greater than or equal to 0; got -1"),
        ({"seed": 2**32}, "train: 'seed' must be less than 2147483648; got 4294967296"),
        ({"seed": 1.5}, "train: 'seed' must be a valid integer"),
        ({"seed": "one"}, "train: 'seed' must be a valid integer"),
        ({"test": "task.tr.jsonl"}, "test is of the type str. Give the examples of each language, such as {'tr'"),
        ({"test": ROWS}, "test is of the type list"),
        ({"unlabelled": {"tr": ROWS}}, "unlabelled examples are labelled by a teacher, and there is none."),
        ({"teacher": "t", "unlabelled": ROWS}, "unlabelled is of the type list"),
    ],
)
def test_wrong_arguments(settings, words, tiny_teacher, tmp_path):
    with pytest.raises(BistilError) as error:
        bistil.train(tiny_teacher, output_dir=tmp_path / "out", **{**TASK, **settings})
    assert words in str(error.value)
    assert not (tmp_path / "out/stages").exists()
