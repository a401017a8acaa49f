"""A stage whose code has changed is not reused unless somebody says that its results are the same."""

import re
from pathlib import Path

import pytest
from tests import stagesources

from bistil.pipeline.stagecode import STAGES

SOURCE = Path(__file__).parents[2] / "src/bistil"


def test_no_code_of_a_stage_or_task_has_changed_without_a_judgement():
    """If it has: raise the version where results change, then `python -m tests.stagesources [--same NAME]`."""
    assert stagesources.unjudged() == []


def test_every_stage_that_is_made_has_a_code_version():
    made = re.compile(r"\.(?:make|_make)\(\s*f?\"([\w-]+)")
    names = {name for path in SOURCE.rglob("*.py") for name in made.findall(path.read_text(encoding="utf-8"))}
    assert names - {"task-"} <= STAGES.keys()
    assert len(names) > 8


def changed(name: str, monkeypatch, module: str, before: str, after: str) -> bool:
    """Whether a change of a module's text is noticed in what makes a stage or task."""
    usual = stagesources.sources()[name]
    read = stagesources._read.__wrapped__
    text = read(module)
    assert before in text
    with monkeypatch.context() as patch:
        patch.setattr(
            stagesources, "_read", lambda one: read(one).replace(before, after) if one == module else read(one)
        )
        return stagesources.sources()[name] != usual


@pytest.mark.parametrize(
    ("name", "module", "before", "after"),
    [
        # labels swapped in a task's reader: all stages were reused after that
        ("task classification", "bistil.tasks.classification", 'row[columns["label"]', 'row[columns["text"]'),
        ("task parsing-subtypes", "bistil.tasks.treebank", "isdecimal()", "isdigit()"),
        ("distill", "bistil.training.losses", "torch.", "torch. "),
        (
            "distill",
            "bistil.pipeline.studentstages",
            "settings.freeze_embeddings",
            "not settings.freeze_embeddings",
        ),
        ("task-student", "bistil.sparse.selection", "def ", "def  "),
        ("vocabulary", "bistil.vocabulary.unigram", "return ", "return  "),
        ("evaluation", "bistil.evaluation.scores", "task.score", "task.scores"),
    ],
)
def test_a_change_is_noticed_where_it_counts(monkeypatch, name, module, before, after):
    assert changed(name, monkeypatch, module, before, after)


def test_words_about_code_are_no_change(monkeypatch):
    assert not changed("distill", monkeypatch, "bistil.training.losses", '"""The ', '"""Said otherwise: the ')
    assert not changed("distill", monkeypatch, "bistil.training.losscurve", "tokens", "token")
