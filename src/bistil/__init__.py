"""Distill a multilingual encoder into a small, fast model for two languages."""

from importlib import import_module
from types import FunctionType
from typing import Any

from bistil.errors import naming_extras

_HOMES = {
    "trim": "api.trim",
    "distill": "api.distill",
    "train": "api.train",
    "load": "api.model",
    "compare": "api.compare",
    "export": "api.export",
    "push_to_hub": "api.push",
    "run": "api.run",
    "Recipe": "recipe.recipe",
    "SparseDelta": "sparse.delta",
    "DeltaSwitch": "sparse.switch",
    "Progress": "progress",
    "BistilError": "errors",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first asked for, so that nothing waits for torch that does not need it."""
    if name == "__version__":
        from importlib.metadata import version

        return version("bistil")
    if name not in _HOMES:
        raise AttributeError(f"module 'bistil' has no attribute {name!r}")
    with naming_extras(f"bistil.{name}"):
        value = getattr(import_module(f"bistil.{_HOMES[name]}"), name)
    if isinstance(value, FunctionType):  # it may import more when it is called
        value = naming_extras(f"bistil.{name}")(value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
