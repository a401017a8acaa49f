"""How good a task model is on labelled data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from bistil.corpora.suspicion import token_use
from bistil.evaluation.scores import evaluate
from bistil.report import formats
from bistil.runtime.tables import aligned
from bistil.tasks.task import Task

_JUDGED, _SUSPICIOUS = 200, 0.02
_COLUMNS = ("precision", "recall", "f1", "support")


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Scores in per cent, those of each label, of how many examples, and a warning where the text looks wrong.

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


def _suspicion(examples: Sequence[Any], tokenizer: Any) -> str | None:
    """What is wrong with the text for this model, if its tokenizer knows little of it."""
    unknown = token_use(tokenizer, [example.text for example in examples[:_JUDGED]]).unknown
    if unknown < _SUSPICIOUS:
        return None
    return f"the model does not know {unknown:.0%} of the pieces of this text. Is it in one of its two languages?"


def _cells(row: Sequence[str]) -> str:
    return "".join(f'<td dir="auto">{escape(cell)}</td>' for cell in row)
