"""The tasks a student can learn: one file each, found by the registry."""

from bistil.tasks.classification import Classification
from bistil.tasks.ner import NamedEntities
from bistil.tasks.parsing import Parsing
from bistil.tasks.pos import PartOfSpeech
from bistil.tasks.qa import QuestionAnswering
from bistil.tasks.registry import installed_tasks, task_kind, task_kinds, task_of
from bistil.tasks.task import Prediction, Task

__all__ = [
    "Classification",
    "NamedEntities",
    "Parsing",
    "PartOfSpeech",
    "Prediction",
    "QuestionAnswering",
    "Task",
    "installed_tasks",
    "task_kind",
    "task_kinds",
    "task_of",
]
