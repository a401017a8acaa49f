"""Keys of recipes that have other names now: the old ones are read, with a hint."""

import warnings
from collections.abc import Mapping
from typing import Any

from bistil.errors import BistilError, BistilWarning

# The new name of the last part, by the dotted key with the new names before it; lists have no part of their own.
_NAMES = {
    "distil": "distill",
    "distill.block": "sequence_length",
    "distill.batch": "batch_size",
    "distill.follow": "matched_layers",
    "distill.masked": "mlm_probability",
    "tasks.batch": "batch_size",
    "tasks.target_lines": "pseudo_labels",
    "tasks.examples": "max_train_samples",
}


def with_new_keys(values: Any, where: str, path: str = "") -> Any:
    """The values of a recipe under today's keys; an old key is a `BistilWarning`, both at once a BistilError.

    Example: ``with_new_keys({"distil": {"block": 16}}, "Recipe a.yaml")`` is ``{"distill": {"sequence_length":
    16}}``.
    """
    if isinstance(values, list):
        return [with_new_keys(one, where, path) for one in values]
    if not isinstance(values, Mapping):
        return values
    found: dict[Any, Any] = {}
    for key, value in values.items():
        new = _new(path, key)
        if new != key:
            if new in values:
                raise BistilError(f"{where} has both {path}{key} and {path}{new}, its new name. Leave out {key}.")
            warnings.warn(f"{where}: {path}{key} is called {path}{new} now.", BistilWarning, stacklevel=2)
        found[new] = with_new_keys(value, where, f"{path}{new}.")
    return found


def with_new_parts(assignment: str) -> str:
    """An assignment under today's keys: ``"distil.block=16"`` is ``"distill.sequence_length=16"``."""
    key, equals, value = assignment.partition("=")
    path, parts = "", []
    for part in key.strip().split("."):
        parts.append(_new(path, part))
        path += "" if part.isdecimal() else f"{parts[-1]}."
    new = ".".join(parts)
    if new != key.strip():
        warnings.warn(f"--set: {key.strip()} is called {new} now.", BistilWarning, stacklevel=2)
    return f"{new}{equals}{value}"


def _new(path: str, key: Any) -> Any:
    return _NAMES.get(f"{path}{key}", key)
