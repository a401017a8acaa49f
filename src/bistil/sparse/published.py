"""Sparse deltas as the LT-SFT authors published them (``pytorch_diff.bin``), read without running their code."""

import csv
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bistil.errors import BistilError
from bistil.sparse.delta import SparseDelta
from bistil.sparse.fingerprint import fingerprint
from bistil.sparse.targets import aliases

FILE = "pytorch_diff.bin"


def import_published(
    path: Path,
    model: nn.Module,
    *,
    kept: npt.NDArray[np.int64] | None = None,
    heads: bool = True,
    kind: str = "imported",
) -> SparseDelta:
    """The delta of a published file, for ``model``: the base model that the file was made for.

    The file holds differences; the delta holds base + difference. Where ``model`` has a trimmed vocabulary,
    ``kept`` are the old token ids of its rows, ascending (the column ``old_id`` of ``kept_tokens.tsv``), and what
    concerns other tokens is left out. ``heads=False`` leaves out whole tensors: a language delta's head, which a
    task model lacks. Raises BistilError for a file that is no such delta or holds anything but tensors,
    dictionaries, lists, integers and strings, and for another model.
    """
    content = load_restricted(path)
    if not isinstance(content, Mapping) or not isinstance(content.get("diffs"), Mapping):
        raise BistilError(f"{path} holds no published sparse delta (a dictionary with 'diffs'). Give a {FILE}.")
    named = aliases(model)
    indices, values, dense = {}, {}, {}
    for name, encoded in content["diffs"].items():
        size, index, difference = _decoded(encoded, f"{path}: {name}")
        target = _target(named, name, size, kept, path)
        if kept is not None and tuple(target.shape) != size:
            index, difference = _remapped(index, difference, size, kept)
        indices[name] = index
        base = target.detach().take(index.to(target.device)).cpu()
        values[name] = base + difference.to(base.dtype)
    for name, value in (content.get("abs") or {}).items() if heads else ():
        target = _target(named, name, tuple(value.shape), kept, path)
        moved = kept is not None and target.shape != value.shape
        dense[name] = (value[torch.from_numpy(kept)] if moved else value).to(target.dtype).clone()
    group = {name: named[name] for name in indices}
    shapes = {name: tuple(value.shape) for name, value in group.items()}
    return SparseDelta(indices, values, dense, shapes, fingerprint(group), kind)


def kept_ids(path: Path) -> npt.NDArray[np.int64]:
    """The old token id of each row of a trimmed model, from the ``kept_tokens.tsv`` that `save_trimmed` wrote."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            ids = np.array([int(row["old_id"]) for row in rows], dtype=np.int64)
    except (OSError, KeyError, ValueError, TypeError, OverflowError, csv.Error) as error:
        raise BistilError(
            f"{path} is no table of kept tokens with a column old_id ({error}). "
            "Give the kept_tokens.tsv of the trimmed model."
        ) from error
    if not len(ids) or (np.diff(ids) <= 0).any():
        raise BistilError(f"{path}: the old ids do not ascend. Give the kept_tokens.tsv of the trimmed model.")
    return ids


def load_restricted(path: Path) -> Any:
    """The tensors, dictionaries, lists, integers and strings in a file written by ``torch.save``.

    Anything else in it is refused by name before any of it runs. Sizes become tuples, numpy's integers ints.
    """
    # The first index step of each tensor is a numpy integer, which these stand for.
    numbers: list[Any] = [
        (_integer, "numpy.core.multiarray.scalar"),
        (_integer, "numpy._core.multiarray.scalar"),
        (_IntegerType, "numpy.dtype"),
        _IntegerType,
    ]
    if not zipfile.is_zipfile(path):
        raise BistilError(f"{path} is not loaded: it is not a complete torch.save file. Fetch it again.")
    try:
        with torch.serialization.safe_globals(numbers):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError, TypeError) as error:
        raise BistilError(f"{path} is not loaded: {_reason(path, error)}") from error
    return _plain(content, str(path))


def _reason(path: Path, error: Exception) -> str:
    try:
        refused = set(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (pickle.UnpicklingError, RuntimeError, ValueError):  # damaged: the first error says more
        refused = set()
    refused -= {"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype"}
    if refused:
        return (
            f"it would run {', '.join(sorted(refused))}. Only tensors and plain values are read; do not trust it."
        )
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return f"it is not a complete torch.save file ({first}). Fetch it again."


class _IntegerType:
    """Stands for the numpy type of an integer."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in ("i4", "i8"):
            raise ValueError(f"a number of type {code!r}, which is no integer")

    def __setstate__(self, state: object) -> None:
        """The byte order, which numpy always writes as little-endian here."""


