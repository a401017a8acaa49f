"""`bistil eval`: a saved model on a labelled file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A task model: OUT/tasks/NAME of a run.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Labelled: .jsonl, .tsv, .csv, .conllu or .json.")],
    language: Annotated[
        str | None,
        typer.Option(help="Code of the file's language: answers to questions are then scored as MLQA's."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not tables.")] = False,
) -> None:
    """Score a task model on a labelled file.

    \b
    bistil eval runs/basque/tasks/pos eu-test.conllu
    bistil eval runs/turkish/tasks/classification test.tr.jsonl --json
    bistil eval runs/german/tasks/qa mlqa.de.json --language de
    """
    from bistil.cli.saved import load

    network, tokenizer, task = load(model)
    examples = task.read(file) if language is None else task.in_language(task.read(file), language)
    task.check(examples)
    predictions = task.predict(network, tokenizer, examples)
    result = {
        "model": str(model),
        "file": str(file),
        "examples": len(examples),
        "scores": task.score(examples, predictions),
        "per_label": task.per_label(examples, predictions),
    }
    print(json.dumps(result, ensure_ascii=False, indent=2) if as_json else _tables(result))


def _tables(result: Mapping[str, Any]) -> str:
    scores = [[name.replace("_", " "), f"{value:.1f}"] for name, value in result["scores"].items()]
    columns = ("precision", "recall", "f1", "support")
    labels = [
        [label, *(f"{row[column]:.1f}" for column in columns[:3]), f"{row['support']:,.0f}"]
        for label, row in result["per_label"].items()
    ]
    by_label = ["", *_aligned([["label", *columns], *labels])] if labels else []
    heading = f"{result['file']}: {result['examples']:,} examples, in per cent"
    return "\n".join([heading, "", *_aligned(scores), *by_label])


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]
