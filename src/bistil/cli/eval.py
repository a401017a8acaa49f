"""`bistil eval`: the scores of a saved model on a labelled file."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from bistil.cli.labelmap import label_map
from bistil.cli.predict import Engine


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A task model: OUT/tasks/NAME of a run, or a hub id.")
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Labelled, in a format of the model's task.")],
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="LABEL=LABEL", help="Rename a label of the file; may be repeated."),
    ] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="For parsing: also score heads without the tree constraint.")
    ] = False,
    language: Annotated[
        str | None,
        typer.Option(help="Code of the file's language, for MLQA's scores in question answering."),
    ] = None,
    engine: Engine = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not tables.")] = False,
) -> None:
    """Score a task model on a labelled file.

    \b
    bistil eval runs/basque/tasks/pos eu-test.conllu
    bistil eval runs/turkish/tasks/classification test.tr.jsonl --json
    bistil eval runs/swahili/tasks/ner swa_masakhaner2-test.txt --map DATE=O
    bistil eval runs/indonesian/tasks/nli test.jsonl --map e=entailment --map n=neutral --map c=contradiction
    bistil eval runs/basque/tasks/parsing eu-test.conllu --lenient
    bistil eval runs/german/tasks/qa mlqa.de.json --language de
    """
    from bistil.api.model import load_task

    found = load_task(model, engine=engine).evaluate(
        file, language=language, label_map=label_map(mapped or []), lenient=lenient
    )
    if found.warning:
        print(f"warning: {file}: {found.warning}", file=sys.stderr)
    result = {
        "model": model,
        "file": str(file),
        "examples": found.examples,
        "scores": found.scores,
        "per_label": found.per_label,
    }
    print(json.dumps(result, ensure_ascii=False, indent=2) if as_json else f"{file}: {found!r}")
