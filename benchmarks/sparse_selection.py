"""How fast the lottery ticket chooses: `python -m benchmarks.sparse_selection`.

The K = 8 % largest changes of 278 million entries in tensors shaped as those of XLM-R base, in a process of its
own, so that its peak memory can be told: beside the two models, which are there in any case. The numbers
go to ``results/sparse-selection.json``.
"""

import os
import platform
import resource
import time

import torch

from benchmarks.results import save_measurement
from bistil.sparse.selection import largest_changes

DENSITY = 0.08
LAYER = {
    **{f"attention.{name}": (768, 768) for name in ("query", "key", "value", "output")},
    "intermediate": (3072, 768),
    "output": (768, 3072),
    **{f"bias.{number}": (768,) for number in range(9)},
    "bias.intermediate": (3072,),
}
SHAPES = {
    "words": (250_002, 768),
    "positions": (514, 768),
    **{f"layer.{layer}.{name}": shape for layer in range(12) for name, shape in LAYER.items()},
}


def main() -> None:
    """Measures once, checks the number and order of what is chosen, prints and keeps the numbers."""
    generator = torch.Generator().manual_seed(0)
    start = {name: torch.randn(shape, generator=generator).mul_(0.02) for name, shape in SHAPES.items()}
    end = {
        name: torch.randn(shape, generator=generator).mul_(1e-4).add_(start[name])
        for name, shape in SHAPES.items()
    }
    entries = sum(value.numel() for value in start.values())
    before = _peak()
    started = time.perf_counter()
    chosen = largest_changes(start, end, DENSITY)
    seconds = time.perf_counter() - started
    extra = _peak() - before
    if sum(map(len, chosen.values())) != int(DENSITY * entries):
        raise SystemExit("The number of chosen entries is wrong.")
    result = {
        "entries": entries,
        "density": DENSITY,
        "seconds": seconds,
        "model_bytes": 4 * entries,
        "extra_peak_bytes": extra,
        "extra_of_model": extra / (4 * entries),
        "environment": {
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "torch": torch.__version__,
        },
    }
    save_measurement("sparse-selection", "python -m benchmarks.sparse_selection", result)
    print(
        f"{entries:,} entries in {seconds:.1f} s; {extra / 2**20:,.0f} MiB beside the two models, "
        f"{result['extra_of_model']:.2f} of a model"
    )


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
