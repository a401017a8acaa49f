"""Which teacher layers a student keeps, and how it starts."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel

from bistil.errors import BistilError


def encoder_layers(folder: Path) -> int:
    """How many layers the model in a transformers folder has: 12 for multilingual-E5-small."""
    return int(json.loads((folder / "config.json").read_text())["num_hidden_layers"])


def kept_layers(teacher_layers: int, layer_reduction: int, layers: Sequence[int] | None = None) -> tuple[int, ...]:
    """The teacher layers a(1)..a(N_S) that the student copies, counted from 1 (BiStil, section 3.1).

    ``layers`` overrides the even choice a(j) = j · layer_reduction. Example: ``kept_layers(12, 2)`` is
    ``(2, 4, 6, 8, 10, 12)``.
    """
    if layers is not None:
        chosen = tuple(layers)
        if not chosen or list(chosen) != sorted(set(chosen)) or chosen[0] < 1 or chosen[-1] > teacher_layers:
            raise BistilError(
                f"student.layers is {list(chosen)}. Give ascending, different teacher layers from 1 to "
                f"{teacher_layers} (0 is the embedding output, which every student has)."
            )
        return chosen
    if layer_reduction < 1 or teacher_layers % layer_reduction:
        raise BistilError(
            f"student.layer_reduction is {layer_reduction}, which does not divide the teacher's "
            f"{teacher_layers} layers. Choose a divisor, or list the layers to keep in student.layers."
        )
    return tuple(range(layer_reduction, teacher_layers + 1, layer_reduction))


def make_student(teacher: PreTrainedModel, layers: Sequence[int]) -> PreTrainedModel:
    """A plain transformers encoder with the teacher's embeddings and chosen layers, dropout 0.

    Weights are copies, so that training the student leaves the teacher as it is. Example:
    ``make_student(teacher, (2, 4, 6, 8, 10, 12))`` has 6 layers.
    """
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = len(layers)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    student = type(teacher)(config, add_pooling_layer=False)
    student.embeddings.load_state_dict(teacher.embeddings.state_dict())
    for layer, kept in zip(student.encoder.layer, layers, strict=True):
        layer.load_state_dict(teacher.encoder.layer[kept - 1].state_dict())
    return student
