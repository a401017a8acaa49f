"""Which shape of a student is within a budget: of parameters, which are counted, or of time, which is measured."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from transformers import AutoModel, PreTrainedConfig

from bistil.models.budgets import StudentShape, deepest
from bistil.models.families import family, feed_forward_size
from bistil.models.flops import forward_flops
from bistil.pipeline.shapetimes import Engine, text_seconds

Cost = Callable[[StudentShape], float]
_CORRECTIONS = 3  # of what lines through three measurements say


def within_time(
    teacher: PreTrainedConfig, tokenizer: Any, budget: float, engine: Engine, tokens: int
) -> tuple[StudentShape, float]:
    """The deepest shape that takes at most this share of the teacher's time for a text, and the share it took.

    Of every hidden size three shapes are measured, between which time is linear in the number of layers and in
    their feed-forwards; the chosen one is measured too, and where it takes longer than that said, another is
    chosen.

    Args:
        teacher: the configuration of the trimmed teacher.
        tokenizer: the trimmed one.
        budget: such as 0.5.
        engine: that in which the student is deployed.
        tokens: of a text.
    """
    whole = StudentShape(tuple(range(1, teacher.num_hidden_layers + 1)))
    lines: dict[int | None, Cost] = {}

    def cost(shape: StudentShape) -> float:
        if shape.hidden_size not in lines:
            lines[shape.hidden_size] = _line(teacher, shape.hidden_size, tokenizer, engine, tokens)
        return longer * lines[shape.hidden_size](shape)

    longer = 1.0
    for _ in range(_CORRECTIONS):
        shape = deepest(teacher, budget, cost)
        configs = [whole.config(teacher), shape.config(teacher)]
        all_of_it, part = text_seconds(configs, tokenizer, engine, tokens)
        if (share := part / all_of_it) <= budget:
            break
        longer *= share / cost(shape)
    return shape, share


def _line(teacher: PreTrainedConfig, hidden: int | None, tokenizer: Any, engine: Engine, tokens: int) -> Cost:
    """Time as a share of the teacher's for shapes of one hidden size: a + layers · (b + width · c)."""
    number, inner = teacher.num_hidden_layers, feed_forward_size(teacher)
    deep = StudentShape(tuple(range(1, number + 1)), hidden_size=hidden)
    fewer = max(number // 3, 1)
    thin = replace(deep, intermediate_size=max(inner // 4, 1))
    shapes = [StudentShape(deep.layers), deep, replace(deep, layers=deep.layers[:fewer]), thin]
    configs = [shape.config(teacher) for shape in shapes]
    whole, most, shallow, narrow = text_seconds(configs, tokenizer, engine, tokens)
    neuron = (most - narrow) / (number * (inner - (thin.intermediate_size or inner))) if inner > 1 else 0.0
    layer = (most - shallow) / max(number - fewer, 1) - inner * neuron
    rest = most - number * (layer + inner * neuron)

    def cost(shape: StudentShape) -> float:
        return (rest + len(shape.layers) * (layer + (shape.intermediate_size or inner) * neuron)) / whole

    return cost


def within_parameters(teacher: PreTrainedConfig, budget: float) -> tuple[StudentShape, float]:
    """The deepest shape with at most this share of the teacher's parameters, token embeddings included."""
    cost = _share(teacher, lambda model: model.num_parameters())
    return (shape := deepest(teacher, budget, cost)), cost(shape)


def within_operations(teacher: PreTrainedConfig, budget: float, tokens: int) -> StudentShape:
    """The same by operations, which no machine has to be measured for: what a plan guesses time by."""
    return deepest(teacher, budget, _share(teacher, lambda model: forward_flops(model, tokens)))


def _share(teacher: PreTrainedConfig, size: Callable[[Any], float]) -> Cost:
    def of(config: PreTrainedConfig) -> float:
        with torch.device("meta"):
            options = {"add_pooling_layer": False} if family(config).pooler else {}
            return size(AutoModel.from_config(config, **options))

    whole = of(teacher)
    return lambda shape: of(shape.config(teacher)) / whole
