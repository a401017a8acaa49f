"""Where models run, and in which precision."""

from functools import cache
from statistics import median

import torch

from bistil.launch import processes
from bistil.models.flops import matrix_rate

_LEAST_GAIN = 1.2  # of products, for copies between bfloat16 and float32 take time as well


def device() -> torch.device:
    """The CUDA device if there is one (of several, this process's), else the CPU: ``device(type="cpu")``."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision() -> bool:
    """Whether training is in bfloat16: where a CUDA device has it, or a CPU has it and is faster by it.

    A CUDA device older than Ampere (T4, V100) emulates it, slower than float32. Intel's AVX-512 has it at half the
    rate of float32 where a virtual machine hides AMX.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(native) and _gain() > _LEAST_GAIN


@cache
def _gain() -> float:
    """How many times faster than float32 the CPU multiplies bfloat16: 0.54 on a Xeon without AMX."""
    cpu = torch.device("cpu")
    pairs = [[matrix_rate(cpu, dtype, 512) for dtype in (torch.bfloat16, torch.float32)] for _ in range(3)]
    return median(half / whole for half, whole in pairs)


def unused() -> list[str]:
    """What training does not use of this machine, though one might expect it to, in sentences."""
    if not torch.cuda.is_available():
        other = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return [f"{other.type.upper()} is not used: bistil trains on CUDA devices and the CPU."] if other else []
    found = []
    if not mixed_precision():
        name = torch.cuda.get_device_name()
        found.append(f"{name} has no native bfloat16 arithmetic: bistil trains in float32 on it.")
    if (count := torch.cuda.device_count()) > 1 and processes() == 1:
        launcher = f"torchrun --nproc-per-node {count} -m bistil distill"
        found.append(f"One of {count} GPUs is used. General distillation takes all of them with `{launcher} …`.")
    return found
