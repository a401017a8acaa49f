"""`bistil predict`: labels, or vectors, for new text."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bistil.corpora.strict import parse_json
from bistil.errors import BistilError

Engine = Annotated[
    str | None,
    typer.Option(help="int8 or onnx, which `bistil export` writes, or torch [the first that the model has]."),
]


def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A task model, OUT/tasks/NAME of a run, a sentence embedding model, or a hub id."
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Texts, one per line; - is stdin.")] = Path("-"),
    engine: Engine = None,
) -> None:
    """Label new text with a task model, or make its sentence embeddings.

    Each line of a file is a text; in .jsonl (or stdin, if its first line is one) it is a JSON object. Objects and
    tables (.csv, .tsv, .parquet) have a "text", or the columns of the task.

    Labels and extracted answers are written as JSON lines, POS tags and dependencies as CoNLL-U, entities as
    one word and tag per line; for these a row without words is an error. Of a sentence embedding model each line
    of text, with the prompt that it has, gives a line with its vector as a JSON list; a blank line between others
    is an error.

    \b
    bistil predict runs/turkish/tasks/classification texts.txt > labels.jsonl
    echo "Havlayan bir hayvan" | bistil predict runs/turkish/tasks/classification
    bistil predict runs/basque/tasks/pos sentences.conllu > tagged.conllu
    bistil predict runs/turkish/tasks/qa questions.json > answers.jsonl
    bistil predict runs/embeddings/student texts.txt > vectors.jsonl
    """
    if str(file) != "-" and not file.is_file():
        raise BistilError(f"There is no file {file}. Give a text file, or - for stdin.")
    from bistil.api.embedding import EmbeddingModel
    from bistil.api.model import load
    from bistil.tasks import installed_tasks
    from bistil.tasks.rows import read_rows

    loaded = load(model, engine=engine)
    # At a keyboard each line is answered at once.
    size = 1 if str(file) == "-" and sys.stdin.isatty() else 256
    given, name = (sys.stdin, "stdin") if str(file) == "-" else (_lines(file), str(file))
    # a file in another task's format is no plain text, either: who reads it says what it takes
    whole = str(file) != "-" and any(one.reads_whole(file) for one in installed_tasks())
    if isinstance(loaded, EmbeddingModel):
        rows = (_text(row, where) for where, row in read_rows(file)) if whole else _parsed(given, name, None)
        for texts in _batches(rows, size):
            for vector in loaded.encode(texts):
                print(json.dumps([float(f"{value:.7g}") for value in vector]), flush=size == 1)
        return
    task = loaded.learned
    examples: Iterator[Any]
    if whole and task.has_texts(file):
        examples = (_worded(task.parse_row(row, where)) for where, row in read_rows(file))
    elif whole or (str(file) != "-" and file.suffix.lower() != ".jsonl" and task.recognises(file)):
        examples = map(_worded, task.read(file, labelled=False))
    else:
        examples = _parsed(given, name, task)
    for batch in _batches(examples, size):
        for example, prediction in zip(batch, loaded.predict(batch), strict=True):
            print(task.render(example, prediction), flush=size == 1)


def _batches(examples: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """So many at once; where one cannot be read, those before it come first."""
    batch = []
    try:
        for example in examples:
            batch.append(example)
            if len(batch) == size:
                yield batch
                batch = []
    except BistilError as error:
        if batch:
            yield batch
        raise error
    if batch:
        yield batch


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8") as lines:
        yield from lines


def _parsed(lines: Iterable[str], name: str, task: Any | None) -> Iterator[Any]:
    """An example a line: of JSON in .jsonl, and on stdin if its first line is JSON; else of text.

    Without a task it is a text, which no line lacks: a vector does not say which text it is of, but by its line.
    """
    from bistil.tasks.rows import json_row

    number, blank, rows = 0, 0, None
    try:
        for line in lines:
            number += 1
            if number == 1:
                line = line.removeprefix("\ufeff")  # a byte order mark
            if not line.strip():
                blank = blank or number
                continue
            if blank and task is None:  # those at the end move no line
                number = blank
                raise BistilError("it is blank. Give a text, or leave the line out.")
            if rows is None:
                rows = name.lower().endswith(".jsonl") or (name == "stdin" and _is_object(line))
            where, line = "the line given", line.rstrip("\r\n")
            if task is None:
                yield _text(json_row(line, where), where) if rows else line
            else:
                yield _worded(task.parse_row(json_row(line, where), where)) if rows else task.parse(line)
    except UnicodeDecodeError as error:
        raise BistilError(f"{name} is not UTF-8 text after line {number}. Save it as UTF-8.") from error
    except BistilError as error:
        raise BistilError(f"{name}, line {number}: {error}") from error


def _worded(example: Any) -> Any:
    """An example of a row, which no output lacks: of a sentence without words there is nothing to write."""
    if getattr(example, "words", None) == ():
        raise BistilError(f"{example.source} has no words. Give some, or leave it out.")
    return example


def _text(row: Mapping[str, Any], where: str) -> str:
    if "text" not in row:
        present = ", ".join(map(repr, row)) or "none"
        raise BistilError(f"{where}: there is no 'text'; there are {present}. Rename the one meant.")
    text = row["text"]
    if not isinstance(text, str):
        raise BistilError(f"{where} has {text!r} as 'text'. Give a text.")
    return text


def _is_object(line: str) -> bool:
    try:
        return isinstance(parse_json(line, "stdin"), dict)
    except BistilError:
        return False
