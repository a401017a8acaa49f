"""Where models run."""

import torch


def device() -> torch.device:
    """The CUDA device if there is one (of several, this process's), else the CPU: ``device(type="cpu")``."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
