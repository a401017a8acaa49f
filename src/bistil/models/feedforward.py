"""Students with narrower feed-forwards: which neurons of the teacher they keep, as measured on text."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from bistil.models import families
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

    Kept are those that vary most in what they give to the residual stream; the mean of what the others give goes
    into the bias, where the family has one. All else is as it was. ``batches`` are as in
    `bistil.models.width.narrowed`. Example: ``with_feed_forward(teacher, student, (1, 12), 384, batches)`` keeps
    384 of 1,536 neurons of each layer of multilingual-E5-small.
    """
    family = families.family(student.config)
    config = copy.deepcopy(student.config)
    config.update({family.inner_size: size})
    narrow = type(student)(config, **{"add_pooling_layer": False} if family.pooler else {}).eval()
    state = student.state_dict()
    for number, units in enumerate(neurons(teacher, layers, batches)):
        kept = units.largest(size)
        layer = f"{family.layers}.{number}"
        for name in family.reads:
            for part in ("weight", "bias"):
                if (own := state.get(f"{layer}.{name}.{part}")) is not None:
                    # several may lie side by side, such as a gate and what it lets through
                    state[f"{layer}.{name}.{part}"] = own.unflatten(0, (-1, units.count))[:, kept].flatten(0, 1)
        weight = state[f"{layer}.{family.writes}.weight"]
        if (bias := state.get(f"{layer}.{family.writes}.bias")) is not None:
            dropped = units.mean.flatten().to(weight.dtype).index_fill(0, kept, 0)
            state[f"{layer}.{family.writes}.bias"] = bias + weight @ dropped
        state[f"{layer}.{family.writes}.weight"] = weight[:, kept]
    narrow.load_state_dict(state)
    return narrow


def neurons(
    teacher: PreTrainedModel, layers: Sequence[int], batches: Sequence[Mapping[str, Tensor]]
) -> list[Units]:
    """Those of each of the layers, counted from 1, over all tokens of the batches."""
    writes, size = families.family(teacher.config).writes, families.feed_forward_size(teacher.config)
    outputs = [families.layers(teacher)[layer - 1].get_submodule(writes) for layer in layers]
    units = [Units(output, size) for output in outputs]

    def add(batch: Mapping[str, Tensor]) -> None:
        real = real_tokens(batch)
        with seeing(outputs, lambda index, inputs, _: units[index].add(inputs[real])):
            teacher(**batch)

    for batch in batches:
        add(batch)
    return units
