"""`bistil eval`: a saved model on a labelled file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bistil.errors import BistilError


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A task model: OUT/tasks/NAME of a run.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Labelled: .jsonl, .tsv, .csv or .conllu.")],
    paper_scores: Annotated[
        bool, typer.Option("--paper-scores", help="For parsing: also score heads that need not make a tree.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not tables.")] = False,
) -> None:
    """Score a task model on a labelled file.

    \b
    bistil eval runs/basque/tasks/pos eu-test.conllu
    bistil eval runs/turkish/tasks/classification test.tr.jsonl --json
    bistil eval runs/basque/tasks/parsing eu-test.conllu --paper-scores
    """
    from bistil.cli.saved import load
    from bistil.tasks import Parsing

    network, tokenizer, task = load(model)
    if paper_scores and not isinstance(task, Parsing):
        raise BistilError(f"--paper-scores are of parsing, and {model} is for {task.kind}. Leave the option out.")
    examples = task.read(file)
    task.check(examples)
    predictions = task.predict(network, tokenizer, examples)
    scores = task.score(examples, predictions)
    if isinstance(task, Parsing) and paper_scores:
        laxer = task.paper_scores(network, tokenizer, examples)
        scores |= {f"{name}_of_the_paper": value for name, value in laxer.items()}
    result = {
        "model": str(model),
        "file": str(file),
        "examples": len(examples),
        "scores": scores,
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
    return "\n".join(
        [
            f"{result['file']}: {result['examples']:,} examples, in per cent",
            "",
            *_aligned(scores),
            "",
            *_aligned([["label", *columns], *labels]),
        ]
    )


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
