"""The best dependency tree of a sentence: pure decoding of scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Heads = NDArray[np.int64]


def best_tree(scores: NDArray[Any]) -> Heads:
    """The heads [words] of the tree with the highest sum of scores, exactly one word of which hangs on the root.

    ``scores`` [words, words + 1] are finite: row w is the word w + 1, column 0 the root, column h the word h. What
    they say of a word as its own head is not read. Edmonds' algorithm (Chu and Liu 1965, Edmonds 1967) runs where
    the best head of each word by itself does not make a tree; infinite scores raise ValueError. Example:
    ``best_tree([[5, 0, 9], [4, 6, 0]])`` is ``[2, 0]``, for 9 + 4 is more than 5 + 6.
    """
    weights = np.array(scores, dtype=np.float64)
    if not np.isfinite(weights).all():
        raise ValueError("the scores of a tree must be finite")
    words = np.arange(len(weights))
    weights[words, words + 1] = -np.inf
    greedy = weights.argmax(1)
    return greedy if is_tree(greedy) else _edmonds(weights)


def is_tree(heads: Sequence[int] | Heads) -> bool:
    """Whether every word comes to the root by its heads, and one word alone hangs on it: ``[2, 0]`` does."""
    above = np.concatenate([[0], np.asarray(heads, dtype=np.int64)])
    if np.count_nonzero(above[1:] == 0) != 1:
        return False
    for _ in range(len(above).bit_length()):  # each time twice as far up
        above = above[above]
    return not above.any()


def _edmonds(weights: NDArray[np.float64]) -> Heads:
    """Edmonds' algorithm where the root may have one child; own heads weigh −inf.

    Words take heads among words alone, so that one cycle after the other is merged into one node until a single
    node is left: there the root enters, and it enters once. That is as if every edge from the root cost more than
    all others could gain, without the rounding that such a number would bring. A node is called by one of its
    words, and edges enter it at what they gain over the edge of the cycle that they replace. The path of best
    heads is kept, as Tarjan (1977) has it: all in all O(words²).
    """
    merged: list[tuple[list[int], Heads, Heads]] = []
    path, left = [0], len(weights)
    while left > 1:
        head = int(weights[path[-1], 1:].argmax())
        if head not in path:
            path.append(head)
            continue
        at = path.index(head)
        cycle = path[at:]  # each headed by the next, the last by the first
        columns = [node + 1 for node in cycle]
        entering = weights[cycle]
        entering -= entering[range(len(cycle)), columns[1:] + columns[:1], None]
        leaving = weights[:, columns]
        merged.append((cycle, entering.argmax(0), leaving.argmax(1)))
        weights[head] = entering.max(0)
        weights[:, head + 1] = leaving.max(1)
        weights[:, columns[1:]] = -np.inf
        weights[head, head + 1] = -np.inf
        del path[at + 1 :]
        left -= len(cycle) - 1
    heads = np.zeros(len(weights), dtype=np.int64)
    for cycle, entered, left_from in reversed(merged):
        columns = [node + 1 for node in cycle]
        below = heads == columns[0]
        heads[below] = np.take(columns, left_from[below])
        outside = heads[cycle[0]]
        heads[cycle] = columns[1:] + columns[:1]
        heads[cycle[entered[outside]]] = outside
    return heads
