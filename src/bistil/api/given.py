"""What is given in a call: a model or folder by name, a language, and labels to rename."""

import os
import re
from collections.abc import Mapping
from numbers import Number
from pathlib import Path
from typing import Any

from bistil.errors import BistilError
from bistil.recipe.parts import CODE


def path_of(value: Any, what: str, cure: str = "its folder or hub id") -> str:
    """A path or a hub id as text; for anything else, "" too, a BistilError that says ``what`` was meant.

    Example: ``path_of(Path("runs/tr"), "The model")`` is ``"runs/tr"``.
    """
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise BistilError(f"{what} is {kind_of(value)}. Give {cure}.")
    return os.fspath(value)


def folder_of(value: Any, what: str) -> Path:
    """A folder to write, ``~`` as the home folder; what is no path raises as in `path_of`.

    Example: ``folder_of("~/student", "output_dir")`` is ``Path("/home/me/student")``.
    """
    return Path(os.path.expanduser(path_of(value, what, "a folder")))


def check_apart(name: str, out: Path, what: str) -> None:
    """Raise a BistilError where an output folder is that of the model itself; ``what`` is "model" or "teacher"."""
    own = os.path.expanduser(name)
    if os.path.exists(own) and out.exists() and out.samefile(own):
        raise BistilError(f"output_dir is {out}, where the {what} itself lies. Give another folder.")


def language_of(value: Any, what: str) -> str:
    """A language's code; for anything else a BistilError that says ``what`` was meant.

    Example: ``language_of("tr", "language")`` is ``"tr"``.
    """
    if not isinstance(value, str) or not re.fullmatch(CODE, value):
        raise BistilError(f"{what} must be a language code such as en; got {value!r}.")
    return value


def label_map_of(value: Any) -> dict[str, str]:
    """The labels to rename by their name in the data, none for None; a number becomes text, as it does in data."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BistilError(
            f"label_map is {kind_of(value)}. Give the new labels by the old ones, such as {{'e': 'entailment'}}."
        )
    for label in (one for pair in value.items() for one in pair):
        if isinstance(label, bool) or not isinstance(label, str | Number):
            raise BistilError(f"label_map has the label {label!r}. Give it as text, such as {str(label)!r}.")
    return {str(old): str(new) for old, new in value.items()}


def check_no_splits(value: Any, name: str) -> None:
    """Raise where a `datasets.DatasetDict` is given, of which one split is meant."""
    if isinstance(value, Mapping) and hasattr(value, "column_names"):
        split = next(iter(value), "train")
        raise BistilError(f"{name} is {kind_of(value)}. Give one of its splits: [{split!r}].")


def kind_of(value: Any) -> str:
    """For errors: ``None``, ``''``, or ``of the type list``."""
    empty = value is None or (isinstance(value, str) and not value)
    return repr(value) if empty else f"of the type {type(value).__name__}"
