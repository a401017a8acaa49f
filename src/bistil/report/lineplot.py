"""How bistil's own line plots look: the report's take their colours from its page."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart by the colour-blind too; markers tell more than eight lines.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vP*X"


def new_axes(title: str, label: str) -> tuple[Figure, Axes]:
    """A figure with empty axes, a title and what the horizontal one counts."""
    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(label)
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(color="#e0e0e0", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def style(number: int) -> tuple[str, str]:
    """Colour and marker of the line of this number, from 0."""
    return _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
