"""What looks like a path is one: a mistyped path must not fetch a stranger's model."""

from pathlib import Path

import pytest

import bistil
from bistil.cli import main
from bistil.errors import BistilError
from bistil.hub import why_path
from bistil.models.teachers import locate
from bistil.pipeline.baselines import Baselines
from bistil.pipeline.studentstages import StudentStages
from bistil.planning.walk import walk
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.sparse import files

PATHS = [
    "/models/mine",
    "./mine",
    "../mine",
    "~/mine",
    "mine/",
    "runs/tr/student",
    "runs/tr",
    "Runs/tr",
    "runs",
    "tasks/pos",
    "teachers/pos",
    "out/student",
    "task/pos",
    "language/eu",
    r"runs\tr",
    r"C:\models\mine",
    "C:/mine",
    "d:mine",
    "mine/model.safetensors",
    "model.bin",
]
IDS = [
    "bert-base-uncased",
    "FacebookAI/xlm-roberta-base",
    "google-bert/bert-base-multilingual-cased",
    "intfloat/multilingual-e5-small",
    "sentence-transformers/all-MiniLM-L6-v2",
    "someone/model-1.5",
]


@pytest.fixture(autouse=True)
def asked(monkeypatch, tmp_path):
    """The names that the hub was asked for, in an empty working directory."""
    names = []

    def download(name, **_):
        names.append(name)
        raise ConnectionError

    monkeypatch.setattr("bistil.models.sources.snapshot_download", download)
    monkeypatch.setattr("bistil.sparse.files.snapshot_download", download)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return names


@pytest.mark.parametrize("name", PATHS)
def test_a_path_that_is_not_there_is_not_looked_up(name, asked):
    for where in (locate, files.locate, bistil.load):
        with pytest.raises(BistilError, match=r"There is no .*looked in .*not a hub id, as"):
            where(name)
    assert not asked


@pytest.mark.parametrize("name", IDS)
def test_a_hub_id_is_looked_up(name, asked):
    with pytest.raises(BistilError, match="Could not fetch"):
        locate(name)
    assert asked == [name]


@pytest.mark.parametrize("name", ["a" * 300, "a\0b/c"], ids=["long", "null"])
def test_a_name_that_no_file_can_have_is_an_error_of_ours(name):
    for where in (locate, files.locate):
        with pytest.raises(BistilError):
            where(name)


def test_what_begins_with_something_local_is_a_path(asked):
    Path("experiments").mkdir()
    with pytest.raises(BistilError, match="there is something called experiments here"):
        locate("experiments/student")
    assert not asked
    with pytest.raises(BistilError, match="Could not fetch"):
        locate("others/student")


@pytest.mark.parametrize("out", ["exp/tr", "exp", "{cwd}/exp/tr"])
def test_what_lies_where_the_recipe_writes_is_a_path(out):
    assert "recipe writes" in why_path("exp/student", Path(out.format(cwd=Path.cwd())))
    assert not why_path("other/student", Path(out.format(cwd=Path.cwd())))


@pytest.fixture
def recipe(recipe_file):
    return Recipe.load(recipe_file).override(["out=exp/tr"])


def test_a_recipe_s_teacher_below_its_own_folder_is_not_looked_up(recipe, asked):
    with pytest.raises(BistilError, match="no teacher folder exp/student"):
        StudentStages(recipe.override(["teacher=exp/student"]), Progress())
    assert not asked


def test_a_recipe_s_baseline_below_its_own_folder_is_not_looked_up(recipe, asked):
    with pytest.raises(BistilError, match="no teacher folder exp/student"):
        Baselines(recipe.override(["baselines=[exp/student]"]), Progress(), {})
    assert not asked


def test_a_plan_does_not_look_paths_up(experiment, asked):
    recipe = Recipe.model_validate(experiment | {"out": "exp/tr", "baselines": ["exp/student", "tasks/pos"]})
    with walk(recipe) as found:
        assert sum("is not available here" in note for note in found.notes) == 2
    with (
        pytest.raises(BistilError, match="no teacher folder exp/student"),
        walk(recipe.override(["teacher=exp/student", "baselines=[]"])),
    ):
        pass
    assert not asked


@pytest.mark.parametrize(
    "command",
    [
        ["vocab", "runs/tr", "--text", "en=en.txt", "--out", "new"],
        ["adapt", "runs/tr", "--text", "en.txt", "--out", "new"],
        ["delta", "info", "task/pos"],
        ["delta", "apply", "0.5*task/pos", "--model", "trimmed", "--out", "new"],
        ["delta", "diff", "runs/a", "runs/b", "--out", "new"],
        ["delta", "import", "language/eu", "--model", "trimmed", "--out", "new"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_no_command_looks_a_path_up(command, asked, capsys):
    Path("en.txt").write_text("Some text.\n", encoding="utf-8")
    assert main(command) == 2
    assert "not a hub id" in capsys.readouterr().err
    assert not asked
