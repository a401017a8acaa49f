"""`bistil predict`: labels, or vectors, for new text."""

import json
import sys
from collections.abc import Iterable, Iterator
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

    Each line of a file is a text; in .jsonl (or stdin, if its first line is one) it is a JSON object.

    Labels and extracted answers are written as JSON lines, POS tags and dependencies as CoNLL-U, entities as
    one word and tag per line. Of a sentence embedding model each line of text, with the prompt that it has, gives
    a line with its vector as a JSON list.

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

    loaded = load(model, engine=engine)
    # At a keyboard each line is answered at once.
    size = 1 if str(file) == "-" and sys.stdin.isatty() else 256
    if isinstance(loaded, EmbeddingModel):
        for texts in _batches(_texts(sys.stdin if str(file) == "-" else _lines(file), str(file)), size):
            for vector in loaded.encode(texts):
                print(json.dumps([float(f"{value:.7g}") for value in vector]), flush=size == 1)
        return
    task = loaded.learned
    if str(file) == "-":
        examples = _parsed(sys.stdin, "stdin", task)
    # a file in another task's format is for `read`, too, which says what this one takes
    elif any(one.reads_whole(file) for one in installed_tasks()) or (
        file.suffix.lower() != ".jsonl" and task.recognises(file)
    ):
        examples = iter(task.read(file, labelled=False))
    else:
        examples = _parsed(_lines(file), str(file), task)
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


def _texts(lines: Iterable[str], name: str) -> Iterator[str]:
    """The lines that are not empty."""
    number = 0
    try:
        for line in lines:
            number += 1
            if text := line.strip("\ufeff\r\n"):
                yield text
    except UnicodeDecodeError as error:
        raise BistilError(f"{name} is not UTF-8 text after line {number}. Save it as UTF-8.") from error


def _parsed(lines: Iterable[str], name: str, task: Any) -> Iterator[Any]:
    """An example a line: of JSON in .jsonl, and on stdin if its first line is JSON; else of text."""
    from bistil.tasks.rows import json_row

    number, rows = 0, None
    try:
        for line in lines:
            number += 1
            if number == 1:
                line = line.removeprefix("\ufeff")  # a byte order mark
            if not line.strip():
                continue
            if rows is None:
                rows = name.lower().endswith(".jsonl") or (name == "stdin" and _is_object(line))
            where, line = "the line given", line.rstrip("\r\n")
            yield task.parse_row(json_row(line, where), where) if rows else task.parse(line)
    except UnicodeDecodeError as error:
        raise BistilError(f"{name} is not UTF-8 text after line {number}. Save it as UTF-8.") from error
    except BistilError as error:
        raise BistilError(f"{name}, line {number}: {error}") from error


def _is_object(line: str) -> bool:
    try:
        return isinstance(parse_json(line, "stdin"), dict)
    except BistilError:
        return False
