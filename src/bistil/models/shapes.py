"""The shape of an encoder: its modules without their numbers, known from its configuration alone."""

from dataclasses import dataclass
from functools import cached_property

import torch
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from bistil.models.families import without_dropout
from bistil.models.flops import forward_flops
from bistil.recipe.parts import Student

_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Shape:
    """An encoder without its numbers; ``config.vocab_size`` counts the tokens that are kept."""

    config: PreTrainedConfig

    @cached_property
    def encoder(self) -> PreTrainedModel:
        """The modules, on the meta device."""
        with torch.device("meta"):
            model: PreTrainedModel = AutoModel.from_config(self.config)
        return model

    @property
    def bytes(self) -> int:
        """Of the weights."""
        return _FLOAT * self.encoder.num_parameters()

    def forward(self, length: float, layers: int | None = None) -> float:
        """Operations for one token of inputs of some length; a backward pass takes twice as many."""
        return forward_flops(self.encoder, round(length), layers)

    def activations(self, length: float) -> float:
        """Bytes that training keeps for each token, in float32 (Korthikanti et al. 2022, equation 1)."""
        hidden, heads = self.config.hidden_size, self.config.num_attention_heads
        return 2 * self.config.num_hidden_layers * (34 * hidden + 5 * heads * length)


def student_of(teacher: PreTrainedConfig, student: Student, layers: int) -> PreTrainedConfig:
    """The configuration of a student with so many of the teacher's layers, narrower where it is to be."""
    values = teacher.to_dict() | without_dropout(teacher) | {"num_hidden_layers": layers}
    if values.get("layer_types"):
        values["layer_types"] = values["layer_types"][:layers]
    if (hidden := student.hidden_size) is not None:
        values["num_attention_heads"] = hidden * teacher.num_attention_heads // teacher.hidden_size
        values["hidden_size"] = hidden
    if (inner := student.intermediate_size) is not None:
        values["intermediate_size"] = inner
    return type(teacher).from_dict(values)
