"""When it is said of a task teacher that it has learned nothing."""

from pathlib import Path

import pytest

from bistil.pipeline.taskdata import TaskData
from bistil.recipe.parts import Task as TaskRecipe
from bistil.tasks import task_kind
from bistil.tasks.classification import Example
from bistil.tasks.squad import Answer, Question
from bistil.tasks.words import Sentence


def doubt(kind, validation, predicted):
    recipe = TaskRecipe(kind=kind, train=Path("train"), test={"tr": Path("test")})
    task = task_kind(kind)(("a", "b"))
    return TaskData(task, 128, [], validation, {}, "", {}).doubt(predicted, "task teacher", recipe, 3e-4)


@pytest.mark.parametrize(
    ("found", "learned"),
    [
        ([("rare", "rare"), ("often", "often"), ("often", "often"), ("often", "often")] * 50, True),
        # always the same
        ([("rare", "often"), ("often", "often"), ("often", "often"), ("often", "often")] * 50, False),
        ([("rare", "often"), ("often", "rare"), ("often", "often"), ("often", "often")] * 50, False),
        ([("rare", "rare")] * 3 + [("rare", "often")] * 7 + [("often", "often")] * 190, True),  # few, but right
        ([("rare", "often")] * 10 + [("often", "often")] * 190, False),  # 95 % right
        ([("rare", "often")] * 9, True),  # too few to say
    ],
)
def test_labels_that_are_right_by_chance_alone(found, learned):
    gold = [Example(("a text",), label) for label, _ in found]
    said = doubt("classification", gold, [[label] for _, label in found])
    assert (said == "") is learned, said
    assert learned or "Try teacher_learning_rate: 1e-04 with batch_size: 16" in said


def test_no_entity_is_found_and_answers_are_not_judged():
    words = [Sentence(("Ada", "wrote"), ("B-PER", "O")) for _ in range(60)]
    assert "50.0% of its labels" in doubt("ner", words, [["O", "O"] for _ in words])
    assert doubt("ner", words, [["B-PER", "O"] for _ in words]) == ""
    questions = [Question("Who?", "Ada wrote it.", (Answer("Ada", 0),)) for _ in range(120)]
    assert doubt("qa", questions, [["wrote"] for _ in questions]) == ""
