"""`bistil eval`: a saved model on a labelled file."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bistil.cli.labelmap import label_map

_JUDGED, _SUSPICIOUS = 200, 0.02


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A task model: OUT/tasks/NAME of a run.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Labelled, in a format of the model's task.")],
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="LABEL=LABEL", help="Call a label of the file otherwise; may be repeated."),
    ] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="For parsing: also score heads that need not make a tree.")
    ] = False,
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
    bistil eval runs/swahili/tasks/ner swa_masakhaner2-test.txt --map DATE=O
    bistil eval runs/indonesian/tasks/nli test.jsonl --map e=entailment --map n=neutral --map c=contradiction
    bistil eval runs/basque/tasks/parsing eu-test.conllu --lenient
    bistil eval runs/german/tasks/qa mlqa.de.json --language de
    """
    from bistil.tasks.saved import load

    network, tokenizer, task = load(model)
    examples = [example.renamed(label_map(mapped or [])) for example in task.read(file)]
    examples = examples if language is None else task.in_language(examples, language)
    more = task.lenient_scores(network, tokenizer, examples) if lenient else {}
    task.check(examples)
    if warning := suspicion(examples, tokenizer):
        print(f"warning: {file}: {warning}", file=sys.stderr)
    predictions = task.predict(network, tokenizer, examples)
    scores = task.score(examples, predictions) | {f"{name}_lenient": value for name, value in more.items()}
    result = {
        "model": str(model),
        "file": str(file),
        "examples": len(examples),
        "scores": scores,
        "per_label": task.per_label(examples, predictions),
    }
    print(json.dumps(result, ensure_ascii=False, indent=2) if as_json else _tables(result))


def suspicion(examples: Sequence[Any], tokenizer: Any) -> str | None:
    """What is wrong with the text of a file for this model, if its tokenizer knows little of it."""
    from bistil.corpora.tokenizers import named_unless_read

    judged = examples[:_JUDGED]
    texts = [example.text for example in judged]
    with named_unless_read(tokenizer, texts, (example.source for example in judged)):
        ids = [i for row in tokenizer(texts, add_special_tokens=False)["input_ids"] for i in row]
    unknown = sum(i == tokenizer.unk_token_id for i in ids) / max(len(ids), 1)
    if unknown < _SUSPICIOUS:
        return None
    return f"the model does not know {unknown:.0%} of the pieces of this text. Is it in one of its two languages?"


def _tables(result: Mapping[str, Any]) -> str:
    from bistil.report import formats
    from bistil.runtime.tables import aligned

    scores = [[formats.metric(name), f"{value:.1f}"] for name, value in result["scores"].items()]
    columns = ("precision", "recall", "f1", "support")
    labels = [
        [label, *(f"{row[column]:.1f}" for column in columns[:3]), f"{row['support']:,.0f}"]
        for label, row in result["per_label"].items()
    ]
    by_label = ["", *aligned([["label", *columns], *labels])] if labels else []
    heading = f"{result['file']}: {result['examples']:,} examples, in per cent"
    return "\n".join([heading, "", *aligned(scores), *by_label])
