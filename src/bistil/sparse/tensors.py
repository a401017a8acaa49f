"""Safetensors files with the permissions that the umask gives."""

from collections.abc import Mapping
from pathlib import Path
from stat import S_IMODE
from uuid import uuid4

from safetensors.torch import save_file
from torch import Tensor

from bistil.files import replacing


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors as a safetensors file, whole or not at all."""
    with replacing(path) as partial:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata)
        partial.chmod(_mode_of_new_files(path.parent))


def open_tensors(folder: Path) -> None:
    """Give the safetensors files in a folder the mode that a new file has there: their writer makes it 0600."""
    mode = _mode_of_new_files(folder)
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)


def _mode_of_new_files(folder: Path) -> int:
    """Of a file made for it: to ask for the umask is to set it, for other threads too."""
    probe = folder / f".{uuid4().hex}"
    probe.touch()
    try:
        return S_IMODE(probe.stat().st_mode)
    finally:
        probe.unlink()
