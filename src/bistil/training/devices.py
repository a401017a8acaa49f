"""Where models run, and in which precision."""

import torch

from bistil.launch import processes


def device() -> torch.device:
    """The CUDA device if there is one (of several, this process's), else the CPU: ``device(type="cpu")``."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision() -> bool:
    """Whether bfloat16 arithmetic is native here: a CUDA device or CPU that multiplies bfloat16 itself.

    A CUDA device older than Ampere (T4, V100) emulates it, slower than float32.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


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
