"""Tasks are found by what their classes say: those of the package, and those that others install."""

import ast
import sys
from pathlib import Path

import pytest

import bistil
from bistil.errors import BistilError
from bistil.pipeline.taskdata import length_of
from bistil.recipe.parts import Task as TaskRecipe
from bistil.tasks import PartOfSpeech, installed_tasks, task_kind, task_kinds

PACKAGE = Path(bistil.__file__).parent


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A function that puts a package with an entry point where Python finds it."""

    def install(name, kind, code, target="Odd"):
        (tmp_path / f"{name}.py").write_text(code)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[bistil.tasks]\n{kind} = {name}:{target}\n")

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    for name in ("odd_tags", "odder_tags"):
        sys.modules.pop(name, None)


ODD = "from bistil.tasks import PartOfSpeech\n\n\nclass Odd(PartOfSpeech):\n    kind = 'odd'\n"


def test_every_class_that_says_its_kind_is_found():
    classes = [
        (path, node.name)
        for path in (PACKAGE / "tasks").glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(part, ast.Assign) and part.targets[0].id == "kind" for part in node.body)
    ]
    assert sorted(
        (Path(sys.modules[one.__module__].__file__), one.__name__) for one in installed_tasks()
    ) == sorted(classes)


def test_what_the_others_need_to_know_is_said():
    for task in installed_tasks():
        assert task_kind(task.kind) is task
        assert task.title
        assert task.metric_title
        assert set(task.guessed_from) <= set(task.suffixes)
    suffixes = [suffix for task in installed_tasks() for suffix in task.guessed_from]
    assert len(suffixes) == len(set(suffixes))


def test_nothing_outside_the_tasks_knows_a_kind():
    """But for the quickstart, whose task is a classification."""
    kinds = set(task_kinds())
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in ("tasks", "quickstart"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare | ast.Dict | ast.List | ast.Tuple | ast.Set | ast.MatchValue):
                named = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)} & (
                    kinds - {"classification"}
                )
                assert named == set(), f"{path}, line {getattr(node, 'lineno', '?')}"


def test_a_task_of_another_package(installed):
    assert "odd" not in task_kinds()
    installed("odd_tags", "odd", ODD)
    assert "odd" in task_kinds()
    assert issubclass(task_kind("odd"), PartOfSpeech)
    assert task_kind("odd") in list(installed_tasks())


@pytest.mark.parametrize(
    ("kind", "code", "target", "told"),
    [
        ("odd", "import there_is_no_such_module\n", "Odd", "of the package odd_tags cannot be loaded"),
        ("odd", ODD, "Absent", "of the package odd_tags cannot be loaded"),
        ("odder", ODD, "Odd", "no Task whose kind is 'odder'"),
        ("odd", "Odd = 3\n", "Odd", "no Task whose kind is 'odd'"),
    ],
)
def test_a_package_that_is_broken_is_named_and_harms_no_other_task(installed, kind, code, target, told):
    installed("odd_tags", kind, code, target)
    with pytest.raises(BistilError, match=told):
        task_kind(kind)
    assert {task.kind for task in installed_tasks()} == set(task_kinds()) - {kind}
    assert task_kind("pos") is PartOfSpeech


def test_two_packages_with_one_kind(installed):
    installed("odd_tags", "odd", ODD)
    installed("odder_tags", "odd", ODD)
    with pytest.raises(BistilError, match=r"is in (odd_tags and in odder_tags|odder_tags and in odd_tags)"):
        task_kind("odd")


def test_a_package_with_a_kind_that_bistil_has(installed):
    installed("odd_tags", "pos", ODD.replace("'odd'", "'pos'"))
    with pytest.raises(BistilError, match=r"in bistil and in odd_tags\. Uninstall one"):
        task_kind("pos")


def test_a_misspelt_kind():
    with pytest.raises(BistilError, match=r"no task kind 'possess'. Use 'pos'"):
        task_kind("possess")


def test_questions_need_longer_inputs_than_other_tasks():
    task = {"train": "train", "test": {"en": "test"}}
    lengths = {
        kind: length_of(TaskRecipe.model_validate({**task, "kind": kind}))
        for kind in ("pos", "classification", "qa")
    }
    assert lengths == {"pos": 128, "classification": 128, "qa": 384}
    assert length_of(TaskRecipe.model_validate({**task, "kind": "qa", "max_length": 200})) == 200
