"""The held-out loss of each language while a student is distilled, in a file and as a plot."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bistil.lineplot import new_axes, style

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
        self.rows: list[dict[str, float]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []

    def due(self, step: int) -> bool:
        """Whether the loss is to be measured after this step (0: before the first)."""
        return step in self._points

    def add(self, tokens: int, losses: Mapping[str, float]) -> None:
        """Keeps a measurement, in place of any made later by a run that was interrupted."""
        earlier = [row for row in self.rows if row["tokens"] < tokens]
        self.rows = [*earlier, {"tokens": tokens, **losses}]
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self.rows))
        partial.replace(self._path)


def loss_plot(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Held-out loss against tokens, a line for each other name of the rows: languages, or whole runs."""
    figure, axes = new_axes("Held-out loss", "Tokens of general distillation")
    tokens = [row["tokens"] for row in rows]
    for number, language in enumerate(name for name in rows[0] if name != "tokens"):
        losses, (colour, marker) = [row[language] for row in rows], style(number)
        label = f"{language}: {losses[-1]:.4f}"
        axes.plot(tokens, losses, color=colour, marker=marker, markersize=4, linewidth=1.8, label=label)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.legend(frameon=False)
    return figure
