"""Extractive question answering: the piece of a context that answers a question."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bistil.errors import BistilError
from bistil.runtime.engine import Outputs
from bistil.runtime.results import Answer
from bistil.tasks.answers import exact_match, token_f1
from bistil.tasks.heads import Head
from bistil.tasks.inference import logits, max_length
from bistil.tasks.rows import ROWS, columns
from bistil.tasks.spans import best_span, passages
from bistil.tasks.squad import Question, parse_question, question_of, read_questions
from bistil.tasks.task import Prediction, Task

_TEMPERATURE = 4.0  # of many tokens few are likely, and a student learns more from all the others (docs/tasks.md)


@dataclass(frozen=True)
class QuestionAnswering(Task[Question]):
    """The span of a context that answers a question; or nothing, if training had questions without an answer."""

    labels: tuple[str, ...] = ("start", "end")
    no_answer: bool = False

    kind = "qa"
    version = 2
    title = "question-answering"
    head = Head("transformers", "AutoModelForQuestionAnswering")
    outputs: ClassVar[Mapping[str, tuple[str, ...]]] = {"start_logits": ("tokens",), "end_logits": ("tokens",)}
    suffixes = (".json", *ROWS)
    guessed_from = (".json",)
    metric = "f1"
    metric_title = "F1"
    default_max_length = 384  # a paragraph and a question
    takes = "{'question': …, 'context': …}"
    row: ClassVar[Mapping[str, Any]] = {"question": str, "context": str}
    returns = Answer

    @property
    def proposed(self) -> Mapping[str, Any]:
        """A student that is deep and thin, and may change much."""
        return {"student.budget": 0.5, "tasks.0.student_density": 0.5}

    @property
    def advice(self) -> Mapping[str, str]:
        """Why."""
        return {
            "student.budget": "answers need depth: many thin layers keep more of them than few whole ones",
            "tasks.0.student_density": "part of what brought students within a point of their teachers",
            "tasks.0.unlabelled": "more questions, without answers, bring a student nearer to its teacher",
        }

    @classmethod
    def read(cls, path: Path, *, labelled: bool = True) -> list[Question]:
        """The questions of a .json file in the format of SQuAD, which XQuAD and MLQA share, or of rows.

        Rows (.jsonl, .parquet) have ``question``, ``context`` and ``answers``, as `datasets` has SQuAD.
        """
        return read_questions(path, labelled)

    @classmethod
    def columns(cls, path: Path) -> tuple[str, ...]:
        """Those of rows."""
        return columns(path) if path.suffix.lower() in ROWS else ()

    def features(self, examples: Sequence[Question], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        """One feature a window; ``start_positions`` and ``end_positions`` of the first answer's tokens.

        Both are 0, the first token, where the window does not hold the whole answer: in training without
        unanswerable questions too, as in the scripts for SQuAD of BERT and of transformers.
        """
        self.check(examples)
        features = []
        for example, passage in zip(examples, passages(examples, tokenizer, max_length), strict=True):
            span = passage.span(example.answers[0]) if example.answers else None
            for window in passage.windows:
                start, end = window.positions(span)
                features.append({**window.inputs, "start_positions": start, "end_positions": end})
        return features

    def collator(self, tokenizer: Any) -> Any:
        """Pads to the longest of the batch."""
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(tokenizer)

    def predict(
        self, model: Any, tokenizer: Any, examples: Sequence[Question], batch_size: int = 32
    ) -> list[Prediction]:
        """One answer for each question, cut from its context as it stands there; "" for none."""
        found = list(passages(examples, tokenizer, min(self.default_max_length, max_length(model, tokenizer))))
        inputs = [window.inputs for passage in found for window in passage.windows]
        outputs = iter(logits(model, tokenizer, inputs, batch_size, _starts_and_ends))
        predictions = []
        for example, passage in zip(examples, found, strict=True):
            span, probability = best_span(passage, [next(outputs) for _ in passage.windows], self.no_answer)
            place = passage.characters(example.context, *span) if span else None
            text = example.context[slice(*place)] if place else ""
            predictions.append(Prediction((text,), (probability,), span=place if text else None))
        return predictions

    @staticmethod
    def head_loss(student: Any, teacher: Any, inputs: Mapping[str, Any]) -> Any:
        """The mean of `losses.logits_loss` for start and end, distributions over the tokens of a window.

        The temperature is 4. It counts (4 / 2)² times, so that its gradients are as large as those at 2, at which
        other tasks learn.
        """
        import torch

        from bistil.training import losses

        padding = ~inputs["attention_mask"].bool()

        def loss(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
            # finite, for 0 · log 0 is no number; a teacher's can be in bfloat16, whose least is another
            student, teacher = (
                logits.masked_fill(padding, torch.finfo(logits.dtype).min) for logits in (ours, theirs)
            )
            return (_TEMPERATURE / 2) ** 2 * losses.logits_loss(student, teacher, temperature=_TEMPERATURE)

        starts, ends = (loss(getattr(student, n), getattr(teacher, n)) for n in ("start_logits", "end_logits"))
        return (starts + ends) / 2

    def parse(self, line: str) -> Question:
        """A JSON object: ``{"question": "…", "context": "…", "id": "17"}``; the id may be absent."""
        return parse_question(line)

    def parse_row(self, row: Mapping[str, Any], source: str = "the row given") -> Question:
        """A row with ``question`` and ``context``, and an ``id`` if given."""
        return question_of(row, source)

    def with_any_label(self, examples: Sequence[Question]) -> list[Question]:
        """The questions, answered by nothing."""
        return [replace(example, answers=()) for example in examples]

    def result(self, example: Question, prediction: Prediction) -> Answer:
        """The answer and its offsets in the context."""
        start, end = prediction.span or (None, None)
        return Answer(
            example.question, example.context, prediction.labels[0], start, end, prediction.probabilities[0]
        )

    def render(self, example: Question, prediction: Prediction) -> str:
        """One JSON line: ``{"id": "17", "question": "…", "answer": "Denver", "probability": 0.93}``."""
        row = {} if example.id is None else {"id": example.id}
        answer = {"answer": prediction.labels[0], "probability": round(prediction.probabilities[0], 4)}
        return json.dumps({**row, "question": example.question, **answer}, ensure_ascii=False)

    @classmethod
    def fits(cls, architecture: str, labels: Sequence[str]) -> bool:
        """Whether a model finds spans."""
        return architecture.endswith("ForQuestionAnswering")

    @classmethod
    def label_counts(cls, examples: Sequence[Question]) -> Counter[str]:
        """Nothing: answers are no labels of a set."""
        return Counter()

    @classmethod
    def from_examples(cls, train: Sequence[Question]) -> Self:
        """The task, in which nothing is an answer if some training question has none."""
        cls().check(train)
        return cls(no_answer=any(not example.answers for example in train))

    @classmethod
    def from_model(cls, model: Any) -> Self:
        """The task as ``model.config.bistil_no_answer`` says; without that, every question has an answer."""
        return cls(no_answer=getattr(model.config, "bistil_no_answer", False))

    def new_model(self, encoder: Path, seed: int = 0) -> Any:
        """The encoder of a transformers folder under a new random head, as any task's."""
        model = super().new_model(encoder, seed)
        model.config.bistil_no_answer = self.no_answer
        return model

    def in_language(self, examples: Sequence[Question], language: str) -> list[Question]:
        """The examples, to be scored as answers in that language."""
        return [replace(example, language=language) for example in examples]

    def check(self, examples: Sequence[Question]) -> None:
        """Raise where an example is unlabelled."""
        for example in examples:
            if example.answers is None:
                raise BistilError(
                    f"{example.source}: the question has no 'answers'. Give them, [] if nothing answers it, "
                    "or leave it out."
                )

    def score(self, gold: Sequence[Question], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Token F1 and exact match, means over questions in per cent: ``{"f1": 74.2, "exact_match": 58.9}``.

        Answers are compared as SQuAD's script does it, or as MLQA's in examples that say their language; see
        `answers.tokens`.
        """
        if not gold:
            raise BistilError("There are no labelled examples to score. Give at least one.")
        self.check(gold)
        pairs = [
            (prediction.labels[0], example.gold or (), example.language)
            for example, prediction in zip(gold, predictions, strict=True)
        ]
        return {
            "f1": 100 * fmean(token_f1(*pair) for pair in pairs),
            "exact_match": 100 * fmean(exact_match(*pair) for pair in pairs),
        }

    def contributions(
        self, gold: Sequence[Question], predictions: Sequence[Prediction]
    ) -> list[tuple[float, float]]:
        """The F1 of each answer, and 1."""
        return [
            (token_f1(found.labels[0], example.gold or (), example.language), 1)
            for example, found in zip(gold, predictions, strict=True)
        ]

    def per_label(
        self, gold: Sequence[Question], predictions: Sequence[Prediction]
    ) -> dict[str, dict[str, float]]:
        """Nothing: answers are no labels of a set."""
        return {}


def _starts_and_ends(outputs: Outputs) -> NDArray[Any]:
    """[batch, tokens, 2]."""
    return np.stack([outputs["start_logits"], outputs["end_logits"]], -1)
