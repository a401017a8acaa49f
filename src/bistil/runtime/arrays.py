"""Functions of arrays that torch has and numpy lacks. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def softmax(values: NDArray[Any]) -> NDArray[np.float32]:
    """Over the last axis, in float32: ``softmax([0, 0])`` is ``[0.5, 0.5]``."""
    shifted = np.exp(np.asarray(values, dtype=np.float32) - np.max(values, axis=-1, keepdims=True))
    total: NDArray[np.float32] = shifted / shifted.sum(axis=-1, keepdims=True)
    return total
