"""Which shape of a student is within a budget: of parameters, which are counted, or of time, which is measured."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from transformers import PreTrainedConfig

from bistil.errors import BistilError
from bistil.models.budgets import deepest
from bistil.models.families import feed_forward_size
from bistil.models.shapes import Shape, StudentShape
from bistil.pipeline.shapetimes import Engine, text_seconds

_TRIES = 6  # the next with what the last one's measurement says
_FAR, _NEAR = 0.9, 1.03  # of the budget; two measurements of one shape differ by some hundredths


def within_time(
    teacher: PreTrainedConfig, tokenizer: Any, budget: float, engine: Engine, tokens: int
) -> tuple[StudentShape, float]:
    """The deepest shape that takes at most this share of the teacher's time for a text, and the share it took.

    Of every hidden size three small encoders are measured: time is linear in the number of layers and in the width
    of their feed-forwards. The chosen shape is measured, too; where it takes longer than that said, a smaller one
    is chosen, and where it takes much less, a larger one.

    Args:
        teacher: the configuration of the trimmed teacher.
        tokenizer: the trimmed one.
        budget: such as 0.5.
        engine: that in which the student is deployed.
        tokens: of a text.
    """
    lines: dict[int | None, Callable[[StudentShape], float]] = {}

    def seconds(shape: StudentShape) -> float:
        if (hidden := shape.hidden_size) not in lines:
            lines[hidden] = _line(teacher, hidden, tokenizer, engine, tokens)
        return lines[hidden](shape)

    def cost(shape: StudentShape) -> float:
        return seconds(shape) / seconds(whole)

    whole = StudentShape(tuple(range(1, teacher.num_hidden_layers + 1)))
    allowed, shares = budget, dict[StudentShape, float]()
    while len(shares) < _TRIES:
        try:
            shape = deepest(teacher, allowed, cost)
        except BistilError:
            if shares:  # the smallest of all, which takes longer than it seemed
                break
            raise
        if shape in shares:
            break
        configs = [whole.config(teacher), shape.config(teacher)]
        all_of_it, part = text_seconds(configs, tokenizer, engine, [tokens])[tokens]
        shares[shape] = part / all_of_it
        if met(shares[shape], budget):
            break
        allowed *= budget / shares[shape]
    within = [shape for shape, share in shares.items() if share <= budget * _NEAR]
    best = max(within, key=shares.__getitem__) if within else min(shares, key=shares.__getitem__)
    return best, shares[best]


def met(share: float, budget: float) -> bool:
    """Whether a measured share is what was allowed, neither more nor much less."""
    return _FAR <= share / budget <= _NEAR


def _line(
    teacher: PreTrainedConfig, hidden: int | None, tokenizer: Any, engine: Engine, tokens: int
) -> Callable[[StudentShape], float]:
    """Seconds for a text by shapes of one hidden size: a + layers · (b + width · c)."""
    inner, most = feed_forward_size(teacher), min(3, teacher.num_hidden_layers)
    deep = StudentShape(tuple(range(1, most + 1)), hidden_size=hidden)
    thin = max(inner // 4, 1)
    shapes = [StudentShape((1,), hidden_size=hidden), deep, replace(deep, intermediate_size=thin)]
    configs = [shape.config(teacher) for shape in shapes]
    one, wide, narrow = text_seconds(configs, tokenizer, engine, [tokens])[tokens]
    neuron = (wide - narrow) / (most * max(inner - thin, 1))
    layer = (wide - one) / max(most - 1, 1) - inner * neuron
    rest = one - layer - inner * neuron
    return lambda shape: rest + len(shape.layers) * (layer + (shape.intermediate_size or inner) * neuron)


def within_parameters(teacher: PreTrainedConfig, budget: float) -> tuple[StudentShape, float]:
    """The deepest shape with at most this share of the teacher's parameters, token embeddings included."""
    cost = _share(teacher, lambda shape: shape.bytes)
    return (shape := deepest(teacher, budget, cost)), cost(shape)


def within_operations(teacher: PreTrainedConfig, budget: float, tokens: int) -> StudentShape:
    """The same by operations, which no machine has to be measured for: what a plan guesses time by."""
    return deepest(teacher, budget, _share(teacher, lambda shape: shape.forward(tokens)))


def _share(teacher: PreTrainedConfig, size: Callable[[Shape], float]) -> Callable[[StudentShape], float]:
    whole = size(Shape(teacher))
    return lambda shape: size(Shape(shape.config(teacher))) / whole
