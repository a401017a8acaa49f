"""Which weights a model folder has, told without reading them all."""

import hashlib
import json
from pathlib import Path

_SAMPLE = 64  # bytes at the start, in the middle and at the end of a tensor


def weights_digest(folder: Path) -> str | None:
    """Tells the safetensors of a folder from others of the same shapes, by 192 bytes of each tensor.

    Training changes every tensor that it trains nearly everywhere. None where the folder has no weights that can
    be read. Example: ``"9f86d081884c7d65"``.
    """
    found: dict[str, list[str]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            found |= _tensors(file)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # who loads them says what is wrong
            return None
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16] if found else None


def _tensors(file: Path) -> dict[str, list[str]]:
    """Shape, number type and samples of each tensor."""
    found = {}
    with file.open("rb") as opened:
        length, size = int.from_bytes(opened.read(8), "little"), file.stat().st_size
        header = json.loads(opened.read(min(length, size)))
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            first, last = tensor["data_offsets"]
            if 8 + length + last > size:
                raise ValueError(f"{file} was cut off")
            samples = []
            for place in (first, (first + last) // 2, max(first, last - _SAMPLE)):
                opened.seek(8 + length + place)
                samples.append(opened.read(min(_SAMPLE, last - place)).hex())
            found[name] = [tensor["dtype"], str(tensor["shape"]), *samples]
    return found
