"""Text from Python: strings or rows, such as a `datasets` object or stream."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bistil.corpora.formats import field
from bistil.corpora.lines import split
from bistil.corpora.strict import whole
from bistil.corpora.text import COLUMN
from bistil.errors import BistilError


def stream_lines(rows: Iterable[str | Mapping[str, Any]], name: str) -> Iterator[str]:
    """The stripped lines that are not empty of strings, or of the column ``text`` of rows, read once.

    Takes a `datasets` object or stream, one of its columns (``dataset["body"]``), a generator. `name` is for
    errors: a row without that column, or no text at all, raises `BistilError`.
    """
    empty = True
    for number, row in enumerate(rows):
        where = f"{name}, row {number}"
        text = row if isinstance(row, str) else field(row, COLUMN, where)
        for line in split(whole(text or "", where)):
            empty = False
            yield line
    if empty:
        raise BistilError(f"There is no text in {name}. Give at least one line that is not blank.")
