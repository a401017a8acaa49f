"""Renamed labels, as the option --map gives them."""

from collections.abc import Sequence

from bistil.errors import BistilError


def label_map(options: Sequence[str]) -> dict[str, str]:
    """``["e=entailment", "DATE=O"]`` as a mapping; raises BistilError for anything else."""
    pairs = dict(option.partition("=")[::2] for option in options)
    for old, new in pairs.items():
        if not (old and new):
            raise BistilError(f"--map takes LABEL=LABEL, for example DATE=O; got {old!r}.")
    return pairs
