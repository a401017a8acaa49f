"""The held-out loss of each language while a student is distilled, in a file."""

from collections.abc import Mapping
from pathlib import Path

from bistil.files import read_json, write_json

# Measuring costs about as much as training on a tenth of this.
_TOKENS_A_POINT = 40_000
_MOST_POINTS = 12


def points(tokens: int) -> int:
    """How often the loss is measured on the way, beside the start: 6 times in 240,000 tokens."""
    return min(_MOST_POINTS, max(1, tokens // _TOKENS_A_POINT))


class LossCurve:
    """Rows of tokens seen and held-out loss by language; kept in a JSON file, so that a resumed run goes on.

    Example row: ``{"tokens": 20480, "en": 0.031, "tr": 0.036}``.
    """

    def __init__(self, path: Path, steps: int, tokens: int) -> None:
        self._path = path
        parts = points(tokens)
        self._points = {round(steps * part / parts) for part in range(parts + 1)}
        self.rows: list[dict[str, float]] = read_json(path) if path.exists() else []

    def due(self, step: int) -> bool:
        """Whether the loss is to be measured after this step (0: before the first)."""
        return step in self._points

    def add(self, tokens: int, losses: Mapping[str, float]) -> None:
        """Keeps a measurement, in place of any made later by a run that was interrupted."""
        earlier = [row for row in self.rows if row["tokens"] < tokens]
        self.rows = [*earlier, {"tokens": tokens, **losses}]
        write_json(self._path, self.rows)
