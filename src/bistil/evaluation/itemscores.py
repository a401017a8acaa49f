"""Scores that can be computed on any resample of their items: means, and Spearman's rank correlation. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bistil.evaluation.significance import Comparison, Weights, bootstrap

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ItemScore:
    """A score in per cent of some items, [items]: the mean of their ``values``, or these beside ``others``.

    Example: ``float(mean_score(np.array([1, 0, 1, 1])))`` is 75.
    """

    values: Values
    others: Values | None = None

    def __float__(self) -> float:
        return float(self.weighted(np.ones((1, len(self.values))))[0])

    def weighted(self, weights: Weights) -> Values:
        """The score where each item counts so often, [resamples, items]."""
        if self.others is not None:
            return _spearman(self.values, self.others, weights)
        found: Values = 100 * (weights @ self.values) / weights.sum(1)
        return found

    def minus(self, other: "ItemScore") -> Comparison:
        """The difference to another model's score of the same items, with its interval (paired bootstrap)."""
        return difference([self], [other])

    def plain(self) -> list[list[float]]:
        """JSON-able: the values, and the others if there are any."""
        return [own.tolist() for own in (self.values, self.others) if own is not None]

    @classmethod
    def of(cls, plain: Sequence[Sequence[float]]) -> "ItemScore":
        """The score of what `plain` returned."""
        return cls(*map(np.array, plain))


def mean_score(values: NDArray[np.generic]) -> ItemScore:
    """The mean of values of 0 to 1, [items]."""
    return ItemScore(np.asarray(values, dtype=np.float64))


def rank_correlation(ones: NDArray[np.generic], others: NDArray[np.generic]) -> ItemScore:
    """Spearman's ρ of two rows of values, [items] each; equal values share the mean of their ranks.

    Of values that are all equal, which have no order, it is 0. Example: ``float(rank_correlation(np.array([1, 2,
    3]), np.array([0.1, 0.9, 0.4])))`` is 50.
    """
    return ItemScore(np.asarray(ones, dtype=np.float64), np.asarray(others, dtype=np.float64))


def difference(model: Sequence[ItemScore], other: Sequence[ItemScore]) -> Comparison:
    """The mean score of a model's seeds against that of another's, on the same items (paired bootstrap)."""

    def mean(seeds: Sequence[ItemScore], weights: Weights) -> Values:
        found: Values = np.mean([one.weighted(weights) for one in seeds], axis=0)
        return found

    return bootstrap(partial(mean, model), partial(mean, other), len(model[0].values))


def _spearman(ones: Values, others: Values, weights: Weights) -> Values:
    totals = weights.sum(1, keepdims=True)
    deviations = [ranks - (totals + 1) / 2 for ranks in (_ranks(ones, weights), _ranks(others, weights))]
    products, *variances = (
        (weights * a * b).sum(1)
        for a, b in ((deviations[0], deviations[1]), (deviations[0],) * 2, (deviations[1],) * 2)
    )
    spread = np.sqrt(variances[0] * variances[1])
    return 100 * np.divide(products, spread, out=np.zeros_like(products), where=spread > 0)


def _ranks(values: Values, weights: Weights) -> Values:
    """The mean rank of each item where each counts as often as it weighs, [resamples, items]."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    starts = counts.cumsum() - counts
    tied = np.add.reduceat(weights[:, place.argsort()], starts, axis=1)
    through = tied.cumsum(1)
    return (through - (tied - 1) / 2)[:, place]
