"""Classes of transformers that a task names, loaded when they are first needed: a runtime needs none."""

from importlib import import_module
from typing import Any


class Head:
    """A class attribute that is a class of a module: ``head = Head("transformers", "AutoModel")``."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __get__(self, task: Any, owner: type) -> Any:
        return getattr(import_module(self._module), self._name)
