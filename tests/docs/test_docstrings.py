"""What the API reference shows says of every argument what it is, where there are more than two."""

import inspect

import pytest

import bistil
from bistil.api.model import TaskModel
from bistil.pipeline.trimmed import save_trimmed
from bistil.tasks.task import Task
from bistil.tasks.words import WordLabelling
from bistil.vocabulary.trimming import trim_vocabulary

SHOWN = [
    *(getattr(bistil, name) for name in bistil.__all__ if name != "__version__"),
    *(TaskModel, Task, WordLabelling, save_trimmed, trim_vocabulary),
]


def functions():
    for one in SHOWN:
        if inspect.isfunction(one):
            yield pytest.param(one, id=one.__name__)
        elif inspect.isclass(one):
            for name, member in vars(one).items():
                function = getattr(member, "__func__", member)
                inherited = any(hasattr(base, name) for base in one.__mro__[1:])
                if inspect.isfunction(function) and not inherited and (name[0] != "_" or name == "__call__"):
                    yield pytest.param(function, id=f"{one.__name__}.{name}")


@pytest.mark.parametrize("function", functions())
def test_arguments_are_listed(function):
    names = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    text = inspect.getdoc(function)
    assert text
    if len(names) > 2:
        listed = text.partition("Args:")[2]
        assert [name for name in names if f"{name}: " not in listed] == []
