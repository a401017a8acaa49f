"""A delta of multilingual-E5-small at 8 %: `python -m benchmarks.sparse_delta`.

Its file against plain int64 and float32 arrays, loading plus applying, and switching between two languages on
the encoder trimmed to 25,000 tokens. Changed are random entries, the worst case for coding and for caches.
The numbers go to ``results/sparse-delta.json``.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from benchmarks.results import save_measurement
from bistil.models import teachers
from bistil.sparse import files
from bistil.sparse.delta import SparseDelta
from bistil.sparse.switch import DeltaSwitch
from bistil.vocabulary.trim import trim_model

DENSITY = 0.08


def delta(model: nn.Module, seed: int) -> SparseDelta:
    """New random values for 8 % of all entries."""
    generator = torch.Generator().manual_seed(seed)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    positions = {
        name: (torch.rand(value.numel(), generator=generator) < DENSITY).nonzero().flatten()
        for name, value in before.items()
    }
    with torch.no_grad():
        for name, value in model.named_parameters():
            index = positions[name]
            value.put_(index, value.take(index) + torch.randn(len(index), generator=generator) * 1e-3)
    found = SparseDelta.of(before, model, positions, "task")
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(before[name])
    return found


def milliseconds(action: Callable[[], object], rounds: int) -> float:
    """The median over some rounds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return 1000 * median(times)


def main() -> None:
    """Measures, prints and keeps the numbers."""
    model, _ = teachers.load(teachers.locate("bundled:multilingual-e5-small"))
    entries = sum(value.numel() for value in model.parameters())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        one = delta(model, 0)
        one.save(folder)
        plain = (8 + 4) * sum(map(len, one.indices.values()))
        size = (folder / files.TENSORS).stat().st_size

        def load_and_apply() -> None:
            loaded = SparseDelta.load(folder)
            loaded.apply(model)
            applied.append(loaded)

        applied: list[SparseDelta] = []
        times = []
        for _ in range(5):
            times.append(milliseconds(load_and_apply, 1))
            applied[-1].remove(model)
    trimmed = trim_model(model, np.arange(25_000))
    trimmed_entries = sum(value.numel() for value in trimmed.parameters())
    switch = DeltaSwitch(trimmed, {"en": delta(trimmed, 1), "tr": delta(trimmed, 2)})
    languages = ("en", "tr")
    turn = iter(range(10**6))
    switching = milliseconds(lambda: switch.to(languages[next(turn) % 2]), 21)
    result = {
        "entries": entries,
        "file_bytes": size,
        "plain_bytes": plain,
        "file_of_plain": size / plain,
        "load_and_apply_ms": median(times),
        "trimmed_entries": trimmed_entries,
        "switch_ms": switching,
    }
    save_measurement("sparse-delta", "python -m benchmarks.sparse_delta", result)
    print(f"file {size / 1e6:.1f} MB, {size / plain:.2f} of plain arrays ({entries:,} entries at 8 %)")
    print(f"load and apply {median(times):.0f} ms")
    print(f"switch between two languages {switching:.1f} ms ({trimmed_entries:,} entries, 8 % each)")


if __name__ == "__main__":
    main()
