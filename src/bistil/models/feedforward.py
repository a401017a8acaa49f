"""Students with narrower feed-forwards: which neurons of the teacher they keep, as measured on text."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bistil.models import families
from bistil.models.refit import refitted
from bistil.models.units import Units, real_tokens, seeing


@torch.no_grad()
def with_feed_forward(
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    layers: Sequence[int],
    size: int,
    batches: Sequence[Mapping[str, Tensor]],
) -> PreTrainedModel:
    """A copy of ``student``, which holds the teacher's ``layers``, whose feed-forwards have so many neurons.

    Kept are those that vary most in what they give to the residual stream; their outgoing weights, and the bias
    where the family has one, make up for the others as far as they can (`bistil.models.refit`). ``batches`` are
    as in `bistil.models.width.narrowed`. Example: ``with_feed_forward(teacher, student, (1, 12), 384, batches)``
    keeps 384 of 1,536 neurons of each layer of multilingual-E5-small.
    """
    family = families.family(student.config)
    inner = families.feed_forward_size(student.config)
    config = copy.deepcopy(student.config)
    config.update({family.inner_size: size})
    narrow = type(student)(config, **{"add_pooling_layer": False} if family.pooler else {}).eval()
    state = student.state_dict()
    outputs = [families.layers(teacher)[layer - 1].get_submodule(family.writes) for layer in layers]
    kept = [units.largest(size) for units in _neurons(teacher, outputs, batches)]
    for number, (weight, bias) in enumerate(refitted(teacher, outputs, kept, batches)):
        layer = f"{family.layers}.{number}"
        for name in family.reads:
            for part in ("weight", "bias"):
                if (own := state.get(f"{layer}.{name}.{part}")) is not None:
                    # several may lie side by side, such as a gate and what it lets through
                    state[f"{layer}.{name}.{part}"] = own.unflatten(0, (-1, inner))[:, kept[number]].flatten(0, 1)
        state[f"{layer}.{family.writes}.weight"] = weight
        if bias is not None:
            state[f"{layer}.{family.writes}.bias"] = bias
    narrow.load_state_dict(state)
    return narrow


def _neurons(
    teacher: PreTrainedModel, outputs: Sequence[nn.Linear], batches: Sequence[Mapping[str, Tensor]]
) -> list[Units]:
    """The inputs of each of the output projections, over all tokens of the batches."""
    units = [Units(output, output.in_features) for output in outputs]

    def add(batch: Mapping[str, Tensor]) -> None:
        real = real_tokens(batch)
        with seeing(outputs, lambda index, inputs, _: units[index].add(inputs[real])):
            teacher(**batch)

    for batch in batches:
        add(batch)
    return units
