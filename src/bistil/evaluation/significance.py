"""Confidence intervals of a difference between two models, by paired bootstrap over test examples. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

Contributions = Sequence[tuple[float, float]]
Weights = npt.NDArray[np.float64]  # [resamples, examples], how often each is drawn
# The score of a model, in per cent, of each resample.
Score = Callable[[Weights], npt.NDArray[np.float64]]

_CHUNK = 4_000_000  # weights at a time: 32 MB


@dataclass(frozen=True)
class Comparison:
    """A model against another: points of difference and share of the other's score, with 95 % intervals.

    ``p`` is two-sided: how likely resampling gives a difference on the other side of 0. The share is None where
    the other's score is 0, or may well be.
    """

    difference: float
    difference_low: float
    difference_high: float
    retention: float | None
    retention_low: float | None
    retention_high: float | None
    p: float


def compare(
    model: Sequence[Contributions], other: Sequence[Contributions], *, resamples: int = 2000, seed: int = 0
) -> Comparison:
    """Compares two models on the same examples, [seeds] [examples] of (numerator, denominator) for each.

    A score is 100 · Σ numerators / Σ denominators; that of a model is the mean over its seeds. The rest is
    `bootstrap`'s. Example: of 400 labels one model has 300 right and the other 310: the difference is −2.5.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (model, other)]  # [seeds, examples, 2]
    ours, theirs = (partial(_scores, side) for side in sides)
    return bootstrap(ours, theirs, sides[0].shape[1], resamples=resamples, seed=seed)


def bootstrap(model: Score, other: Score, count: int, *, resamples: int = 2000, seed: int = 0) -> Comparison:
    """Compares two models by any score of the same ``count`` examples.

    The examples are drawn with replacement, the same for both models and all seeds, and the intervals are the 2.5
    and 97.5 % quantiles (percentile bootstrap, Efron and Tibshirani 1993; for paired tests see Berg-Kirkpatrick et
    al. 2012). They are about the choice of test examples, not of training data.
    """
    sides = (model, other)
    observed = [float(side(np.ones((1, count)))[0]) for side in sides]
    generator, drawn = np.random.default_rng(seed), []
    for start in range(0, resamples, rows := max(1, _CHUNK // count)):
        size = min(rows, resamples - start)
        weights = generator.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)
        drawn.append([side(weights) for side in sides])
    ours, theirs = np.concatenate(drawn, axis=1)
    differences = ours - theirs
    tail = min(np.mean(differences <= 0), np.mean(differences >= 0))
    low, high = np.quantile(differences, (0.025, 0.975))
    retention: tuple[float | None, ...] = (None, None, None)
    if np.quantile(theirs, 0.025) > 0:
        least, most = np.quantile(100 * ours / np.maximum(theirs, 1e-9), (0.025, 0.975))
        retention = (100 * observed[0] / observed[1], float(least), float(most))
    return Comparison(
        difference=observed[0] - observed[1],
        difference_low=float(low),
        difference_high=float(high),
        retention=retention[0],
        retention_low=retention[1],
        retention_high=retention[2],
        p=min(1.0, float(2 * (tail * resamples + 1) / (resamples + 1))),  # what was seen is a resample, too
    )


def _scores(side: npt.NDArray[np.float64], weights: Weights) -> npt.NDArray[np.float64]:
    """[resamples], mean over seeds, for weights [resamples, examples]."""
    sums = np.einsum("re,sep->rsp", weights, side, optimize=True)
    scores: npt.NDArray[np.float64] = (100 * sums[..., 0] / np.maximum(sums[..., 1], 1e-9)).mean(1)
    return scores
