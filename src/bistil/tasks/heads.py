"""Classes of transformers that a task names, loaded when they are first needed: a runtime needs none."""

from importlib import import_module
from typing import Any

from bistil.errors import BistilError


class Head:
    """A class attribute that is a class of a module: ``head = Head("transformers", "AutoModel")``."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __get__(self, task: Any, owner: type) -> Any:
        return getattr(import_module(self._module), self._name)


def check_head(task: Any, config: Any, name: str) -> None:
    """Raise BistilError where transformers has no head of the task's for encoders of a configuration's type.

    Example: none that answers questions for EuroBERT. ``name`` is the encoder's in the error.
    """
    types = getattr(task.head, "_model_mapping", None)  # of an Auto class; any other head takes every encoder
    if types is not None and type(config) not in types:
        raise BistilError(
            f"{name} is of type {config.model_type!r}, for which transformers has no {task.title} head. Choose a "
            "model of another type, for example multilingual E5 or XLM-R, or leave out the task."
        )
