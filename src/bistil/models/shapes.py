"""The shape of an encoder, known from its configuration alone, and that of a student, from its teacher's."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from bistil.models.families import family, without_dropout
from bistil.models.flops import forward_flops

_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Shape:
    """An encoder without its numbers, and without a pooler, which is part of a head.

    ``config.vocab_size`` counts the tokens that are kept.
    """

    config: PreTrainedConfig

    @cached_property
    def encoder(self) -> PreTrainedModel:
        """The modules, on the meta device."""
        options = {"add_pooling_layer": False} if family(self.config).pooler else {}
        with torch.device("meta"):
            model: PreTrainedModel = AutoModel.from_config(self.config, **options)
        return model

    @property
    def bytes(self) -> int:
        """Of the weights."""
        return _FLOAT * self.encoder.num_parameters()

    def forward(self, length: float, layers: int | None = None) -> float:
        """Operations for one token of inputs of some length; a backward pass takes twice as many."""
        return forward_flops(self.encoder, round(length), layers)

    def activations(self, length: float, *, attention: bool = True) -> float:
        """Bytes that training keeps for each token, in float32 (Korthikanti et al. 2022, equation 1).

        Without ``attention`` no probabilities are kept, as where a fused kernel computes them.
        """
        hidden, heads = self.config.hidden_size, self.config.num_attention_heads * attention
        return 2 * self.config.num_hidden_layers * (34 * hidden + 5 * heads * length)


@dataclass(frozen=True)
class StudentShape:
    """The teacher's layers that a student keeps, counted from 1, and its widths; None: the teacher's.

    Example: ``StudentShape((1, 12), intermediate_size=384)``.
    """

    layers: tuple[int, ...]
    intermediate_size: int | None = None
    hidden_size: int | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What a report has of it: ``{"layers": [1, 12], "intermediate_size": 384, "hidden_size": None}``."""
        return {**asdict(self), "layers": list(self.layers)}

    @property
    def said(self) -> str:
        """``layers 1, 12; feed-forward size 384``."""
        sizes = {"hidden size": self.hidden_size, "feed-forward size": self.intermediate_size}
        narrower = [f"{name} {size:,}" for name, size in sizes.items() if size is not None]
        return "; ".join([f"layers {', '.join(map(str, self.layers))}", *narrower])

    def config(self, teacher: PreTrainedConfig) -> PreTrainedConfig:
        """The configuration of a student of this shape."""
        values: dict[str, Any] = teacher.to_dict() | without_dropout(teacher)
        values["num_hidden_layers"] = len(self.layers)
        if values.get("layer_types"):
            values["layer_types"] = [values["layer_types"][layer - 1] for layer in self.layers]
        if self.hidden_size is not None:
            values["num_attention_heads"] = self.hidden_size * teacher.num_attention_heads // teacher.hidden_size
            values["hidden_size"] = self.hidden_size
        if self.intermediate_size is not None:
            values[family(teacher).inner_size] = self.intermediate_size
        return type(teacher).from_dict(values)
