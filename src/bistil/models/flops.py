"""Floating-point operations of an encoder, and how many a machine does in a matrix product."""

import time
from statistics import median

import torch
from torch import nn
from transformers import PreTrainedModel

_SIDES = {"cpu": 2048, "cuda": 8192}  # large enough that the device works at its full rate
_ROUNDS = 5


def forward_flops(encoder: PreTrainedModel, block: int, layers: int | None = None) -> int:
    """Operations for one token of a forward pass over blocks of ``block`` tokens, a product and a sum being two.

    ``layers`` are how many are run, ``None`` for all. Counted are the matrix products: linear layers, and
    attention's scores and mixtures. A backward pass takes twice as many. Multilingual-E5-small with blocks of 128
    tokens: 44.8 million.
    """
    linear = sum(module.weight.numel() for module in encoder.modules() if isinstance(module, nn.Linear))
    attention = 2 * block * encoder.config.hidden_size * encoder.config.num_hidden_layers
    return (
        2 * (linear + attention) * (layers or encoder.config.num_hidden_layers) // encoder.config.num_hidden_layers
    )


def matrix_rate(device: torch.device, dtype: torch.dtype, side: int | None = None) -> float:
    """Operations a second of the product of two square matrices here and now: the median of five.

    They are ``side`` wide, by default 2,048, on a CUDA device 8,192. This is the yardstick for training: no step
    can be faster. Two cores of an EPYC do 1.3e11 in float32.
    """
    side = side or _SIDES[device.type]
    generator = torch.Generator(device).manual_seed(0)  # of its own: training draws from the global one
    left, right = (torch.randn(side, side, device=device, generator=generator).to(dtype) for _ in range(2))
    out = left @ right
    seconds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        torch.mm(left, right, out=out)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / median(seconds)
