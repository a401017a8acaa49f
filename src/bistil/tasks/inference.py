"""What a model returns for many inputs, batch by batch."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers import DataCollatorWithPadding

from bistil.models.families import encoder, most_tokens

_FULL = 512  # tokens


def max_length(model: Any, tokenizer: Any) -> int:
    """The most tokens the model takes at once, special tokens included: 512 for XLM-R and multilingual E5."""
    longest: int = min(most_tokens(encoder(model).config), tokenizer.model_max_length)
    return longest


def logits(
    model: Any,
    tokenizer: Any,
    inputs: Sequence[Any],
    batch_size: int,
    read: Callable[[Any], torch.Tensor] = lambda outputs: outputs.logits,
) -> list[torch.Tensor]:
    """The model's outputs for each unpadded input, in order; token outputs may end in rows of padding.

    ``read`` takes them, [batch, …], from what the model returns.
    """
    outputs: dict[int, torch.Tensor] = {}
    for chosen, output in batched(model, inputs, DataCollatorWithPadding(tokenizer), batch_size):
        outputs |= zip(chosen, read(output).float().cpu(), strict=True)
    return [outputs[index] for index in range(len(inputs))]


def batched(model: Any, inputs: Sequence[Any], collator: Any, batch_size: int) -> Iterator[tuple[list[int], Any]]:
    """What the model, in eval mode, returns for each batch of unpadded inputs, and the numbers of these.

    A batch has ``batch_size`` inputs, or fewer where they are longer than 512 tokens, so that none takes more
    memory than one of so many inputs of 512.
    """
    lengths = [len(one["input_ids"]) for one in inputs]
    # Like lengths go together, so that little is padded; the longest first: what does not fit fails early.
    order = sorted(range(len(inputs)), key=lengths.__getitem__, reverse=True)
    training = model.training
    model.eval()
    try:
        start = 0
        while start < len(order):
            chosen = order[start : start + _inputs_a_batch(lengths[order[start]], batch_size)]
            start += len(chosen)
            batch = collator([inputs[index] for index in chosen])
            with torch.inference_mode():
                output = model(**{name: values.to(model.device) for name, values in batch.items()})
            yield chosen, output
    finally:
        model.train(training)


def _inputs_a_batch(longest: int, batch_size: int) -> int:
    """At least one, and by the square of the length, as attention takes memory: 32 of 512 tokens, 8 of 1,024."""
    return max(1, batch_size * _FULL**2 // max(longest, _FULL) ** 2)
