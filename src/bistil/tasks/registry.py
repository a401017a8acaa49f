"""Which tasks there are: those in this folder, and those of other packages by the entry point `bistil.tasks`."""

import difflib
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from bistil.errors import BistilError
from bistil.tasks.task import Task

GROUP = "bistil.tasks"


def task_kind(kind: str) -> type[Task[Any]]:
    """The task class of that kind: ``task_kind("pos")`` is `PartOfSpeech`.

    Raises BistilError for a kind that no installed package has, that two have, or whose package cannot be loaded.
    """
    own, others = _own(), [entry for entry in _others() if entry.name == kind]
    if (kind in own) + len(others) > 1:
        owners = ["bistil"] * (kind in own) + [_package(entry) for entry in others]
        raise BistilError(f"The task kind {kind!r} is in {' and in '.join(owners)}. Uninstall one of them.")
    if others:
        return _loaded(others[0])
    if kind not in own:
        kinds = task_kinds()
        nearest = difflib.get_close_matches(kind, kinds, n=1) or kinds
        raise BistilError(f"There is no task kind {kind!r}. Use {' or '.join(map(repr, nearest))}.")
    return own[kind]


def own_kinds() -> list[str]:
    """The kinds of bistil's own tasks, sorted."""
    return sorted(_own())


def task_kinds() -> list[str]:
    """The kinds of all tasks, sorted: ``["classification", "ner", "parsing", …]``."""
    return sorted({*_own(), *(entry.name for entry in _others())})


def installed_tasks() -> Iterator[type[Task[Any]]]:
    """All task classes; those whose package cannot be loaded are left out, until they are asked for by name."""
    for kind in task_kinds():
        try:
            yield task_kind(kind)
        except BistilError:
            continue


def task_of(model: Any) -> Task[Any]:
    """The task, labels included, of a model that `Task.new_model` started, also after saving and loading."""
    kind = getattr(model.config, "bistil_task", None)
    if kind is None:
        raise BistilError(
            f"The model {model.config.name_or_path!r} does not say which task it was trained for. "
            "Give the folder of a task model that bistil wrote."
        )
    return task_kind(kind).from_model(model)


@cache
def _own() -> dict[str, type[Task[Any]]]:
    """The classes in this folder that say their kind, by kind."""
    found: dict[str, type[Task[Any]]] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        name = f"{__package__}.{module.name}"
        for value in vars(import_module(name)).values():
            if isinstance(value, type) and issubclass(value, Task) and "kind" in vars(value):
                found[value.kind] = value
    return found


def _others() -> list[EntryPoint]:
    return list(entry_points(group=GROUP))


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value


def _loaded(entry: EntryPoint) -> type[Task[Any]]:
    try:
        found = entry.load()
    except Exception as error:  # of a stranger's module
        raise BistilError(
            f"The task kind {entry.name!r} of the package {_package(entry)} cannot be loaded ({error}). "
            "Update or uninstall that package."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Task) and getattr(found, "kind", None) == entry.name):
        raise BistilError(
            f"The package {_package(entry)} names {entry.value} as the task kind {entry.name!r}, but that is no "
            f"Task whose kind is {entry.name!r}. Update or uninstall that package."
        )
    return found
