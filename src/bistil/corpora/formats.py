"""The formats that text comes in, each read as a stream: plain lines, JSON lines, Parquet; gzip and Zstandard."""

import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
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


def is_table(path: Path) -> bool:
    """Whether a file's text lies in columns: ``.jsonl`` (packed or not) or ``.parquet``."""
    return _format(path) in (".jsonl", ".parquet")


def texts(path: Path, column: str = "") -> Iterator[str]:
    """The texts of one file: the lines of plain text, the values of a table's `column` that are not null.

    Anything that cannot be read as that raises `BistilError` with the file and the place.
    """
    match _format(path):
        case ".jsonl":
            return _json_lines(path, column)
        case ".parquet":
            return _parquet(path, column)
        case _:
            return _lines(path)


def _format(path: Path) -> str:
    name = path.with_suffix("") if path.suffix in _PACKED else path
    return name.suffix.lower()


def _open(path: Path) -> BinaryIO | gzip.GzipFile | zstd.ZstdFile:
    match path.suffix:
        case ".gz":
            return gzip.open(path)
        case ".zst":
            return zstd.open(path)
        case _:
            return path.open("rb")


def _lines(path: Path) -> Iterator[str]:
    offset = 0
    try:
        with _open(path) as file:
            while raw := file.readline(LONGEST + 1):
                if len(raw) > LONGEST:
                    raise BistilError(
                        f"{path}: the line at offset {offset:,} is longer than {LONGEST >> 20} MiB. "
                        "Break it into shorter ones."
                    )
                marked = offset == 0 and raw.startswith(BYTE_ORDER_MARK)
                text = (raw[len(BYTE_ORDER_MARK) :] if marked else raw).decode()
                yield from text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
                offset += len(raw)
    except UnicodeDecodeError as error:
        position = offset + error.start
        received = error.object[error.start]
        raise BistilError(
            f"{path} is not UTF-8 text: byte 0x{received:02x} at offset {position}. "
            "Save it as UTF-8 (for example with iconv)."
        ) from None
    except (OSError, EOFError, zlib.error, zstd.ZstdError) as error:
        raise BistilError(f"{path} cannot be read ({error}). Check the file and its permissions.") from None


def _json_lines(path: Path, column: str) -> Iterator[str]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        if (text := field(parse_json(line, where), column, where)) is not None:
            yield text


def _parquet(path: Path, column: str) -> Iterator[str]:
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if column not in names:
                raise _no_column(str(path), column, names)
            number = 0
            for batch in file.iter_batches(batch_size=1024, columns=[column]):
                for row in batch.to_pylist():
                    number += 1
                    if (text := field(row, column, f"{path}, row {number}")) is not None:
                        yield text
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise BistilError(f"{path} cannot be read ({error}). Check the file and its permissions.") from None


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
