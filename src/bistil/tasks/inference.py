"""What a model returns for many inputs, batch by batch: a torch model, or one in ONNX form."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bistil.runtime.engine import OnnxEngine, Outputs
from bistil.runtime.padding import of_tokens, padded

_FULL = 512  # tokens
_CACHED = 256  # tokens a batch, whose states a core keeps in its cache
_SPARED = 4  # tokens of padding of one input: as many take about as long as a batch of its own costs


def max_length(model: Any, tokenizer: Any) -> int:
    """The most tokens the model takes at once, special tokens included: 512 for XLM-R and multilingual E5."""
    if isinstance(model, OnnxEngine):
        return int(tokenizer.model_max_length)
    from bistil.models.families import encoder
    from bistil.runtime.positions import most_tokens

    return int(min(most_tokens(encoder(model).config), tokenizer.model_max_length))


def logits(
    model: Any,
    tokenizer: Any,
    inputs: Sequence[Any],
    batch_size: int,
    read: Callable[[Outputs], NDArray[Any]] = lambda outputs: outputs["logits"],
) -> list[NDArray[Any]]:
    """The model's outputs for each unpadded input, in order; token outputs may end in rows of padding.

    ``read`` takes them, [batch, …], from what the model returns.
    """
    found: dict[int, NDArray[Any]] = {}
    for chosen, outputs in batched(model, tokenizer, inputs, batch_size):
        found |= zip(chosen, read(outputs), strict=True)
    return [found[index] for index in range(len(inputs))]


def batched(
    model: Any, tokenizer: Any, inputs: Sequence[Any], batch_size: int
) -> Iterator[tuple[list[int], Outputs]]:
    """What the model, in eval mode, returns for each batch of unpadded inputs, and the numbers of these.

    Outputs are in float32, by name. A batch of a torch model has ``batch_size`` inputs, or fewer where they are
    longer than 512 tokens, so that none takes more memory than one of so many inputs of 512. A model in ONNX form
    takes as many of these as have 256 tokens, none over 4 shorter than the longest, several batches at a time.
    """
    lengths = [len(one["input_ids"]) for one in inputs]
    # Like lengths go together, so that little is padded; the longest first: what does not fit fails early.
    order = sorted(range(len(inputs)), key=lengths.__getitem__, reverse=True)
    padding = of_tokens(tokenizer)
    if isinstance(model, OnnxEngine):
        chosen = list(
            _batches(order, lengths, lambda longest: min(batch_size, _CACHED // max(longest, 1)), _SPARED)
        )
        batches = (padded([inputs[index] for index in numbers], padding) for numbers in chosen)
        yield from zip(chosen, model.each(batches), strict=True)
        return
    # by the square of the length, as attention takes memory: 32 of 512 tokens, 8 of 1,024
    chosen = list(_batches(order, lengths, lambda longest: batch_size * _FULL**2 // max(longest, _FULL) ** 2))
    with _evaluating(model):
        for numbers in chosen:
            yield numbers, _run(model, padded([inputs[index] for index in numbers], padding))


def _batches(
    order: Sequence[int], lengths: Sequence[int], size: Callable[[int], int], shorter: float = math.inf
) -> Iterator[list[int]]:
    """Numbers of inputs, the longest first: of each batch at least one, as many as go with its longest.

    None is shorter than the longest by more than ``shorter`` tokens.
    """
    batch: list[int] = []
    for number in order:
        longest = lengths[batch[0]] if batch else 0
        if batch and (len(batch) >= size(longest) or longest - lengths[number] > shorter):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _run(model: Any, batch: Mapping[str, NDArray[np.int64]]) -> Outputs:
    import torch

    with torch.inference_mode():
        outputs = model(**{name: torch.from_numpy(values).to(model.device) for name, values in batch.items()})
    named = outputs.items() if hasattr(outputs, "items") else vars(outputs).items()
    return {name: value.float().cpu().numpy() for name, value in named if isinstance(value, torch.Tensor)}
