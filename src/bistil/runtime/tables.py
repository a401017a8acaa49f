"""Tables on the screen."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

_LEAST = 12  # columns of the screen for the names in front


def aligned(rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Rows of cells as lines; the first column flush left, numbers flush right.

    Where they are wider than ``width``, such as `screen_width`, the heading and the first column are broken into
    several lines, never a number.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        heading, *others = rows
        for number, name in enumerate(heading[1:], start=1):
            widths[number] = max(map(len, [*name.split(), *(row[number] for row in others)]), default=0)
        widths[0] = min(widths[0], max(_LEAST, width - sum(2 + own for own in widths[1:])))
    lines = []
    for row in rows:
        cells = [
            [cell] if len(cell) <= own else textwrap.wrap(cell, own) for cell, own in zip(row, widths, strict=True)
        ]
        for parts in zip_longest(*cells, fillvalue=""):
            first, *rest = parts
            shown = [first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]
            lines.append("  ".join(shown).rstrip())
    return lines


def screen_width() -> int | None:
    """The columns of the terminal, ``COLUMNS`` if that is set; None where the output is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
