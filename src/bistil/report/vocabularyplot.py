"""A plot of vocabulary size against coverage, from which a size can be chosen by looking."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import FuncFormatter

from bistil.report.lineplot import new_axes, style
from bistil.vocabulary.count import Counts
from bistil.vocabulary.select import Ids

_POINTS = 60


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
    figure, axes = new_axes("Share of each language's text that the most frequent tokens cover", "Vocabulary size")
    for number, (language, count) in enumerate(counts.items()):
        colour, marker = style(number)
        covered = float(count[kept].sum() / count.sum())
        axes.plot(curve["size"], curve[language], color=colour, linewidth=1.8)
        axes.plot(len(kept), covered, marker, color=colour, label=f"{language}: {100 * covered:.2f} %")
    axes.axvline(len(kept), color="#767676", linewidth=1, linestyle=":", label=f"chosen: {len(kept):,} tokens")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.legend(loc="best", frameon=False)
    figure.savefig(path)
