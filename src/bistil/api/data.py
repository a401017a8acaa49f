"""Data as people have them, paths, lists or `datasets` objects, as the files that stages read."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bistil.errors import BistilError
from bistil.files import publish_files

# A file; or rows, as a list of dicts or a `datasets.Dataset`.
Labelled = str | Path | Sequence[Mapping[str, Any]] | Iterable[Any]


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
    except (TypeError, ValueError) as error:
        raise BistilError(
            f"{name}: a row cannot be written as JSON ({error}). Give text, numbers and lists."
        ) from None
    return _written(folder, name, ".jsonl", "\n".join([*lines, ""]).encode())


def _written(folder: Path, name: str, suffix: str, content: bytes) -> Path:
    """The file is named by its content, so that other data of the same name are another file."""
    path = folder.absolute() / f"{name}-{hashlib.sha256(content).hexdigest()[:10]}{suffix}"
    if not path.is_file():
        with tempfile.TemporaryDirectory() as temporary:
            (Path(temporary) / path.name).write_bytes(content)
            publish_files(path.parent, {path.name: Path(temporary) / path.name})
    return path


def _kind(value: Any) -> str:
    return "None" if value is None else f"of the type {type(value).__name__}"
