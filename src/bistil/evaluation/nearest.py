"""What is nearest to what among vectors: translations, answers to questions, and labels of neighbours. Pure.

Near is by cosine; among the equally near the first counts as the nearest.
"""

from collections.abc import Iterator, Sequence, Set

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Values = NDArray[np.float64]

_ROWS = 1024  # similarities are held for so many vectors at a time


def unit(vectors: NDArray[np.generic]) -> Vectors:
    """The vectors, [items, dimensions], at length 1; those of length 0 stay."""
    found: Vectors = np.array(vectors, dtype=np.float32)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    found /= np.where(lengths == 0, 1, lengths)
    return found


def found_first(ones: Vectors, others: Vectors) -> Values:
    """Whether the nearest of the others is the one of the same row, 1 or 0, [rows]: accuracy at 1.

    The other direction is had with the two exchanged.
    """
    nearest = np.concatenate([near.argmax(1) for near in _similarities(ones, others)])
    return (nearest == np.arange(len(ones))).astype(np.float64)


def ranked(
    questions: Vectors, passages: Vectors, right: Sequence[Set[int]], cut: int = 10
) -> tuple[Values, Values]:
    """nDCG at a cut (Järvelin and Kekäläinen 2002) and average precision of each question, [questions] each.

    ``right`` are the rows of the passages that answer each question, one or more; each counts 1. Example: where
    the only right passage comes second, nDCG is 1 / log2(3) = 0.63 and the average precision 1 / 2.
    """
    discounts = 1 / np.log2(np.arange(2, cut + 2))
    gains, precisions = [], []
    rows = (row for near in _similarities(questions, passages) for row in near)
    for near, answers in zip(rows, right, strict=True):
        hits = np.isin(np.argsort(-near, kind="stable"), list(answers))
        best = discounts[: len(answers)].sum()
        gains.append(discounts[: len(hits[:cut])][hits[:cut]].sum() / best)
        precisions.append((np.arange(1, len(answers) + 1) / (np.flatnonzero(hits) + 1)).mean())
    return np.array(gains), np.array(precisions)


def voted(train: Vectors, labels: Sequence[str], test: Vectors, neighbours: int = 5) -> list[str]:
    """The label of each test vector by its nearest training vectors, weighted by 1 / (1 − cosine).

    As scikit-learn's ``KNeighborsClassifier(metric="cosine", weights="distance")``, whose default of neighbours
    is five, too; of labels with equal votes the first in the alphabet.
    """
    names, places = np.unique(np.asarray(labels), return_inverse=True)
    found: list[str] = []
    for near in _similarities(test, train):
        nearest = np.argsort(-near, axis=1, kind="stable")[:, :neighbours]
        # rounding can bring a distance to 0 or below
        weights = 1 / np.maximum(1 - np.take_along_axis(near, nearest, 1).astype(np.float64), 1e-9)
        votes = np.zeros((len(near), len(names)))
        np.add.at(votes, (np.arange(len(near))[:, None], places[nearest]), weights)
        found += names[votes.argmax(1)].tolist()
    return found


def _similarities(ones: Vectors, others: Vectors) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(ones), _ROWS):
        yield ones[start : start + _ROWS] @ others.T
