"""How this process starts, among how many of a launcher (`torchrun`) and with which threads, and how it ends."""

import os
import signal
import sys


def processes() -> int:
    """How many processes train together: 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", 1))


def process_index() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", 0))


def sleep_early() -> None:
    """Has waiting threads sleep after 3,000 spins, not 300,000; to be called before torch is imported.

    Spinning threads keep a core from the threads that they wait for, where another program works as well. Beside
    one busy thread on two cores a step takes little more than half of the time; alone 2 per cent more
    (`benchmarks.neighbour`). Whoever sets ``GOMP_SPINCOUNT`` or ``OMP_WAIT_POLICY`` decides otherwise.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def leave_on_sigterm() -> None:
    """SIGTERM ends this process as `sys.exit` does, so that what it holds is saved and given back on the way."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
