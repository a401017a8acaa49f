"""Renamed labels, as the option --map gives them."""

from collections.abc import Sequence

from bistil.errors import BistilError


def label_map(options: Sequence[str]) -> dict[str, str]:
    """``["e=entailment", "DATE=O"]`` as a mapping; raises BistilError for anything else."""
    pairs: dict[str, str] = {}
    for option in options:
        old, _, new = option.partition("=")
        if not (old and new):
            raise BistilError(f"--map takes LABEL=LABEL, for example DATE=O; got {old!r}.")
        if pairs.setdefault(old, new) != new:
            raise BistilError(f"--map gives two names for {old}: {pairs[old]} and {new}. Give one.")
    return pairs
