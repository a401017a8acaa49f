"""What int8 costs a model, against float32: in scores on labelled examples, or in what it does with plain text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from bistil.runtime.pooling import Pooling, normalized
from bistil.tasks.task import Prediction, Task
from bistil.tasks.vectors import vectors


class Comparison(Protocol):
    """Compares a model in int8 with what float32 gave.

    The ``loss`` in what it returns is in points; the rest is for ``export.json``.
    """

    def facts(self, model: Any) -> dict[str, Any]: ...  # noqa: D102


@dataclass(frozen=True)
class OnExamples:
    """Compares the scores on labelled examples: ``{"float32": 78.6, "int8": 78.5, "loss": 0.1, …}``."""

    task: Task[Any]
    tokenizer: Any
    examples: Sequence[Any]
    score: float

    @classmethod
    def of(cls, model: Any, tokenizer: Any, task: Task[Any], examples: Sequence[Any]) -> Self:
        """With the score of a model in float32."""
        task.check(examples)
        return cls(task, tokenizer, examples, _score(model, tokenizer, task, examples))

    def facts(self, model: Any) -> dict[str, Any]:
        """The scores, their difference, by which metric and on how many examples."""
        score = _score(model, self.tokenizer, self.task, self.examples)
        return {
            "metric": self.task.metric,
            "float32": self.score,
            "int8": score,
            "loss": self.score - score,
            "examples": len(self.examples),
        }


@dataclass(frozen=True)
class OnText:
    """Compares the labels of plain text: ``{"agreement": 98.7, "loss": 0.2, "texts": 500}``.

    A label that float32 gives with the probability p and int8 does not give costs at least 2p − 1 of accuracy, if
    float32's probabilities are right; the loss is the mean of that over all labels, in points.
    """

    task: Task[Any]
    tokenizer: Any
    examples: Sequence[Any]
    predictions: Sequence[Prediction]

    @classmethod
    def of(cls, model: Any, tokenizer: Any, task: Task[Any], examples: Sequence[Any]) -> Self:
        """With the predictions of a model in float32."""
        return cls(task, tokenizer, examples, task.predict(model, tokenizer, examples))

    def facts(self, model: Any) -> dict[str, Any]:
        """The labels that are the same, in per cent, and the loss in points."""
        found = self.task.predict(model, self.tokenizer, self.examples)
        pairs = [
            (one == other, probability)
            for before, after in zip(self.predictions, found, strict=True)
            for one, other, probability in zip(before.labels, after.labels, before.probabilities, strict=True)
        ]
        lost = sum(max(0.0, 2 * probability - 1) for same, probability in pairs if not same)
        return {
            "agreement": 100 * sum(same for same, _ in pairs) / len(pairs),
            "loss": 100 * lost / len(pairs),
            "texts": len(self.examples),
        }


@dataclass(frozen=True)
class OnStates:
    """Compares what an encoder without a head makes of plain text: ``{"agreement": 99.9, "loss": 0.1, …}``.

    A text is its vector, without pooling of the model's own the mean of the states of its tokens. The agreement is
    the mean cosine of the two, in per cent.
    """

    tokenizer: Any
    pooling: Pooling
    lines: Sequence[str]
    found: NDArray[np.float32]

    @classmethod
    def of(cls, model: Any, tokenizer: Any, pooling: Pooling, lines: Sequence[str]) -> Self:
        """With the vectors of a model in float32; the lines have the first prompt before them."""
        prompted = [f"{next(iter(pooling.prompts.values()), '')}{line}" for line in lines]
        return cls(tokenizer, pooling, prompted, normalized(vectors(model, tokenizer, pooling, prompted)))

    def facts(self, model: Any) -> dict[str, Any]:
        """The mean cosine in per cent, and what it lacks to 100."""
        again = normalized(vectors(model, self.tokenizer, self.pooling, self.lines))
        agreement = 100 * float((self.found * again).sum(-1).mean())
        return {"agreement": agreement, "loss": 100 - agreement, "texts": len(self.lines)}


def _score(model: Any, tokenizer: Any, task: Task[Any], examples: Sequence[Any]) -> float:
    return task.score(examples, task.predict(model, tokenizer, examples))[task.metric]
