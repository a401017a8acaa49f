"""How long training steps take, as a trainer tells of them."""

import time
from statistics import median


class StepTimes:
    """To be told of every step (``on_step``); ``median(first)`` leaves out the first ones, which warm up."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._last = 0.0

    def __call__(self, step: int, loss: float | None) -> None:
        """A step has ended, or, at 0, the first one begins."""
        if step:
            self._seconds.append(time.perf_counter() - self._last)
        self._last = time.perf_counter()

    def median(self, first: int) -> float:
        """Seconds of a step, the median without the first so many."""
        return median(self._seconds[first:])
