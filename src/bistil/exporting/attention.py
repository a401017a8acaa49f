"""Attention as one node of an ONNX graph, instead of the dozen that torch makes of it."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, bidirectional_mask_function, eager_mask

NAME = "bistil_onnx"  # of the implementation that `set_attn_implementation` takes; it can be exported, but not run


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """MultiHeadAttention of onnxruntime, for [batch, heads, tokens, size]; it gives [batch, tokens, heads, size].

    A mask [batch, tokens] says which tokens are real; one of four dimensions is added to the scores.
    """
    batch, heads, tokens, size = query.shape
    if key.shape[1] != heads:  # several query heads share a key head
        key, value = (states.repeat_interleave(heads // key.shape[1], 1) for states in (key, value))
    inputs: list[Tensor | None] = [states.transpose(1, 2).flatten(2) for states in (query, key, value)]
    if attention_mask is not None and attention_mask.dim() == 2:
        inputs += [None, attention_mask.to(torch.int32)]
    elif attention_mask is not None:
        inputs += [None, None, attention_mask.expand(-1, -1, tokens, tokens)]
    mixed = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        inputs,
        {"num_heads": heads, "scale": size**-0.5 if scaling is None else float(scaling)},
        dtype=query.dtype,
        shape=(batch, tokens, heads * size),
        version=1,
    )
    return mixed.unflatten(-1, (heads, size)), None


def _mask(
    *sizes: Any,
    mask_function: Any = bidirectional_mask_function,
    attention_mask: Tensor | None = None,
    use_vmap: bool = False,
    **options: Any,
) -> Tensor | None:
    """The mask [batch, tokens] itself where every token sees every real one; else what is added to the scores."""
    if mask_function is bidirectional_mask_function and attention_mask is not None and not use_vmap:
        return attention_mask
    return eager_mask(
        *sizes, mask_function=mask_function, attention_mask=attention_mask, use_vmap=use_vmap, **options
    )


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _mask)
