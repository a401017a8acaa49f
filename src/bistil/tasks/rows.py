"""Labelled rows of JSON lines, tables with a header, and Parquet."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bistil.corpora.strict import parse_json, read_text, whole
from bistil.errors import BistilError

SUFFIXES = (".jsonl", ".tsv", ".csv", ".parquet")
ROWS = (".jsonl", ".parquet")  # those whose cells may be lists


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


def columns(path: Path) -> tuple[str, ...]:
    """The columns of a file, as its header or its first row has them: ``("text", "label")``."""
    for _, row in read_rows(path):
        return tuple(row)
    return ()


def json_row(line: str, source: str) -> Mapping[str, Any]:
    """One JSON object."""
    row = parse_json(line, source)
    if not isinstance(row, dict):
        raise BistilError(f"{source} is a JSON {type(row).__name__}. Give an object such as {{'text': …}}.")
    return row


def tokens(row: Mapping[str, Any], source: str) -> tuple[str, ...]:
    """The words in the column ``tokens`` of a row, a list of texts."""
    if "tokens" not in row:
        present = ", ".join(map(repr, row)) or "none"
        raise BistilError(f"{source}: there is no 'tokens'; there are {present}. Rename the one meant.")
    words: Any = row["tokens"]
    if not isinstance(words, list | tuple):
        raise BistilError(f"{source}: 'tokens' is of the type {type(words).__name__}. Give a list of words.")
    for number, word in enumerate(words, start=1):
        if not isinstance(word, str):
            raise BistilError(f"{source}: token {number} is {word!r}. Give a word.")
        whole(word, source)
    return tuple(words)


def check_cells(cells: Sequence[str], name: str, source: str) -> None:
    """Raise where a word, or what is said of one, has no place in a file with a word a line."""
    for number, cell in enumerate(cells, start=1):
        if not cell or re.search(r"[\t\n\r]", cell):
            raise BistilError(
                f"{source}: {name!r} has {cell!r} for word {number}. Files of words have neither empty words nor "
                "tabs and line breaks. Correct it, or leave the sentence out."
            )


def _json_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            source = f"{path}, line {number}"
            yield source, json_row(line, source)


def cells(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each row of a .tsv or .csv file that is not empty, its header too, with where it stands."""
    tabs = path.suffix.lower() == ".tsv"
    dialect: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"delimiter": ","}
    csv.field_size_limit(2**31 - 1)  # a text may be long, and the model cuts it
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True, **dialect)
    line = 1
    try:
        for fields in reader:
            source, line = f"{path}, line {line}", reader.line_num + 1
            if fields:
                yield source, fields
    except csv.Error as error:
        raise BistilError(
            f"{path}, line {line}: {error}. In .csv a text that begins with a quote ends with one, "
            "and quotes within it are doubled."
        ) from error


def _table_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    header: list[str] = []
    for source, fields in cells(path):
        if not header:
            header = fields
            _check_columns(header, source)
            continue
        if len(fields) != len(header):
            raise BistilError(f"{source} has {len(fields)} columns where the header has {len(header)}.")
        yield source, dict(zip(header, fields, strict=True))


def _parquet_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with path.open("rb") as file:
            table = parquet.read_table(file)
        _check_columns(table.column_names, str(path))
        rows = table.to_pylist()
    except FileNotFoundError as error:
        raise BistilError(f"Cannot read {path}: {error.strerror}. Give the path of a file that exists.") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BistilError(f"{path} is not Parquet: {str(error).splitlines()[0]}") from error
    names = _class_names(table.schema.metadata or {}, str(path))
    for number, row in enumerate(rows, start=1):
        source = f"{path}, row {number}"
        yield source, {column: _named(value, names.get(column), source) for column, value in row.items()}


def _check_columns(names: Sequence[str], source: str) -> None:
    """Raise where two columns have one name; columns without a name are passed over."""
    if twice := next((name for name, count in Counter(names).items() if name and count > 1), None):
        raise BistilError(f"{source} names two columns {twice!r}. Rename or leave out one of them.")


def _class_names(metadata: Mapping[bytes, bytes], path: str) -> dict[str, list[str]]:
    """The names of the classes of each column that holds class numbers, as `datasets` leaves them."""
    try:
        described = parse_json(metadata.get(b"huggingface", b"{}").decode(), f"{path}: the metadata")
        features = described.get("info", {}).get("features", {}).items()
    except (AttributeError, UnicodeDecodeError):  # not of datasets
        return {}
    found = {}
    for column, feature in features:
        if isinstance(feature, list) and feature:  # of datasets before version 4
            (feature, *_) = feature
        inner = feature.get("feature", feature) if isinstance(feature, dict) else None  # of a list
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" and isinstance(inner.get("names"), list):
            found[column] = inner["names"]
    return found


def _named(value: Any, names: list[str] | None, source: str) -> Any:
    if names is None or value is None:
        return value
    if isinstance(value, list):
        return [_named(one, names, source) for one in value]
    if not isinstance(value, int) or value >= len(names):
        raise BistilError(f"{source}: {value!r} is no number of the {len(names)} classes that the file names.")
    return names[value] if value >= 0 else None  # -1 is "no label" in datasets
