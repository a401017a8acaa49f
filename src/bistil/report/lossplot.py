"""The held-out loss of each language while a student is distilled, as a plot."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bistil.report.lineplot import new_axes, style


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
