"""The names of what a plot shows, each with its value: beside the marks, or in a list below."""

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

FONT = 11.0
_WIDEST = 24  # characters of a line beside a mark, and of one in two columns of the list
_LISTED = 52  # characters of a line in one column


def list_below(figure: Figure, handles: Sequence[Any], labels: Sequence[tuple[str, str]]) -> None:
    """Names and values below the plot."""
    figure.legend(
        handles, [_shortened(label, _LISTED) for label in labels], ncols=_columns(labels), loc="lower left",
        bbox_to_anchor=(0.0, 0.0), frameon=False, fontsize=FONT, handlelength=1, labelspacing=0.35,
        columnspacing=1, borderaxespad=0.2,
    )  # fmt: skip


def _columns(labels: Sequence[tuple[str, str]]) -> int:
    return 2 if all(len(" ".join(label)) <= _WIDEST for label in labels) else 1


def rows_of(labels: Sequence[tuple[str, str]]) -> int:
    """How many rows the list has."""
    return -(-len(labels) // _columns(labels))


def _shortened(label: tuple[str, str], most: int) -> str:
    """Name and value in so many characters: the end of a long name goes."""
    name, value = label
    room = most - len(value) - 1
    return f"{name if len(name) <= room else f'{name[: room - 1].rstrip()}…'} {value}"


def in_words(labels: Sequence[tuple[str, str]]) -> str:
    """All of them in words, for a description."""
    return "; ".join(map(" ".join, labels))


def write_beside(
    figure: Figure,
    axes: Axes,
    points: Sequence[tuple[float, float]],
    labels: Sequence[tuple[str, str]],
    sides: Sequence[int],
) -> None:
    """Write labels right (1) or left (-1) of their points, moved until they cover no label or point.

    They are moved down, or up where there is no room below, and are wrapped where the figure ends.
    """
    axes.get_ylim()  # lets pending limits settle before positions are asked for
    marks = [axes.transData.transform(point) for point in points]
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in marks]
    for (x, y), label, side in sorted(zip(marks, labels, sides, strict=True), key=lambda row: -row[0][1]):
        room = int((figure.bbox.width - x - 10 if side > 0 else x - 10) / (0.56 * FONT))
        widest = min(_WIDEST, max(room, 8))
        lines = textwrap.wrap(_shortened(label, 3 * widest), widest)
        width, height = 0.56 * FONT * max(map(len, lines)), 1.25 * FONT * len(lines)
        start = x + 10 if side > 0 else x - 10 - width
        for down in (True, False):
            middle = y
            while clash := [
                box
                for box in taken
                if start < box[2] and box[0] < start + width
                and middle - height / 2 < box[3] and box[1] < middle + height / 2
            ]:  # fmt: skip
                lowest, highest = min(box[1] for box in clash), max(box[3] for box in clash)
                middle = lowest - height / 2 - 1 if down else highest + height / 2 + 1
            if middle > height / 2:
                break
        taken.append((start, middle - height / 2, start + width, middle + height / 2))
        axes.annotate(
            "\n".join(lines),
            (x + 10 * side, middle),
            xycoords="figure pixels",
            ha="left" if side > 0 else "right",
            va="center",
            annotation_clip=False,
        )
