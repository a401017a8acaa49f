"""The sparse phase against the dense one: `python -m benchmarks.sparse_step`, into ``results/sparse-step.json``.

A part-of-speech tagger of multilingual-E5-small's size, trimmed to 25,000 tokens, at density 8 %: seconds of a
step (forward, backward, optimizer) of dense and sparse training in turns, A B A B, medians, and the bytes of both
optimizers' states.
"""

import copy
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from transformers import BertForTokenClassification

from benchmarks.results import save_measurement
from bistil.models import teachers
from bistil.sparse.groups import encoder_parameters
from bistil.sparse.selection import largest_changes
from bistil.training.allocator import keep_freed_memory
from bistil.training.devices import mixed_precision
from bistil.training.values import SparseValues
from bistil.vocabulary.trim import trim_model

DENSITY, TAGS, BATCH, LENGTH = 0.08, 17, 32, 32


def tagger() -> BertForTokenClassification:
    """The trimmed encoder under a new head."""
    encoder, _ = teachers.load(teachers.locate("bundled:multilingual-e5-small"))
    encoder = trim_model(encoder, np.arange(25_000))
    encoder.config.num_labels = TAGS
    model = BertForTokenClassification(encoder.config)
    model.bert = encoder
    return model


def stepper(model: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[], float]:
    """A function that takes one training step on the next random batch and returns its seconds."""
    generator = torch.Generator().manual_seed(0)

    def step() -> float:
        inputs = torch.randint(5, 25_000, (BATCH, LENGTH), generator=generator)
        labels = torch.randint(0, TAGS, (BATCH, LENGTH), generator=generator)
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed_precision()):
            loss = model(input_ids=inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - started

    return step


def _clip(model: nn.Module) -> None:
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of all tensors in the optimizer's state."""
    tensors = [
        value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)
    ]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def main() -> None:
    """Measures, prints and keeps the numbers; an argument is the number of rounds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    keep_freed_memory()
    torch.manual_seed(0)
    dense = tagger().train()
    sparse = copy.deepcopy(dense)
    optimizer = torch.optim.AdamW(dense.parameters(), lr=1e-4, weight_decay=0.0, fused=True)
    optimizer.register_step_pre_hook(lambda *_: _clip(dense))
    group = encoder_parameters(sparse)
    start = {name: value.detach() for name, value in sparse.named_parameters() if name in group}
    dense_step = stepper(dense, optimizer)
    dense_step()
    moved = {name: value.detach() for name, value in dense.named_parameters()}
    sparse_optimizer = SparseValues(sparse, largest_changes(start, moved, DENSITY)).optimizer(1e-4)
    sparse_step = stepper(sparse, sparse_optimizer)
    sparse_step()
    times: dict[str, list[float]] = {"dense": [], "sparse": []}
    for _ in range(rounds):
        times["dense"].append(dense_step())
        times["sparse"].append(sparse_step())
    seconds = {name: median(values) for name, values in times.items()}
    states = {"dense": state_bytes(optimizer), "sparse": state_bytes(sparse_optimizer)}
    result = {
        "parameters": sum(value.numel() for value in dense.parameters()),
        "batch": [BATCH, LENGTH],
        "seconds": seconds,
        "step_ratio": seconds["sparse"] / seconds["dense"],
        "state_bytes": states,
        "state_ratio": states["sparse"] / states["dense"],
    }
    save_measurement("sparse-step", " ".join(["python -m benchmarks.sparse_step", *sys.argv[1:]]), result)
    print(f"step: dense {seconds['dense']:.3f} s, sparse {seconds['sparse']:.3f} s, {result['step_ratio']:.3f}")
    sizes = f"{states['sparse'] / 1e6:.1f} of {states['dense'] / 1e6:.1f} MB"
    print(f"optimizer state: {sizes}, {result['state_ratio']:.3f}")


if __name__ == "__main__":
    main()
