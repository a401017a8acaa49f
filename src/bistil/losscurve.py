"""The held-out loss of each language while a student is distilled, in a file and as a plot."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

# Okabe and Ito (2008): told apart by the colour-blind too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vP*X"

# Measuring costs about as much as training on a tenth of this.
_TOKENS_A_POINT = 40_000
_MOST_POINTS = 12


class LossCurve:
    """Rows of tokens seen and held-out loss by language; kept in a JSON file, so that a resumed run goes on.

    Example row: ``{"tokens": 20480, "en": 0.031, "tr": 0.036}``.
    """

    def __init__(self, path: Path, steps: int, tokens: int) -> None:
        self._path = path
        parts = min(_MOST_POINTS, max(1, tokens // _TOKENS_A_POINT))
        self._points = {round(steps * part / parts) for part in range(parts + 1)}
        self.rows: list[dict[str, float]] = json.loads(path.read_text()) if path.exists() else []

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


def plot_losses(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draws held-out loss against tokens, a line a language, as an SVG or PNG file."""
    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    tokens = [row["tokens"] for row in rows]
    for number, language in enumerate(name for name in rows[0] if name != "tokens"):
        axes.plot(
            tokens,
            [row[language] for row in rows],
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4,
            linewidth=1.8,
            label=f"{language}: {rows[-1][language]:.4f}",
        )
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("Tokens of general distillation")
    axes.set_title("Held-out loss", loc="left", fontsize=11)
    axes.grid(color="#e0e0e0", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)
