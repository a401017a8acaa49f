"""The formats that text comes in, each read as a stream: plain lines, JSON lines, Parquet; gzip and Zstandard."""

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import pyarrow
from pyarrow import parquet

from bistil.corpora.strict import parse_json
from bistil.errors import BistilError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SUFFIXES = (".txt", ".jsonl", ".parquet", ".gz", ".zst")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LONGEST = 1 << 28  # bytes of a line, for it is held in memory; a packed file may hide any length
_PACKED = (".gz", ".zst")
_JSON_LINES = (".jsonl", ".json")  # the latter as mC4 names its files
_AHEAD = 1 << 20  # bytes

Position = tuple[int, ...]


def is_table(path: Path) -> bool:
    """Whether a file's text lies in columns: ``.jsonl`` or ``.json`` (packed or not), or ``.parquet``."""
    return _suffixes(path)[0] in (*_JSON_LINES, ".parquet")


def is_packed(path: Path) -> bool:
    """Whether a file has fewer bytes than its text may have: ``.gz``, ``.zst`` or ``.parquet``."""
    form, packing = _suffixes(path)
    return bool(packing) or form == ".parquet"


def records(path: Path, column: str = "", start: Position = ()) -> Iterator[tuple[Position, list[str]]]:
    """The records of one file: where each begins, and its texts.

    Of plain text and JSON lines a record is what a line feed ends (a carriage return in it parts texts); of
    Parquet it is a row. The texts are lines, or the values of a table's `column` that are not null. ``start`` is
    the position of the first record to give: files are sought to it, packed ones unpacked up to it.

    Anything that cannot be read as that raises `BistilError` with the file and the place.
    Example: a file of the lines "a" and "b" gives ``((0, 1), ["a"])`` and ``((2, 2), ["b"])``.
    """
    match _suffixes(path)[0]:
        case form if form in _JSON_LINES:
            return _json_lines(path, column, start)
        case ".parquet":
            return _parquet(path, column, start)
        case _:
            return _lines(path, start)


def record_near(path: Path, share: float) -> Position:
    """Where a record begins behind a share of a file's bytes, or of the rows of Parquet; ``()`` if it is packed.

    What is packed has no place that could be sought. Of plain text only the line in which that place lies is
    read.
    Example: of ten equal lines of ten bytes, a share of 0.55 gives ``(60, 1)``; lines are counted from there.
    """
    form, packing = _suffixes(path)
    if packing:
        return ()
    try:
        with ExitStack() as stack:
            if form == ".parquet":
                source = path if isinstance(path, Path) else stack.enter_context(path.open("rb"))
                sizes = stack.enter_context(parquet.ParquetFile(source)).metadata
                row, before = int(share * sizes.num_rows), 0
                for group in range(sizes.num_row_groups):
                    rows = sizes.row_group(group).num_rows
                    if row < before + rows:
                        return group, row - before, before
                    before += rows
                return ()
            file = stack.enter_context(_opened(path))
            if offset := file.seek(int(share * path.stat().st_size)):
                file.readline(LONGEST)
                offset = file.tell()
            return offset, 0 if offset else 1  # which line that is nobody has counted
    except (pyarrow.ArrowException, *_failures(path)) as error:
        raise _unread(path, error) from None


def _suffixes(path: Path) -> tuple[str, str]:
    """The format and the packing by a file's name, (".jsonl", ".gz"), of which an address's query is no part."""
    address = str(path)
    name = PurePosixPath(address.partition("?")[0] if address.startswith("http") else address)
    packing = name.suffix.lower() if name.suffix.lower() in _PACKED else ""
    return (name.with_suffix("") if packing else name).suffix.lower(), packing


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The unpacked bytes. What lies in a store is read ahead by a few megabytes, whatever the file's size."""
    with ExitStack() as stack:
        file: Any = stack.enter_context(path.open("rb"))
        if not isinstance(path, Path):
            file = stack.enter_context(BufferedReader(file, _AHEAD))  # a store's own files read lines slowly
        match _suffixes(path)[1]:
            case ".gz":
                file = stack.enter_context(gzip.open(file))
            case ".zst":
                file = stack.enter_context(zstd.open(file))
        yield file


