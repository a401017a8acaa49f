"""Data as people have them, paths, lists or `datasets` objects, as the files that stages read."""

import glob
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bistil.api.given import check_no_splits, kind_of
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
_LOOKED_AT = 300  # items of a list, for paths among them: each is asked of the disk
_PATTERN = re.compile(r"[^\s*]*\*\S*\.(txt|jsonl?|parquet|gz|zst)(:\w+)?")  # of files with text


def text_patterns(text: Mapping[str, Text], folder: Path) -> dict[str, list[str]]:
    """Unlabelled text by language as files, globs and folders; texts in memory are written to ``folder``.

    Example: ``text_patterns({"en": "en.txt", "tr": ["Kedi uyudu."]}, Path("out/data"))`` is ``{"en":
    ["/home/me/en.txt"], "tr": ["/home/me/out/data/tr-5a1b….txt"]}``. Raises BistilError for a language without
    text.
    """
    if not isinstance(text, Mapping):
        raise BistilError(
            f"text is {kind_of(text)}. Give the text of each language, such as {{'en': 'en.txt', 'tr': 'tr.txt'}}."
        )
    return {language: _patterns(language, own, folder) for language, own in text.items()}


def labelled_file(data: Labelled, folder: Path, name: str) -> Path:
    """Labelled data as a file that its task reads; rows in memory are written to ``folder``.

    ``name`` says what they are, for the file's name and for errors. Example: ``labelled_file([{"text": "A cat.",
    "label": "animal"}], Path("out/data"), "train")`` is ``out/data/train-9f86….jsonl``.
    """
    if isinstance(data, str | os.PathLike):
        path = Path(os.path.expanduser(data)).absolute()
        if not path.is_file():
            raise BistilError(f"{name}: there is no file {data} (looked in {Path.cwd()}). Correct the path.")
        return path
    table: Any = data
    if hasattr(table, "to_parquet") and not _computed(table):
        if not len(table):
            raise BistilError(f"{name} has no rows. Give at least one example.")
        with tempfile.TemporaryDirectory() as temporary:
            # the numbers of a table's rows are no column; an index that has a name may be one that is meant
            options = {"index": any(table.index.names)} if is_table(table) else {}
            try:
                table.to_parquet(Path(temporary) / "data.parquet", **options)
            # Arrow's errors are of these: the third is a type that Parquet has not, such as a dict without keys
            except (TypeError, ValueError, NotImplementedError, OverflowError) as error:
                reason = ", ".join(map(str, error.args)).partition("\n")[0]  # the column is named in the second
                raise BistilError(
                    f"{name} cannot be written as Parquet: {reason.rstrip('.')}. Give columns of text, numbers or "
                    "lists, each of one type and under a name of its own."
                ) from error
            return _written(folder, name, ".parquet", (Path(temporary) / "data.parquet").read_bytes())
    check_no_splits(data, name)
    if isinstance(data, Mapping) or not isinstance(data, Iterable):
        raise BistilError(
            f"{name} is {kind_of(data)}. Give a file, a list of rows (dicts), or a datasets.Dataset."
        )
    rows = _with_class_names(data, name)
    if not rows:
        raise BistilError(f"{name} is empty. Give at least one example.")
    if odd := next((row for row in rows if not isinstance(row, Mapping)), None):
        raise BistilError(
            f"{name} holds something {kind_of(odd)}. Give rows, such as {{'text': 'A cat.', 'label': 'animal'}}."
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


def by_language(examples: Mapping[str, Labelled] | None, name: str) -> Mapping[str, Labelled]:
    """Examples by language, None for none; anything else raises BistilError, which has their ``name``."""
    if examples is None:
        return {}
    if not isinstance(examples, Mapping):
        raise BistilError(
            f"{name} is {kind_of(examples)}. Give the examples of each language, such as {{'tr': 'tr.conllu'}}."
        )
    return examples


def several(texts: Any, one: str, cure: str) -> list[Any]:
    """What is given in a list or another iterable; what is none raises BistilError, as do bytes, rows and tables.

    ``one`` is what a single item is, ``cure`` what to give in place of a table.
    """
    if is_table(texts):
        raise BistilError(f"texts is a table {kind_of(texts)}. Give {cure}.")
    # numpy's array of no dimension is iterable by its type alone
    if (
        isinstance(texts, str | bytes | Mapping)
        or not isinstance(texts, Iterable)
        or getattr(texts, "ndim", 1) == 0
    ):
        raise BistilError(f"texts is {kind_of(texts)}. Give {one}, or a list of them.")
    return list(texts)


def is_table(value: Any) -> bool:
    """Whether something is a table, of pandas say, whose items are names of columns, where rows are meant."""
    return hasattr(value, "columns")


def _computed(table: Any) -> bool:
    """Whether the rows of a table are only made as they are asked for, so that no file of it would have them."""
    form = getattr(table, "format", None)  # of a `datasets.Dataset`; a table of pandas may have such a column
    transformed = isinstance(form, Mapping) and form.get("type") == "custom"
    return transformed or not hasattr(table, "__len__")  # a stream


def _with_class_names(rows: Iterable[Any], name: str) -> list[Any]:
    """Rows as they are, but those of `datasets` with the names of classes in place of their numbers."""
    features = getattr(rows, "features", None)
    if not isinstance(features, Mapping):
        return list(rows)
    return [
        {column: _with_names(value, features.get(column), f"{name}[{number}]") for column, value in row.items()}
        for number, row in enumerate(rows)
    ]


def _with_names(value: Any, feature: Any, source: str) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value  # of numpy or torch, as a transform may make it
    if isinstance(value, list):
        inner = feature[0] if isinstance(feature, list) and feature else getattr(feature, "feature", None)
        return [_with_names(one, inner, source) for one in value]
    names = getattr(feature, "names", None)
    if names is None or not isinstance(value, int):  # a transform may have named it
        return value
    if value >= len(names):
        raise BistilError(
            f"{source}: {value} is no number of the {len(names)} classes. Correct it, or give the class's name."
        )
    return names[value] if value >= 0 else None  # -1 is "no label" in datasets


def _patterns(language: str, text: Text, folder: Path) -> list[str]:
    if isinstance(text, str | os.PathLike):
        if not os.fspath(text).strip():  # the folder where one is, as a path
            raise BistilError(f"The text of {language} is {text!r}. Give a path, or a list of texts.")
        return [_absolute(text)]
    check_no_splits(text, f"The text of {language}")
    if isinstance(text, Mapping) or not isinstance(text, Iterable):
        raise BistilError(
            f"The text of {language} is {kind_of(text)}. Give a path, a list of texts, or a datasets.Dataset."
        )
    if is_table(text):
        raise BistilError(
            f"The text of {language} is a table {kind_of(text)}. Give its texts: table['text'].tolist()."
        )
    rows: Any = text
    items = list(rows[COLUMN]) if COLUMN in (getattr(text, "column_names", None) or ()) else list(rows)
    if not items:
        raise BistilError(f"The text of {language} is empty. Give a path, or a list with at least one text.")
    if all(isinstance(item, os.PathLike) or (isinstance(item, str) and is_url(item)) for item in items):
        return [_absolute(item) for item in items]
    if (named := _path_among([item for item in items[:_LOOKED_AT] if isinstance(item, str)])) is not None:
        path, what = named
        raise BistilError(
            f"The text of {language} is a list of texts, but {path!r} is {what}. Give a glob or folder alone, "
            "such as 'corpora/*.txt', or a list of Path objects."
        )
    lines = [_line(item, language) for item in items]
    if not any(line.strip() for line in lines):
        raise BistilError(f"The text of {language} is blank. Give a path, or a list with at least one text.")
    return [str(_written(folder, language, ".txt", "\n".join([*lines, ""]).encode()))]


def _path_among(texts: Sequence[str]) -> tuple[str, str] | None:
    """A text that is meant as a path, and what that is; a text such as "*", "." or "data" is none by itself."""
    if pattern := next(filter(_PATTERN.fullmatch, texts), None):
        return pattern, "a glob"
    there = [text for text in texts if re.search(r"\w", text) and os.path.exists(_at_home(text))]
    # a word alone may well be called as a folder is, unless all of them are
    meant = there if len(there) == len(texts) else [one for one in there if re.search(r"[./\\]", one)]
    if not meant:
        return None
    return meant[0], "a folder" if os.path.isdir(_at_home(meant[0])) else "a file"


def _at_home(text: str) -> str:
    """A text as the path that it may be; one that begins with ~ and a word names no user."""
    return os.path.expanduser(text) if text.startswith("~/") else text


def _line(item: Any, language: str) -> str:
    text = item.get(COLUMN) if isinstance(item, Mapping) else item
    if not isinstance(text, str):
        raise BistilError(
            f"The text of {language} holds something {kind_of(item)}. Give texts, or rows with a column 'text'."
        )
    return whole(text, f"The text of {language}")


def _absolute(pattern: str | os.PathLike[str]) -> str:
    """So that the recipe that is kept means the same files from any folder."""
    if is_url(name := os.fspath(pattern)):
        return name
    name = os.path.expanduser(name)
    if (
        os.path.isabs(name)
        or not glob.has_magic(name)
        or any(map(os.path.exists, (name, name.rpartition(":")[0])))
    ):
        return os.path.abspath(name)
    return os.path.normpath(os.path.join(glob.escape(os.getcwd()), name))  # [ in its name begins no set of a glob


def _written(folder: Path, name: str, suffix: str, content: bytes) -> Path:
    """The file is named by its content, so that other data of the same name are another file."""
    plain = re.sub(r"[^\w.-]", "_", f"{name}")[:50]  # a user's name may be no name of a file
    path = folder.absolute() / f"{plain}-{hashlib.sha256(content).hexdigest()[:10]}{suffix}"
    if not path.is_file():
        with tempfile.TemporaryDirectory() as temporary:
            (Path(temporary) / path.name).write_bytes(content)
            publish_files(path.parent, {path.name: Path(temporary) / path.name})
    return path
