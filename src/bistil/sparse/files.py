"""A sparse delta on disk and on the hub: one safetensors file and one JSON file."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from huggingface_hub import HfApi, snapshot_download
from pydantic import BaseModel, Field, JsonValue, NonNegativeInt, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from bistil.corpora.strict import parse_json
from bistil.errors import BistilError
from bistil.files import write_json
from bistil.hub import no_folder, not_fetched, why_path
from bistil.sparse.tensors import save_tensors


class _Head(BaseModel):
    architecture: str
    labels: tuple[str, ...]
    task: str = ""
    settings: dict[Annotated[str, Field(pattern="^bistil_")], JsonValue] = {}  # it changes no other of a model


class _NoHead(BaseModel, extra="forbid"):
    pass


class _Description(BaseModel):
    base: str
    kind: str
    head: _Head | _NoHead
    shapes: dict[str, tuple[NonNegativeInt, ...]]


TENSORS, DESCRIPTION = "sparse_delta.safetensors", "sparse_delta.json"
FORMAT = 2
_SKIP = 255  # a byte that says: 255 entries further, and none of them is meant
_DENSE, _GAPS, _VALUES = "dense.", ".gaps", ".values"


def gaps(positions: Tensor) -> Tensor:
    """Ascending positions as bytes, about one each: how many entries lie between one and the next.

    255 or more are written as bytes 255 before the rest. Example: positions 3, 4, 300 give 3, 0, 255, 40.
    """
    between = np.diff(positions.numpy(), prepend=-1) - 1
    skips = between // _SKIP
    ends = np.cumsum(skips + 1) - 1
    coded = np.full(ends[-1] + 1 if len(ends) else 0, _SKIP, dtype=np.uint8)
    coded[ends] = between % _SKIP
    return torch.from_numpy(coded)


def positions(gaps: Tensor) -> Tensor:
    """The positions, int64 and ascending, that `gaps` made bytes of."""
    coded = gaps.numpy()
    meant = coded < _SKIP
    places = np.cumsum(coded + meant.astype(np.int64))
    return torch.from_numpy(places[meant] - 1)


def write(
    folder: Path,
    indices: Mapping[str, Tensor],
    values: Mapping[str, Tensor],
    dense: Mapping[str, Tensor],
    description: Mapping[str, Any],
) -> None:
    """Writes both files into a folder, each whole or not at all; the folder is made where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"{name}{_GAPS}": gaps(index) for name, index in indices.items()}
    tensors |= {f"{name}{_VALUES}": value for name, value in values.items()}
    tensors |= {f"{_DENSE}{name}": value for name, value in dense.items()}
    save_tensors(tensors, folder / TENSORS)
    write_json(folder / DESCRIPTION, {"format": FORMAT, **description})


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Positions, values, whole tensors and description of what `write` wrote.

    Raises BistilError where a file is missing, cut off, of another format, or no safetensors file at all.
    """
    if not (folder / TENSORS).is_file() or not (folder / DESCRIPTION).is_file():
        raise BistilError(f"{folder} holds no sparse delta. Give a folder with {TENSORS} and {DESCRIPTION}.")
    description = _description(folder / DESCRIPTION)
    try:
        # not mapped, as Windows neither replaces nor deletes a file that is
        tensors = load((folder / TENSORS).read_bytes())
    except SafetensorError as error:
        raise BistilError(
            f"{folder / TENSORS} is not a complete safetensors file ({error}). Fetch or write it again."
        ) from error
    dense = {name.removeprefix(_DENSE): tensor for name, tensor in tensors.items() if name.startswith(_DENSE)}
    indices, values = {}, {}
    for name, shape in description["shapes"].items():
        try:
            indices[name], values[name] = positions(tensors[name + _GAPS]), tensors[name + _VALUES]
        except KeyError as error:
            raise BistilError(f"{folder / TENSORS} lacks {error}. Fetch or write it again.") from error
        index = indices[name]
        if len(index) != len(values[name]) or (len(index) and int(index[-1]) >= int(np.prod(shape))):
            raise BistilError(
                f"{folder / TENSORS}: positions and values of {name} do not fit each other or the shape {shape}. "
                "Fetch or write it again."
            )
    return indices, values, dense, description


def _description(path: Path) -> dict[str, Any]:
    try:
        description = parse_json(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError, BistilError) as error:
        raise BistilError(f"{path} is not complete ({error}) Fetch or write it again.") from error
    version = description.get("format") if isinstance(description, dict) else None
    if version != FORMAT:
        raise BistilError(
            f"{path} is of format {version}; this release reads format {FORMAT}. "
            "Write the delta again with this release, or use the release that wrote it."
        )
    try:
        _Description.model_validate(description)
    except ValidationError as error:
        first = error.errors()[0]
        raise BistilError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}. Fetch or write it again."
        ) from error
    return description


def locate(name: str | Path, names: Sequence[str] = (TENSORS, DESCRIPTION)) -> Path:
    """The local folder of a delta: the folder itself, or that of a hub id, whose files are fetched on first use.

    Example: ``locate("me/basque-pos-delta")``.
    """
    folder = Path(os.path.expanduser(name))
    if isinstance(name, Path) or os.path.isdir(folder):
        return folder
    why = why_path(name) or ("" if "/" in name else "a hub id is written OWNER/NAME")
    if why:
        raise BistilError(f"{no_folder('folder', name, why)} Give the folder of a sparse delta, or a hub id.")
    try:
        folder = Path(snapshot_download(name, allow_patterns=list(names)))
    except Exception as error:  # those of the HTTP client have no common base with the hub's own
        raise BistilError(not_fetched("delta", str(name), "the folder of a sparse delta", error)) from error
    if not any(path for pattern in names for path in folder.glob(pattern)):
        raise BistilError(f"{name} on the hub has no {' or '.join(names)}. Give the id of a sparse delta.")
    return folder


def push(folder: Path, name: str, private: bool) -> None:
    """Uploads the delta in a folder to the hub under an id such as ``me/basque-pos-delta``."""
    api = HfApi()
    try:
        api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Sparse delta, written by bistil")
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        raise BistilError(
            f"Could not upload the delta to {name} ({type(error).__name__}: {reason}). "
            "Check the id and the network, and run `hf auth login`."
        ) from error
