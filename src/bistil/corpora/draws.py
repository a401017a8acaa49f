"""Random numbers from counters: number i of a key is the same whoever asks for it, in whatever order.

A generator with a state would have to be set up anew for every block, which costs more than the drawing.
"""

from functools import lru_cache
from math import isqrt

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_ROUNDS = 3


@lru_cache(maxsize=256)
def key(seed: int, *purpose: int) -> np.uint64:
    """A key for one purpose under a seed, unlike those for all other purposes and seeds."""
    return np.uint64(np.random.SeedSequence([seed, *purpose]).generate_state(1, np.uint64)[0])


def words(key: np.uint64 | Words, counters: Words) -> Words:
    """A random 64-bit word for every counter: SplitMix64 (Steele et al. 2014) with the key as its seed.

    Example: key 1234567 and counter 0 give 6457827717110365317.
    """
    word: Words = key + (counters + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def uniform(key: np.uint64 | Words, counters: Words) -> npt.NDArray[np.float64]:
    """A random number in [0, 1) for every counter."""
    return (words(key, counters) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def shuffled(positions: npt.NDArray[np.int64], count: int, key: np.uint64 | Words) -> npt.NDArray[np.int64]:
    """Where ``positions`` lie in a random permutation of ``range(count)``, which is never built.

    A Feistel network over the cells of a rectangle of at least ``count`` cells; who lands outside of ``count``
    walks on (Black and Rogaway 2002). ``key`` is one, or one a position. Example: positions 0 to 4 of 5 give
    0, 1, 2, 3, 4 in some order.
    """
    rows = np.uint64(isqrt(count - 1) + 1)
    columns = (np.uint64(count) + rows - np.uint64(1)) // rows
    keys = np.broadcast_to(np.asarray(key), positions.shape)
    cell = positions.astype(np.uint64)
    walking = np.arange(len(cell))
    while len(walking):
        row, column = np.divmod(cell[walking], columns)
        for number in range(_ROUNDS):
            own = keys[walking] + np.uint64(number)
            row = (row + words(own, column) % rows) % rows
            column = (column + words(~own, row) % columns) % columns
        cell[walking] = row * columns + column
        walking = walking[cell[walking] >= count]
    return cell.astype(np.int64)
