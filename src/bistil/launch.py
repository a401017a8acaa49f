"""Which of the processes that a launcher (`torchrun`, `accelerate launch`) started this one is."""

import os


def processes() -> int:
    """How many processes train together: 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", 1))


def process_index() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", 0))
