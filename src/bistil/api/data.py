"""Data as people have them, paths, lists or `datasets` objects, as the files that stages read."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bistil.corpora.strict import whole
from bistil.corpora.urls import is_url
from bistil.errors import BistilError
from bistil.files import publish_files

# A string alone is a path, a glob, a folder or a URL of one; strings in a list are texts, and Path objects and
# URLs in a list are files.
# The last is a `datasets.Dataset`, or whatever else gives texts, or rows with a column "text".
Text = str | Path | Sequence[str] | Sequence[Path] | Iterable[Any]
# A file; or rows, as a list of dicts or a `datasets.Dataset`.
Labelled = str | Path | Sequence[Mapping[str, Any]] | Iterable[Any]
COLUMN = "text"


def text_patterns(text: Mapping[str, Text], folder: Path) -> dict[str, list[str]]:
    """Unlabelled text by language as files, globs and folders; texts in memory are written to ``folder``.

    Example: ``text_patterns({"en": "en.txt", "tr": ["Kedi uyudu."]}, Path("out/data"))`` is ``{"en":
    ["/home/me/en.txt"], "tr": ["/home/me/out/data/tr-5a1b….txt"]}``. Raises BistilError for a language without
    text.
    """
    if not isinstance(text, Mapping):
        raise BistilError(
            f"text is {_kind(text)}. Give the text of each language, such as {{'en': 'en.txt', 'tr': 'tr.txt'}}."
        )
    return {language: _patterns(language, own, folder) for language, own in text.items()}


def labelled_file(data: Labelled, folder: Path, name: str) -> Path:
    """Labelled data as a file that its task reads; rows in memory are written to ``folder``.

    ``name`` says what they are, for the file's name and for errors. Example: ``labelled_file([{"text": "A cat.",
    "label": "animal"}], Path("out/data"), "train")`` is ``out/data/train-9f86….jsonl``.
    """
    if isinstance(data, str | os.PathLike):
        path = Path(data).expanduser().absolute()
        if not path.is_file():
            raise BistilError(f"{name}: there is no file {data} (looked in {Path.cwd()}). Correct the path.")
        return path
    table: Any = data
    if hasattr(table, "to_parquet"):
        if not len(table):
            raise BistilError(f"{name} has no rows. Give at least one example.")
        with tempfile.TemporaryDirectory() as temporary:
            table.to_parquet(Path(temporary) / "data.parquet")
            return _written(folder, name, ".parquet", (Path(temporary) / "data.parquet").read_bytes())
    if isinstance(data, Mapping) or not isinstance(data, Iterable):
        raise BistilError(f"{name} is {_kind(data)}. Give a file, a list of rows (dicts), or a datasets.Dataset.")
    rows = list(data)
    if not rows:
        raise BistilError(f"{name} is empty. Give at least one example.")
    if odd := next((row for row in rows if not isinstance(row, Mapping)), None):
        raise BistilError(
            f"{name} holds something {_kind(odd)}. Give rows, such as {{'text': 'A cat.', 'label': 'animal'}}."
        )
    try:
        lines = [json.dumps(dict(row), ensure_ascii=False) for row in rows]
    except (TypeError, ValueError, RecursionError) as error:
        raise BistilError(
            f"{name}: a row cannot be written as JSON ({error}). Give text, numbers and lists."
        ) from None
    for number, line in enumerate(lines):
        whole(line, f"{name}[{number}]")
    return _written(folder, name, ".jsonl", "\n".join([*lines, ""]).encode())


def _patterns(language: str, text: Text, folder: Path) -> list[str]:
    if isinstance(text, str | os.PathLike):
        return [_absolute(text)]
    if isinstance(text, Mapping) or not isinstance(text, Iterable):
        raise BistilError(
            f"The text of {language} is {_kind(text)}. Give a path, a list of texts, or a datasets.Dataset."
        )
    rows: Any = text
    items = list(rows[COLUMN]) if COLUMN in (getattr(text, "column_names", None) or ()) else list(rows)
    if not items:
        raise BistilError(f"The text of {language} is empty. Give a path, or a list with at least one text.")
    if all(isinstance(item, os.PathLike) or (isinstance(item, str) and is_url(item)) for item in items):
        return [_absolute(item) for item in items]
    if isinstance(items[0], str) and os.path.isfile(items[0]):
        raise BistilError(
            f"The text of {language} is a list of texts, but {items[0]!r} is a file. Give a glob such as "
            "'corpora/*.txt', or Path objects."
        )
    lines = [_line(item, language) for item in items]
    if not any(line.strip() for line in lines):
        raise BistilError(f"The text of {language} is blank. Give a path, or a list with at least one text.")
    return [str(_written(folder, language, ".txt", "\n".join([*lines, ""]).encode()))]


def _line(item: Any, language: str) -> str:
    text = item.get(COLUMN) if isinstance(item, Mapping) else item
    if not isinstance(text, str):
        raise BistilError(
            f"The text of {language} holds something {_kind(item)}. Give texts, or rows with a column 'text'."
        )
    return whole(text, f"The text of {language}")


def _absolute(pattern: str | os.PathLike[str]) -> str:
    """So that the recipe that is kept means the same files from any folder."""
    if is_url(name := os.fspath(pattern)):
        return name
    return os.path.abspath(os.path.expanduser(name))


def _written(folder: Path, name: str, suffix: str, content: bytes) -> Path:
    """The file is named by its content, so that other data of the same name are another file."""
    plain = re.sub(r"[^\w.-]", "_", f"{name}")[:50]  # a user's name may be no name of a file
    path = folder.absolute() / f"{plain}-{hashlib.sha256(content).hexdigest()[:10]}{suffix}"
    if not path.is_file():
        with tempfile.TemporaryDirectory() as temporary:
            (Path(temporary) / path.name).write_bytes(content)
            publish_files(path.parent, {path.name: Path(temporary) / path.name})
    return path


def _kind(value: Any) -> str:
    return "None" if value is None else f"of the type {type(value).__name__}"
