"""A sparse delta: what sparse fine-tuning changed in a model, in a few megabytes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bistil.errors import BistilError

_TENSORS, _DESCRIPTION = "sparse_delta.safetensors", "sparse_delta.json"


@dataclass(frozen=True)
class SparseDelta:
    """New values at some positions of some parameters, and whole new tensors for heads.

    ``indices[name]`` are flat positions, ascending; ``values[name]`` the new values there; ``dense[name]`` whole
    tensors; ``base`` the fingerprint of the tensors it was made for. Example: ``delta.density`` is 0.08.
    """

    indices: Mapping[str, Tensor]
    values: Mapping[str, Tensor]
    dense: Mapping[str, Tensor]
    base: str
    density: float
    kind: str

    @classmethod
    def of(
        cls, start: Mapping[str, Tensor], model: nn.Module, positions: Mapping[str, Tensor], kind: str
    ) -> "SparseDelta":
        """What ``model`` holds at ``positions`` of the group ``start``, and its parameters outside the group."""
        now = {name: value.detach().cpu() for name, value in model.named_parameters()}
        return cls(
            indices=dict(positions),
            values={name: now[name].flatten()[index] for name, index in positions.items()},
            dense={name: value.clone() for name, value in now.items() if name not in start},
            base=fingerprint(start),
            density=sum(map(len, positions.values())) / sum(value.numel() for value in start.values()),
            kind=kind,
        )

    def apply(self, model: nn.Module) -> None:
        """Writes the values into ``model``, which must hold the tensors the delta was made for."""
        parameters = dict(model.named_parameters())
        missing = [name for name in (*self.indices, *self.dense) if name not in parameters]
        if missing or fingerprint({name: parameters[name] for name in self.indices}) != self.base:
            raise BistilError(
                f"This {self.kind} delta was made for another model (fingerprint {self.base[:12]}). "
                "Apply it to the model folder that its training started from."
            )
        with torch.no_grad():
            for name, index in self.indices.items():
                parameters[name].view(-1)[index] = self.values[name].to(parameters[name])
            for name, value in self.dense.items():
                parameters[name].copy_(value)

    def save(self, folder: Path) -> None:
        """Writes ``sparse_delta.safetensors`` and ``sparse_delta.json`` into an existing folder."""
        tensors = {f"{name}.indices": _narrow(index) for name, index in self.indices.items()}
        tensors |= {f"{name}.values": value for name, value in self.values.items()}
        tensors |= {f"dense.{name}": value for name, value in self.dense.items()}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / _TENSORS)
        description = {"format": 1, "base": self.base, "density": self.density, "kind": self.kind}
        (folder / _DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "SparseDelta":
        """Reads what `save` wrote."""
        if not (folder / _TENSORS).is_file() or not (folder / _DESCRIPTION).is_file():
            raise BistilError(f"{folder} holds no sparse delta. Give a folder with {_TENSORS} and {_DESCRIPTION}.")
        description = json.loads((folder / _DESCRIPTION).read_text())
        indices, values, dense = {}, {}, {}
        with safe_open(folder / _TENSORS, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
                tensor = file.get_tensor(name)
                if name.startswith("dense."):
                    dense[name.removeprefix("dense.")] = tensor
                elif name.endswith(".indices"):
                    indices[name.removesuffix(".indices")] = tensor.long()
                else:
                    values[name.removesuffix(".values")] = tensor
        return cls(indices, values, dense, description["base"], description["density"], description["kind"])


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """A SHA-256 over names, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.view(torch.uint8).numpy().data if value.dim() else value.numpy().tobytes())
    return digest.hexdigest()


def _narrow(index: Tensor) -> Tensor:
    """Positions as int32 where they fit: half the file."""
    return index.int() if not len(index) or int(index[-1]) < 2**31 else index
