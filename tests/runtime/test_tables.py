"""Tables on terminals of any width."""

import io
from itertools import chain

from rich.cells import cell_len

from bistil.runtime import tables

ROWS = [
    ["stage", "tokens a text", "memory", "time here"],
    ["Evaluating: Student without general distillation", "24,448", "209 kB", "0.3 s"],
    ["all", "", "559 MB", "at least 2 min 58 s"],
]


def test_without_a_width_each_row_is_a_line():
    assert len(tables.aligned(ROWS)) == len(tables.aligned(ROWS, 200)) == 3
    assert tables.aligned(ROWS)[2].split("  ")[0] == "all"
    assert tables.aligned(ROWS)[2].endswith("  at least 2 min 58 s")


def test_no_rows_are_no_lines():
    assert tables.aligned([]) == tables.aligned([], 10) == []


def test_a_narrow_terminal_breaks_names_and_no_number():
    for width in range(50, 90):
        lines = tables.aligned(ROWS, width)
        assert max(map(cell_len, lines)) <= width, "\n".join(lines)
        said = " ".join(" ".join(lines).split())
        for value in ("24,448", "209 kB", "0.3 s", "559 MB", "at least 2 min 58 s"):
            assert value in said
        starts = [line.split("  ")[0].split() for line in lines]
        assert " ".join(chain(*starts)) == "stage Evaluating: Student without general distillation all"


def test_what_is_no_terminal_has_no_width(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "61")
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert tables.screen_width() is None
    monkeypatch.setattr("sys.stdout", Terminal())
    assert tables.screen_width() == 61
