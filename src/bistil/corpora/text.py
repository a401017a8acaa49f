"""Unlabelled text: which files a recipe means, and their lines."""

import glob
import hashlib
import heapq
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from bistil.corpora.formats import SUFFIXES, is_table, texts
from bistil.errors import BistilError

COLUMN = "text"
T = TypeVar("T")


@dataclass(frozen=True, order=True)
class TextFile:
    """A file, and the column that holds its text where it is a table (JSON lines or Parquet)."""

    path: Path
    column: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the bytes, with the column of a table."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f"{digest}:{self.column}" if self.column else digest


def files(patterns: str | Path | Sequence[str | Path | TextFile]) -> list[TextFile]:
    """The text files meant by file names, globs (``**`` included) and directories, sorted, each once.

    Text is ``.txt`` (or any other name) with a line of text a line, or a table, ``.jsonl`` or ``.parquet``,
    whose column is ``text`` or named behind a colon; all but Parquet may be packed as ``.gz`` or ``.zst``.
    A directory means the files of these suffixes at any depth below it. A pattern that finds nothing, and a
    column of a file that is no table, raise `BistilError`.

    Example: ``files("corpora/*.jsonl:body")`` is ``[TextFile(Path("corpora/en.jsonl"), "body")]``.
    """
    found: set[TextFile] = set()
    for pattern in [patterns] if isinstance(patterns, str | Path) else patterns:
        if isinstance(pattern, TextFile):
            found.add(pattern)
            continue
        paths, column = _matches(str(pattern)), ""
        if not paths:
            before, _, column = str(pattern).rpartition(":")
            paths = _matches(before) if before and column else []
        if not paths:
            if Path(pattern).expanduser().is_dir():
                raise BistilError(
                    f"The text folder {pattern} has no {', '.join(SUFFIXES)} file. "
                    "Put the text there, or correct the path."
                )
            raise BistilError(
                f"The text {pattern} does not exist. Give a file, a glob or a folder that is there, "
                "or correct the path."
            )
        for path in paths:
            if column and not is_table(path):
                raise BistilError(
                    f"{path} has no column {column!r}: only .jsonl and .parquet files have columns. "
                    f"Leave out :{column}."
                )
            found.add(TextFile(path, (column or COLUMN) if is_table(path) else ""))
    if not found:
        raise BistilError("No text file is named. Give at least one file, glob or folder.")
    return sorted(found)


def lines(files: Sequence[TextFile]) -> Iterator[str]:
    """The stripped lines that are not empty, file after file, as a stream; a text of a table may have several.

    Text that is not UTF-8, a file that cannot be read, a column that is not there, and files that have no
    text at all raise `BistilError`.
    """
    empty = True
    for file in files:
        for text in texts(file.path, file.column):
            for line in split(text):
                empty = False
                yield line
    if empty:
        names = ", ".join(str(file.path) for file in files)
        raise BistilError(f"There is no text in {names}. Give a file with at least one line that is not blank.")


def sample(lines: Iterable[T], count: int, seed: int) -> list[T]:
    """So many items at random, in their order; fewer where there are fewer. Memory is for those chosen alone."""
    chance = random.Random(seed)
    drawn = heapq.nlargest(count, ((chance.random(), number, line) for number, line in enumerate(lines)))
    return [line for _, _, line in sorted(drawn, key=itemgetter(1))]


def split(text: str) -> Iterator[str]:
    """The stripped lines of a text that are not empty; as in a file, "\\r" ends one, too."""
    return filter(None, map(str.strip, text.replace("\r", "\n").split("\n")))


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        return [match for suffix in SUFFIXES for match in path.rglob(f"*{suffix}") if match.is_file()]
    if path.exists():
        return [path]
    return [match for match in map(Path, glob.glob(str(path), recursive=True)) if match.is_file()]
