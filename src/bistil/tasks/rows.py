"""Labelled rows of JSON lines, tables with a header, and Parquet."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from bistil.errors import BistilError
from bistil.tasks.task import read_text

SUFFIXES = (".jsonl", ".tsv", ".csv", ".parquet")


def read_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each row of a .jsonl, .tsv, .csv or .parquet file, with where it stands: ("a.tsv, line 3", {"text": …}).

    Quotes are plain characters in .tsv, as in GLUE. In Parquet that `datasets` wrote, class numbers become their
    names.
    """
    match path.suffix.lower():
        case ".jsonl":
            return _json_rows(path)
        case ".tsv" | ".csv":
            return _table_rows(path)
        case ".parquet":
            return _parquet_rows(path)
    raise BistilError(f"{path}: rows are read from {', '.join(SUFFIXES)}, not from {path.suffix!r}.")


def json_row(line: str, source: str) -> Mapping[str, Any]:
    """One JSON object."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise BistilError(f"{source} is not JSON: {error.msg} at column {error.colno}.") from error
    if "\\u" in line:  # half of a character beyond the first 65,536, as cut text may end with
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start].encode("unicode-escape").decode()
            raise BistilError(
                f"{source}: {half} is half of a character. Correct or leave out the text."
            ) from error
    if not isinstance(row, dict):
        raise BistilError(f"{source} is a JSON {type(row).__name__}. Give an object such as {{'text': …}}.")
    return row


def _json_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            source = f"{path}, line {number}"
            yield source, json_row(line, source)


def _table_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    tabs = path.suffix.lower() == ".tsv"
    dialect: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"delimiter": ","}
    csv.field_size_limit(2**31 - 1)  # a text may be long, and the model cuts it
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True, **dialect)
    header: list[str] = []
    line = 1
    try:
        for fields in reader:
            source, line = f"{path}, line {line}", reader.line_num + 1
            if not fields:
                continue
            if not header:
                header = fields
                continue
            if len(fields) != len(header):
                raise BistilError(f"{source} has {len(fields)} columns where the header has {len(header)}.")
            yield source, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise BistilError(
            f"{path}, line {line}: {error}. In .csv a text that begins with a quote ends with one, "
            "and quotes within it are doubled."
        ) from error


def _parquet_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        with path.open("rb") as file:
            table = parquet.read_table(file)
    except FileNotFoundError as error:
        raise BistilError(f"Cannot read {path}: {error.strerror}. Give the path of a file that exists.") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise BistilError(f"{path} is not Parquet: {str(error).splitlines()[0]}") from error
    names = _class_names(table.schema.metadata or {})
    for number, row in enumerate(table.to_pylist(), start=1):
        yield f"{path}, row {number}", {column: _named(value, names.get(column)) for column, value in row.items()}


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """The names of the classes of each column that holds class numbers, as `datasets` leaves them."""
    features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    found = {}
    for column, feature in features.items():
        if isinstance(feature, list) and feature:  # of datasets before version 4
            (feature, *_) = feature
        inner = feature.get("feature", feature) if isinstance(feature, dict) else None  # of a list
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel":
            found[column] = inner["names"]
    return found


def _named(value: Any, names: list[str] | None) -> Any:
    if names is None or value is None:
        return value
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    return names[value] if value >= 0 else None  # -1 is "no label" in datasets
