"""The fingerprint of a base model: a digest of names, shapes, types and values."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

_WORTH_THREADS = 1 << 20  # entries; for less, starting threads takes longer than hashing


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """A SHA-256 over the `digests` of tensors, in the order of their names: 64 hexadecimal digits."""
    return combined(digests(tensors))


def digests(tensors: Mapping[str, Tensor]) -> dict[str, bytes]:
    """The SHA-256 of each tensor's name, shape, type and bytes; all cores share the work."""
    if sum(map(Tensor.numel, tensors.values())) < _WORTH_THREADS:
        return {name: _digest(name, tensor) for name, tensor in tensors.items()}
    with ThreadPoolExecutor() as pool:
        return dict(zip(tensors, pool.map(_digest, tensors, tensors.values()), strict=True))


def combined(digests: Mapping[str, bytes]) -> str:
    """The fingerprint of the tensors that have these digests."""
    return hashlib.sha256(b"".join(digests[name] for name in sorted(digests))).hexdigest()


def _digest(name: str, tensor: Tensor) -> bytes:
    value = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{name} {tuple(value.shape)} {value.dtype}".encode())
    digest.update(value.view(-1).view(torch.uint8).numpy().data)
    return digest.digest()
