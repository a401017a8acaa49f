"""Reads hidden states and attention probabilities of chosen layers from a running encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_ATTENTION = "bistil_states"


@dataclass(frozen=True)
class States:
    """What a distillation loss reads: the embedding output and the chosen layers, in order."""

    hidden: tuple[Tensor, ...]
    attention: tuple[Tensor, ...]
    logits: Tensor | None


class StateReader:
    """Runs a model and returns the states of some of its layers.

    Only those layers compute their attention probabilities; all others use the fused kernel. ``layers``
    are counted from 1, as hidden states are (0 is the embedding output). Example: ``StateReader(model, [2, 4])``.
    """

    def __init__(self, model: PreTrainedModel, layers: Sequence[int]) -> None:
        self.model = model
        self.layers = tuple(layers)
        self._seen: dict[int, Tensor] = {}
        model.set_attn_implementation(_ATTENTION)
        for module in model.modules():
            index = getattr(module, "layer_idx", None)
            if index is not None and index + 1 in self.layers:
                module.attention_record = self._seen  # type: ignore[assignment]

    def __call__(self, inputs: Mapping[str, Tensor]) -> States:
        """The states for one batch of model inputs (``input_ids``, ``attention_mask``, …)."""
        self._seen.clear()
        output = self.model(**inputs, output_hidden_states=True)
        missing = [layer for layer in self.layers if layer - 1 not in self._seen]
        if missing:
            raise RuntimeError(f"layers {missing} of {type(self.model).__name__} gave no attention probabilities")
        attention = tuple(self._seen[layer - 1] for layer in self.layers)
        self._seen.clear()
        hidden = tuple(output.hidden_states[layer] for layer in (0, *self.layers))
        return States(hidden, attention, getattr(output, "logits", None))


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    record = getattr(module, "attention_record", None)
    if record is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return output, None
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    probabilities = F.softmax(scores, dim=-1)
    record[module.layer_idx] = probabilities
    mixed = F.dropout(probabilities, dropout, module.training) @ value
    return mixed.transpose(1, 2).contiguous(), probabilities


AttentionInterface.register(_ATTENTION, _attention)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
