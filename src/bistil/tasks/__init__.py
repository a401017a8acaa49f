"""The tasks a student can learn: one file each, and the table that names them."""

import difflib
from typing import Any

from bistil.errors import BistilError
from bistil.tasks.classification import Classification
from bistil.tasks.ner import NamedEntities
from bistil.tasks.parsing import Parsing, SubtypeParsing
from bistil.tasks.pos import LanguageSpecificPartOfSpeech, PartOfSpeech
from bistil.tasks.qa import QuestionAnswering
from bistil.tasks.task import Prediction, Task

__all__ = [
    "TASKS",
    "Classification",
    "NamedEntities",
    "Parsing",
    "PartOfSpeech",
    "Prediction",
    "QuestionAnswering",
    "Task",
    "task_kind",
    "task_of",
]

TASKS: dict[str, type[Task[Any]]] = {
    task.kind: task
    for task in (
        Classification,
        NamedEntities,
        Parsing,
        SubtypeParsing,
        PartOfSpeech,
        LanguageSpecificPartOfSpeech,
        QuestionAnswering,
    )
}


def task_kind(kind: str) -> type[Task[Any]]:
    """The task class of that name: ``task_kind("pos")`` is `PartOfSpeech`."""
    if kind not in TASKS:
        nearest = difflib.get_close_matches(kind, TASKS, n=1) or list(TASKS)
        raise BistilError(f"There is no task kind {kind!r}. Use {' or '.join(map(repr, nearest))}.")
    return TASKS[kind]


def task_of(model: Any) -> Task[Any]:
    """The task, labels included, of a model that `Task.new_model` started, also after saving and loading."""
    kind = getattr(model.config, "bistil_task", None)
    if kind is None:
        raise BistilError(
            f"The model {model.config.name_or_path!r} does not say which task it was trained for. "
            "Give the folder of a task model that bistil wrote."
        )
    return task_kind(kind).from_model(model)