def _lines(path: Path, start: Position) -> Iterator[tuple[Position, list[str]]]:
    offset, number = start or (0, 1)
    try:
        with _opened(path) as file:
            if offset:
                file.seek(offset)
            while raw := file.readline(LONGEST + 1):
                if len(raw) > LONGEST:
                    raise BistilError(
                        f"{path}: the line at offset {offset:,} is longer than {LONGEST >> 20} MiB. "
                        "Break it into shorter ones."
                    )
                marked = offset == 0 and raw.startswith(BYTE_ORDER_MARK)
                text = (raw[len(BYTE_ORDER_MARK) :] if marked else raw).decode()
                texts = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
                yield (offset, number), texts
                offset += len(raw)
                number += len(texts) if number else 0
    except UnicodeDecodeError as error:
        position = offset + error.start
        received = error.object[error.start]
        raise BistilError(
            f"{path} is not UTF-8 text: byte 0x{received:02x} at offset {position}. "
            "Save it as UTF-8 (for example with iconv)."
        ) from None
    except _failures(path) as error:
        raise _unread(path, error) from None


def _json_lines(path: Path, column: str, start: Position) -> Iterator[tuple[Position, list[str]]]:
    for position, lines in _lines(path, start):
        texts = []
        offset, first = position
        for number, line in enumerate(lines, start=first):
            where = f"{path}, line {number}" if first else f"{path}, the line at offset {offset:,}"
            if line.strip() and (text := field(parse_json(line, where), column, where)) is not None:
                texts.append(text)
        yield position, texts


def _parquet(path: Path, column: str, start: Position) -> Iterator[tuple[Position, list[str]]]:
    group, first, before = start or (0, 0, 0)  # a row group, a row of it, and the rows before that group
    try:
        with ExitStack() as stack:
            source = path if isinstance(path, Path) else stack.enter_context(path.open("rb"))
            # Read a column bit by bit: a row group may be larger than the memory.
            file = stack.enter_context(parquet.ParquetFile(source, pre_buffer=False, buffer_size=_AHEAD))
            names = file.schema_arrow.names
            if column not in names:
                raise _no_column(str(path), column, names)
            for own in range(group, file.num_row_groups):
                row = 0
                for batch in file.iter_batches(batch_size=1024, row_groups=[own], columns=[column]):
                    if row + len(batch) <= first:
                        row += len(batch)
                        continue
                    for value in batch.to_pylist():
                        if row >= first:
                            text = field(value, column, f"{path}, row {before + row + 1}")
                            yield (own, row, before), [] if text is None else [text]
                        row += 1
                before, first = before + row, 0
    except (UnicodeDecodeError, pyarrow.ArrowException, *_failures(path)) as error:
        raise _unread(path, error) from None


def _failures(path: Path) -> tuple[type[Exception], ...]:
    """What reading a file may raise; stores have exceptions of their own."""
    return (OSError, EOFError, zlib.error, zstd.ZstdError) if isinstance(path, Path) else (Exception,)


def _unread(path: Path, error: Exception) -> BistilError:
    if isinstance(error, BistilError):
        return error
    return BistilError(f"{path} cannot be read ({error}). Check the file and its permissions.")


def field(row: Any, column: str, where: str) -> str | None:
    """The text in a column of a row, None where it is null; anything else raises `BistilError`."""
    if not isinstance(row, dict):
        raise BistilError(f"{where}: a row with the column {column!r} was expected, not {type(row).__name__}.")
    if column not in row:
        raise _no_column(where, column, list(row))
    value: Any = row[column]
    if value is not None and not isinstance(value, str):
        raise BistilError(f"{where}: the column {column!r} holds {type(value).__name__}, not text. Name another.")
    return value


def _no_column(where: str, column: str, names: list[str]) -> BistilError:
    return BistilError(
        f"{where} has no column {column!r}, but {', '.join(names) or 'none'}. Name one of them behind a colon "
        "(corpus.jsonl:body)."
    )
