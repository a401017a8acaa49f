"""Precision, recall and F1 of labels, as scikit-learn has them, whose import takes longer than most files."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """Shares from 0 to 1, 0 where nothing is to be divided by; ``support`` counts the label in the gold."""

    precision: float
    recall: float
    f1: float
    support: int


def rates(gold: Sequence[str], predicted: Sequence[str]) -> dict[str, Rates]:
    """The rates of each label that occurs in either, sorted.

    Example: ``rates(["a", "a", "b"], ["a", "b", "b"])["a"]`` is ``Rates(1.0, 0.5, 0.667, 2)``.
    """
    right = Counter(label for label, found in zip(gold, predicted, strict=True) if label == found)
    there, found = Counter(gold), Counter(predicted)
    return {
        label: Rates(
            _share(right[label], found[label]),
            _share(right[label], there[label]),
            _share(2 * right[label], there[label] + found[label]),
            there[label],
        )
        for label in sorted({*there, *found})
    }


def by_chance(gold: Sequence[str], predicted: Sequence[str]) -> tuple[float, float]:
    """The share that would be right if as many of each label were given at random, and its standard error.

    That is what Cohen's kappa leaves out; the error is that of Fleiss, Cohen & Everitt (1969). Example:
    ``by_chance(["a", "a", "b"], ["a", "b", "b"])`` is ``(0.444, 0.257)``, 2/3 · 1/3 + 1/3 · 2/3 in front.
    """
    there, found = (Counter(labels) for labels in (gold, predicted))
    shares = [(there[label] / len(gold), found[label] / len(gold)) for label in found]
    right = sum(one * other for one, other in shares)
    variance = right + right**2 - sum(one * other * (one + other) for one, other in shares)
    return right, math.sqrt(max(0.0, variance) / len(gold))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
