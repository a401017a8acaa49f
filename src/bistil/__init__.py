"""Distill a multilingual encoder into a small, fast model for two languages."""

from importlib import import_module
from typing import Any

_HOMES = {
    "BistilError": "errors",
    "DeltaSwitch": "sparse.switch",
    "Progress": "progress",
    "Recipe": "recipe.recipe",
    "Run": "pipeline.runs",
    "SparseDelta": "sparse.delta",
    "distill": "pipeline.runs",
    "load": "api.model",
    "run": "pipeline.runs",
    "save_trimmed": "pipeline.trimmed",
    "teach_tasks": "pipeline.runs",
    "transfer_tasks": "pipeline.runs",
    "trim_vocabulary": "vocabulary",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first asked for, so that the command line starts without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bistil' has no attribute {name!r}")
    return getattr(import_module(f"bistil.{_HOMES[name]}"), name)
