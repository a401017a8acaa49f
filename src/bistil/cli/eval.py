"""`bistil eval`: the scores of a saved model on labelled files."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from bistil.cli.labelmap import label_map
from bistil.cli.predict import Engine
from bistil.errors import BistilError


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A task model (OUT/tasks/NAME of a run), a sentence embedding model, or a hub id.",
        ),
    ],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Labelled, in a format of the model's task. For sentence embeddings: two files of lines that are "
            "each other's translations, a table of two texts (and a score), one of text and label with --train, "
            "or XQuAD-R's .json.",
        ),
    ],
    train: Annotated[
        Path | None,
        typer.Option(help="For sentence embeddings: texts with labels, by whose neighbours FILE is labelled."),
    ] = None,
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
    """Score a task model on a labelled file, or a sentence embedding model.

    \b
    bistil eval runs/basque/tasks/pos eu-test.conllu
    bistil eval runs/turkish/tasks/classification test.tr.jsonl --json
    bistil eval runs/swahili/tasks/ner swa_masakhaner2-test.txt --map DATE=O
    bistil eval runs/indonesian/tasks/nli test.jsonl --map e=entailment --map n=neutral --map c=contradiction
    bistil eval runs/basque/tasks/parsing eu-test.conllu --lenient
    bistil eval runs/german/tasks/qa mlqa.de.json --language de
    bistil eval runs/turkish/student ntrex.en.txt ntrex.tr.txt
    bistil eval runs/turkish/student stsb-tr-test.tsv
    bistil eval runs/turkish/student topics.tr.tsv --train topics.en.tsv
    """
    from bistil.api.embedding import EmbeddingModel
    from bistil.api.model import load

    loaded, name = load(model, engine=engine), " ".join(map(str, files))
    if isinstance(loaded, EmbeddingModel):
        options = {"--map": mapped, "--lenient": lenient, "--language": language}
        if given := next((option for option, value in options.items() if value), None):
            raise BistilError(
                f"{given} is for task models, and {model} is a sentence embedding model. Leave it out."
            )
        found = loaded.evaluate(files, train=train)
    elif train is not None or len(files) > 1:
        raise BistilError(f"{model} is a task model, which is scored on one labelled file. Give that alone.")
    else:
        found = loaded.evaluate(files[0], language=language, label_map=label_map(mapped or []), lenient=lenient)
    if found.warning:
        print(f"warning: {name}: {found.warning}", file=sys.stderr)
    result = {
        "model": model,
        "file": name,
        "examples": found.examples,
        "scores": found.scores,
        "per_label": found.per_label,
    }
    print(json.dumps(result, ensure_ascii=False, indent=2) if as_json else f"{name}: {found!r}")