def _integer(_: _IntegerType, content: bytes) -> int:
    return int.from_bytes(content, "little", signed=True)


def _plain(value: Any, where: str) -> Any:
    """The same of plain types; what is of another type is refused by its name."""
    if isinstance(value, nn.Parameter):
        return value.detach()
    if type(value) in (int, str, Tensor):
        return value
    if type(value) in (dict, OrderedDict):
        return {_plain(key, where): _plain(one, f"{where}: {key}") for key, one in value.items()}
    if type(value) in (list, tuple, torch.Size):
        return type(value)(value) if all(type(one) is int for one in value) else [_plain(o, where) for o in value]
    raise BistilError(
        f"{where} holds a {type(value).__module__}.{type(value).__qualname__}, which is refused. "
        "Only tensors, dictionaries, lists, integers and strings are read."
    )


def _decoded(encoded: Any, where: str) -> tuple[tuple[int, ...], Tensor, Tensor]:
    """Shape, row-major positions, ascending, and the differences there, of one encoded tensor."""
    try:
        size = tuple(encoded["size"])
        steps = np.asarray(encoded["index_steps"], dtype=np.int64)
        differences = encoded["values"]
        positions = np.cumsum(steps)
        # In the file the first dimension varies fastest.
        index = np.ravel_multi_index(np.unravel_index(positions, size, order="F"), size)
        if (steps[1:] <= 0).any() or len(positions) != len(differences):
            raise ValueError("positions and values do not fit each other")
    except (KeyError, TypeError, ValueError) as error:
        raise BistilError(f"{where} is not encoded as in a published delta ({error}). Fetch it again.") from error
    order = np.argsort(index, kind="stable")
    return size, torch.from_numpy(index[order]), differences[torch.from_numpy(order)]


def _target(
    named: Mapping[str, nn.Parameter],
    name: str,
    size: tuple[int, ...],
    kept: npt.NDArray[np.int64] | None,
    path: Path,
) -> nn.Parameter:
    if name not in named:
        raise BistilError(
            f"{path} changes {name}, which the model lacks. Give the model that it was made for"
            " (or leave out heads, if this is the head of a language delta)."
        )
    target = named[name]
    here = tuple(target.shape)
    if here == size or (
        kept is not None and (len(kept), *size[1:]) == here and len(size) and int(kept[-1]) < size[0]
    ):
        return target
    cure = (
        "Give the ids of the kept tokens, if its vocabulary was trimmed"
        if kept is None
        else "Give those of this model"
    )
    raise BistilError(f"{path}: {name} is {list(size)} there and {list(here)} in the model. {cure}.")


def _remapped(
    index: Tensor, difference: Tensor, size: tuple[int, ...], kept: npt.NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    """What concerns the rows ``kept``, at the positions of these rows alone."""
    width = int(np.prod(size[1:], dtype=np.int64))
    new = torch.full((size[0],), -1, dtype=torch.int64)
    new[torch.from_numpy(kept)] = torch.arange(len(kept))
    rows = new[index // width]
    stays = rows >= 0
    return rows[stays] * width + (index % width)[stays], difference[stays]
