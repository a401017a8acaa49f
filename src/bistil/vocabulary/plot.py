"""A plot of vocabulary size against coverage, from which a size can be chosen by looking."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bistil.vocabulary.count import Counts
from bistil.vocabulary.select import Ids

_POINTS = 60
# Okabe and Ito (2008): told apart by the colour-blind too; markers tell more than eight languages.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vP*X"


def coverage_curve(counts: Mapping[str, Counts]) -> dict[str, list[float]]:
    """What share of each language's counted tokens the most frequent tokens make up, by their number.

    Example: ``{"size": [100, 114, …], "en": [0.52, 0.54, …]}``; the last size is that at which all is covered.
    """
    best = np.max([count / count.sum() for count in counts.values()], axis=0)
    ranked = np.argsort(-best, kind="stable")
    seen = int(np.count_nonzero(best))
    sizes = np.unique(np.geomspace(min(100, seen), seen, _POINTS).astype(int))
    covered = {language: np.cumsum(count[ranked]) / count.sum() for language, count in counts.items()}
    return {"size": sizes.tolist(), **{language: share[sizes - 1].tolist() for language, share in covered.items()}}


def plot_coverage(
    curve: Mapping[str, Sequence[float]], counts: Mapping[str, Counts], kept: Ids, path: Path
) -> None:
    """Draw the curve, and the size and coverage of the kept tokens, as an SVG or PNG file."""
    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for number, (language, count) in enumerate(counts.items()):
        colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
        covered = float(count[kept].sum() / count.sum())
        axes.plot(curve["size"], curve[language], color=colour, linewidth=1.8)
        axes.plot(len(kept), covered, marker, color=colour, label=f"{language}: {100 * covered:.2f} %")
    axes.axvline(len(kept), color="#767676", linewidth=1, linestyle=":", label=f"chosen: {len(kept):,} tokens")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.set_xlabel("Vocabulary size")
    axes.set_title("Share of each language's text that the most frequent tokens cover", loc="left", fontsize=11)
    axes.grid(color="#e0e0e0", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", frameon=False)
    figure.savefig(path)
