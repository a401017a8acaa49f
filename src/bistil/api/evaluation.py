"""How good a task model is on labelled data, and sentence embeddings on theirs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from bistil.api.data import Labelled, labelled_file
from bistil.corpora.suspicion import token_use
from bistil.evaluation.embeddings import EmbeddingTest, Encoder
from bistil.evaluation.scores import evaluate
from bistil.evaluation.testfiles import read_test
from bistil.report import formats
from bistil.runtime.tables import aligned
from bistil.tasks.task import Task

# What sentence embeddings are tested on: one file, two of lines, several of questions; or rows.
Tested = Labelled | Sequence[str | Path]
_JUDGED, _SUSPICIOUS = 200, 0.02
_COLUMNS = ("precision", "recall", "f1", "support")


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Scores in per cent, those of each label, of how many examples, and a warning where something looks wrong.

    Example: ``Evaluation({"accuracy": 78.6}, {"NOUN": {"precision": 81.2, "recall": 84.0, "f1": 82.6, "support":
    3042}, …}, 979)``.
    """

    scores: Mapping[str, float]
    per_label: Mapping[str, Mapping[str, float]]
    examples: int
    warning: str | None = None

    def __repr__(self) -> str:
        scores, labels = self._tables()
        by_label = ["", *aligned(labels)] if labels else []
        return "\n".join([f"{self.examples:,} examples, in per cent", "", *aligned(scores), *by_label])

    def _repr_html_(self) -> str:
        tables = (
            f"<table>{''.join(f'<tr>{cells}</tr>' for cells in map(_cells, rows))}</table>"
            for rows in self._tables()
        )
        return f"<p>{self.examples:,} examples, in per cent</p>{''.join(tables)}"

    def _tables(self) -> tuple[list[list[str]], list[list[str]]]:
        scores = [[formats.metric(name), f"{value:.1f}"] for name, value in self.scores.items()]
        labels = [
            [label, *(f"{row[column]:.1f}" for column in _COLUMNS[:3]), f"{row['support']:,.0f}"]
            for label, row in self.per_label.items()
        ]
        return scores, [["label", *_COLUMNS], *labels] if labels else []


def evaluated(network: Any, tokenizer: Any, task: Task[Any], examples: Sequence[Any], lenient: bool) -> Evaluation:
    """The evaluation of a model on examples of its task."""
    more = task.lenient_scores(network, tokenizer, examples) if lenient else {}
    task.check(examples)
    found = evaluate(network, tokenizer, task, {"": examples})[""]
    scores = {**found["scores"], **{f"{name}_lenient": value for name, value in more.items()}}
    return Evaluation(scores, found["per_label"], len(examples), _suspicion(examples, tokenizer))


def embeddings_evaluated(model: Encoder, test: EmbeddingTest) -> Evaluation:
    """The evaluation of a sentence embedding model on a test."""
    scores = {name: float(score) for name, score in test.scores(model).items()}
    return Evaluation(scores, {}, len(test))


def embedding_test(data: Tested, train: Labelled | None, folder: Path, name: str = "data") -> EmbeddingTest:
    """The test that data hold. Rows in memory are written to ``folder``; ``name`` says in errors what they are."""
    several = isinstance(data, list | tuple) and all(isinstance(one, str | os.PathLike) for one in data)
    parts: Sequence[Any] = data if several and data else [data]  # type: ignore[assignment]
    files = [labelled_file(part, folder, name) for part in parts]
    return read_test(files, None if train is None else labelled_file(train, folder, "train"))


def _suspicion(examples: Sequence[Any], tokenizer: Any) -> str | None:
    """What is wrong with the text for this model, if its tokenizer knows little of it."""
    unknown = token_use(tokenizer, [example.text for example in examples[:_JUDGED]]).unknown
    if unknown < _SUSPICIOUS:
        return None
    return f"the model does not know {unknown:.0%} of the pieces of this text. Is it in one of its two languages?"


def _cells(row: Sequence[str]) -> str:
    return "".join(f'<td dir="auto">{escape(cell)}</td>' for cell in row)
