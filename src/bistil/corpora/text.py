"""Unlabelled text: which files a recipe means, and their lines."""

import glob
import heapq
import os
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import numpy as np

from bistil.corpora import urls
from bistil.corpora.filters import Filters
from bistil.corpora.formats import SUFFIXES, is_table, record_near
from bistil.corpora.lines import Lines, Place, Stretch
from bistil.corpora.textfile import TextFile
from bistil.errors import BistilError

COLUMN = "text"
RUN = 16  # lines of a stretch of a sample: a request to a store is dear, and neighbours are alike
T = TypeVar("T")


def files(
    patterns: str | Path | Sequence[str | Path | TextFile], filters: Filters | None = None
) -> list[TextFile]:
    """The text files meant by file names, globs (``**`` included), directories and fsspec URLs of such, sorted.

    Text is ``.txt`` (or any other name) with a line of text a line, or a table, ``.jsonl`` or ``.parquet``,
    whose column is ``text`` or named behind a colon; all but Parquet may be packed as ``.gz`` or ``.zst``.
    A directory means the files of these suffixes at any depth below it. What is meant more than once comes once.
    ``filters`` are those that the lines are to pass. A pattern that finds nothing, a column of a file that is no
    table, and a URL whose store cannot be asked raise `BistilError`.

    Example: ``files("corpora/*.jsonl:body")`` is ``[TextFile(Path("corpora/en.jsonl"), "body")]``.
    """
    found: set[TextFile] = set()
    for pattern in [patterns] if isinstance(patterns, str | Path) else patterns:
        if isinstance(pattern, TextFile):
            found.add(pattern)
            continue
        if not str(pattern).strip():  # the folder where one is, as a path
            raise BistilError(f"The text is {pattern!r}. Give a file, a glob or a folder.")
        paths, column = _matches(str(pattern)), ""
        if not paths:
            before, _, column = str(pattern).rpartition(":")
            paths = _matches(before) if before and column and not column.startswith("//") else []
        if not paths:
            if not urls.is_url(str(pattern)) and os.path.isdir(os.path.expanduser(pattern)):
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
            found.add(TextFile(path, (column or COLUMN) if is_table(path) else "", filters))
    if not found:
        raise BistilError("No text file is named. Give at least one file, glob or folder.")
    remote = sorted((file for file in found if file.is_remote), key=lambda file: (str(file.path), file.column))
    return sorted(found.difference(remote)) + remote


def would_mean(pattern: str, path: Path) -> bool:
    """Whether a folder or glob of this disk means a file of that path, be it there yet or not.

    Example: ``would_mean("corpora/**/*.txt", Path("corpora/out/student.txt"))`` is True.
    """
    before, _, column = pattern.rpartition(":")
    return any(
        _would_match(one, path.resolve()) for one in ([pattern, before] if before and column else [pattern])
    )


def lines(files: Sequence[TextFile], start: Place | None = None) -> Lines:
    """The stripped lines that are not empty, file after file, as a stream; a text of a table may have several.

    ``start`` is a place of an earlier stream, for example ``lines(files).place(0)``. See `Lines` for the errors.
    """
    return Lines(files, start)


def sampled(files: Sequence[TextFile], count: int) -> Lines:
    """About so many lines, in stretches of 16 that lie at random all over the files; all if there are no more.

    A file has as many as is its share of the bytes. Only the stretches are read; of packed files it is the
    beginning, since one cannot seek in them. Every call gives the same lines.
    """
    if sum(1 for _ in islice(lines(files), count + 1)) <= count:
        return lines(files)
    ends = np.cumsum([file.path.stat().st_size for file in files])
    drawn = np.sort(np.random.default_rng(0).random(max(1, count // RUN)) * ends[-1])
    owners = np.searchsorted(ends, drawn, side="right").tolist()
    begins = (ends - np.diff(ends, prepend=0)).tolist()
    places = Counter(
        (owner, record_near(files[owner].path, (place - begins[owner]) / (ends[owner] - begins[owner])))
        for owner, place in zip(owners, drawn.tolist(), strict=True)
    )
    ordered = sorted(places)
    following = [*ordered[1:], (len(files), ())]
    return Lines(
        files,
        stretches=[
            Stretch(owner, first, end if other == owner else (), RUN * places[owner, first])
            for (owner, first), (other, end) in zip(ordered, following, strict=True)
        ],
    )


def sample(lines: Iterable[T], count: int, seed: int) -> list[T]:
    """So many items at random, in their order; fewer where there are fewer. Memory is for those chosen alone."""
    chance = random.Random(seed)
    drawn = heapq.nlargest(count, ((chance.random(), number, line) for number, line in enumerate(lines)))
    return [line for _, _, line in sorted(drawn, key=itemgetter(1))]


def _matches(pattern: str) -> list[Path]:
    if urls.is_url(pattern):
        return urls.matches(pattern, SUFFIXES)
    path = Path(os.path.expanduser(pattern))
    if path.is_dir():
        return [match for suffix in SUFFIXES for match in path.rglob(f"*{suffix}") if match.is_file()]
    if path.exists():
        return [path]
    return [match for match in map(Path, glob.glob(str(path), recursive=True)) if match.is_file()]


def _would_match(pattern: str, path: Path) -> bool:
    """As `_matches` of a file at ``path``, which is resolved, if it were there."""
    local = pattern.removeprefix("file://")
    if urls.is_url(local):
        return False
    place = Path(os.path.expanduser(local))
    if place.is_dir():
        return place.resolve() in path.parents and path.name.endswith(SUFFIXES)
    if place.exists():
        return False
    parts = place.parts
    fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    folder = Path(*parts[:fixed]).resolve()  # so that a link in front of the signs is followed
    return path.is_relative_to(folder) and _match_parts(parts[fixed:], path.relative_to(folder).parts)


def _match_parts(pattern: Sequence[str], names: Sequence[str]) -> bool:
    """As `glob.glob` with ``recursive``: ``**`` is any folders, and signs mean no name that begins with a dot."""
    if not pattern:
        return not names
    first, *rest = pattern
    if first == "**" and _match_parts(rest, names):
        return True
    if not names or not fnmatch(names[0], first) or (names[0].startswith(".") and not first.startswith(".")):
        return False
    return _match_parts(pattern if first == "**" else rest, names[1:])
