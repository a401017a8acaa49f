"""Classification of a text or a pair of texts, from JSON lines or tables with a header."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from bistil.corpora.strict import whole
from bistil.corpora.tokenizers import encode_texts, named_unless_read, placeholder
from bistil.errors import BistilError
from bistil.runtime.arrays import softmax
from bistil.runtime.results import Label
from bistil.tasks.evenly import evenly
from bistil.tasks.heads import Head
from bistil.tasks.inference import logits, max_length
from bistil.tasks.rates import rates
from bistil.tasks.rows import SUFFIXES, columns, read_rows
from bistil.tasks.task import Prediction, Task

_PAIR_IN_A_LANGUAGE = re.compile(r"^(sentence[12])_[a-z]{2,3}$")
# The columns a text, or a pair of texts, may stand in; upper or lower case.
TEXTS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("text", "text_pair"), ("text",))


@dataclass(frozen=True)
class Example:
    """One or two texts and their label (None when unlabelled)."""

    texts: tuple[str, ...]
    label: str | None = None
    source: str = "the text given"

    @property
    def text(self) -> str:
        """The texts, a pair joined by " / "."""
        return " / ".join(self.texts)

    @property
    def gold(self) -> tuple[str, ...] | None:
        """The label alone in a tuple."""
        return None if self.label is None else (self.label,)

    def renamed(self, labels: Mapping[str, str]) -> "Example":
        """The example with its label renamed, if it is among them: ``{"e": "entailment"}``."""
        return replace(self, label=self.label and labels.get(self.label, self.label))


@dataclass(frozen=True)
class Classification(Task[Example]):
    """One label for each text, or pair of texts; ``pairs`` is None where a model does not say which it takes."""

    labels: tuple[str, ...]
    pairs: bool | None = None

    kind = "classification"
    version = 2
    title = "classification"
    lines_read = 10  # most are of few labels
    head = Head("transformers", "AutoModelForSequenceClassification")
    outputs: ClassVar[Mapping[str, tuple[str, ...]]] = {"logits": ("labels",)}
    suffixes = SUFFIXES
    guessed_from = SUFFIXES
    takes = "a text, or {'text': …, 'text_pair': …} for a pair of texts"
    row: ClassVar[Mapping[str, Any]] = {"text": str, "text_pair": str}
    returns = Label

    @classmethod
    def read(cls, path: Path, *, labelled: bool = True) -> list[Example]:
        """The rows of a .jsonl, .tsv, .csv or .parquet file; tables have a header.

        Columns, in any case of letters: ``label``, and ``text`` or a pair, ``premise`` and ``hypothesis``,
        ``sentence1`` and ``sentence2`` (also with a language, as in ``sentence1_sw``) or ``text`` and
        ``text_pair``; others are passed over.
        """
        examples = [_example(row, source, labelled=labelled) for source, row in read_rows(path)]
        if not examples:
            raise BistilError(f"{path} holds no examples. Give a file with at least one.")
        return examples

    @classmethod
    def columns(cls, path: Path) -> tuple[str, ...]:
        """The names in the header, or of the first row."""
        return columns(path)

    @classmethod
    def fits(cls, architecture: str, labels: Sequence[str]) -> bool:
        """Whether a model classifies sequences."""
        return architecture.endswith("ForSequenceClassification")

    @property
    def teacher_learning_rate(self) -> float:
        """Lower for pairs of texts, of which a teacher may learn nothing at the usual one."""
        return 1e-4 if self.pairs else super().teacher_learning_rate

    @property
    def proposed(self) -> Mapping[str, Any]:
        """Of pairs of texts larger batches."""
        return {"tasks.0.batch_size": 16} if self.pairs else {}

    @property
    def advice(self) -> Mapping[str, str]:
        """Why."""
        return dict.fromkeys(
            self.proposed, "for pairs of texts, of which a teacher may learn nothing in batches of 8"
        )

    @classmethod
    def from_model(cls, model: Any) -> Self:
        """The task whose labels are the model's; one that gives a text several labels, or a number, is refused."""
        if (
            model.config.num_labels < 2
            or getattr(model.config, "problem_type", None) == "multi_label_classification"
        ):
            raise BistilError(
                f"The model {model.config.name_or_path!r} does not give a text one label of several, but "
                f"{'a number' if model.config.num_labels < 2 else 'any number of labels'}. Choose another model."
            )
        return replace(super().from_model(model), pairs=getattr(model.config, "bistil_pairs", None))

    @classmethod
    def from_examples(cls, train: Sequence[Example]) -> Self:
        """The task, which is for pairs of texts if the training examples are; they may not be mixed."""
        task = replace(super().from_examples(train), pairs=len(train[0].texts) == 2)
        task._check_texts(train)
        return task

    def new_model(self, encoder: Path, seed: int = 0) -> Any:
        """The encoder under a new random head, as any task's; its configuration says whether it takes pairs."""
        model = super().new_model(encoder, seed)
        model.config.bistil_pairs = self.pairs
        return model

    @classmethod
    def length_for(cls, words: int) -> int | None:
        """256 or 512 where texts have more words than half of the default's tokens."""
        if 2 * words <= cls.default_max_length:
            return None
        return 256 if 2 * words <= 256 else 512

    def check(self, examples: Sequence[Example]) -> None:
        """Raise where a label is missing or unknown, or a pair of texts stands for a single one or the reverse."""
        self._check_texts(examples)
        super().check(examples)

    def _check_texts(self, examples: Sequence[Example]) -> None:
        for example in examples:
            if self.pairs is not None and (pair := len(example.texts) == 2) is not self.pairs:
                here, there = ("a pair of texts", "single texts") if pair else ("a single text", "pairs of texts")
                raise BistilError(f"{example.source}: {here}, where the training examples are {there}. Give such.")

    def features(self, examples: Sequence[Example], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        """One feature an example, cut at `max_length` tokens; ``labels`` is the label's index."""
        self.check(examples)
        index = {label: number for number, label in enumerate(self.labels)}
        inputs = _encode(examples, tokenizer, max_length)
        return [
            {**feature, "labels": index[example.label or ""]}
            for feature, example in zip(inputs, examples, strict=True)
        ]

    def collator(self, tokenizer: Any) -> Any:
        """Pads to the longest of the batch."""
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(tokenizer)

    def reads_lines(self, train: Sequence[Example]) -> bool:
        """Where texts are classified, not pairs of them."""
        return not any(len(example.texts) == 2 for example in train)

    def for_student(
        self, lines: Sequence[str], train: Sequence[Example], model: Any, tokenizer: Any, wanted: int
    ) -> list[Example]:
        """Of each label that the model gives to lines as many, where texts are classified, not pairs of them."""
        if not self.reads_lines(train):
            return []
        examples = [Example((line,)) for line in lines]
        if len(examples) > wanted:
            labels = [found.labels[0] for found in self.predict(model, tokenizer, examples)]
            examples = [examples[place] for place in evenly(labels, wanted)]
        return self.with_any_label(examples)

    def with_any_label(self, examples: Sequence[Example]) -> list[Example]:
        """The examples under the first label."""
        return [replace(example, label=self.labels[0]) for example in examples]

    def predict(
        self, model: Any, tokenizer: Any, examples: Sequence[Example], batch_size: int = 32
    ) -> list[Prediction]:
        """The most probable label of each example; texts beyond the model's length are cut."""
        self._check_texts(examples)
        inputs = _encode(examples, tokenizer, max_length(model, tokenizer))
        predictions = []
        for row in logits(model, tokenizer, inputs, batch_size):
            likely = softmax(row)
            best = int(likely.argmax())
            predictions.append(
                Prediction((self.labels[best],), (float(likely[best]),), distribution=tuple(likely.tolist()))
            )
        return predictions

    def score(self, gold: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Accuracy, and F1 averaged over the labels that occur in gold or predictions, in per cent."""
        expected, predicted = self._paired(gold, predictions)
        macro = np.mean([found.f1 for found in rates(expected, predicted).values()])
        return {**super().score(gold, predictions), "macro_f1": 100 * float(macro)}

    def parse(self, line: str) -> Example:
        """A line of text."""
        return Example((whole(line, "the line given").strip(),))

    def parse_row(self, row: Mapping[str, Any], source: str = "the row given") -> Example:
        """A row with the columns that `read` takes (the label may be absent)."""
        return _example(row, source, labelled=False)

    def result(self, example: Example, prediction: Prediction) -> Label:
        """The label, and the probabilities of all labels, the most probable first."""
        text, *pair = example.texts
        likely = sorted(zip(self.labels, prediction.distribution, strict=True), key=itemgetter(1), reverse=True)
        return Label(text, prediction.labels[0], prediction.probabilities[0], dict(likely), *pair)

    def render(self, example: Example, prediction: Prediction) -> str:
        """One JSON line: ``{"text": "…", "label": "food", "probability": 0.93}``."""
        columns = ("text",) if len(example.texts) == 1 else TEXTS[0]
        row = dict(zip(columns, example.texts, strict=True))
        answer = {"label": prediction.labels[0], "probability": round(prediction.probabilities[0], 4)}
        return json.dumps({**row, **answer}, ensure_ascii=False)


def _encode(examples: Sequence[Example], tokenizer: Any, max_length: int) -> list[dict[str, list[int]]]:
    if not examples:
        return []
    firsts = [example.texts[0] for example in examples]
    seconds = [example.texts[1] for example in examples if len(example.texts) == 2]
    if seconds and len(seconds) != len(firsts):
        raise BistilError(
            f"{len(seconds)} of {len(firsts)} examples are pairs of texts. Give pairs, or single texts."
        )
    with named_unless_read(tokenizer, [*firsts, *seconds], 2 * [example.source for example in examples]):
        rows = encode_texts(tokenizer, firsts, seconds, max_length)
    for row, example in zip(rows, examples, strict=True):
        if not row["input_ids"]:  # nothing frames the text, and nothing is left of it
            token = placeholder(tokenizer, example.text, example.source)
            row |= {name: [0] for name in row} | {"input_ids": [token], "attention_mask": [1]}
    return rows


def _example(row: Mapping[str, Any], source: str, *, labelled: bool) -> Example:
    columns: dict[str, list[str]] = {}
    for name in row:
        columns.setdefault(_PAIR_IN_A_LANGUAGE.sub(r"\1", str(name).strip().lower()), []).append(name)
    if columns.get("text_pair") and all(row[name] is None for name in columns["text_pair"]):
        del columns["text_pair"]  # a table of texts may have such a column
    names = next((names for names in TEXTS if all(name in columns for name in names)), None)
    if names is None or (labelled and "label" not in columns):
        wanted = "'label'" if names else "'text' (or 'premise' and 'hypothesis', or 'sentence1' and 'sentence2')"
        present = ", ".join(map(repr, row))
        raise BistilError(f"{source}: there is no column {wanted}; there are {present}. Rename the one meant.")
    for name in (*names, "label"):
        if len(both := columns.get(name, ())) > 1:
            raise BistilError(
                f"{source}: the columns {' and '.join(map(repr, both))} are all {name!r}. Leave one of them."
            )
    texts = tuple(row[columns[name][0]] for name in names)
    for name, text in zip(names, texts, strict=True):
        if not isinstance(text, str):
            raise BistilError(f"{source}: {name!r} must be text, not {text!r}.")
        whole(text, source)
    label = row[columns["label"][0]] if "label" in columns else None
    if labelled and not _is_label(label):
        raise BistilError(f"{source}: the label is {label!r}. Give each example one label.")
    return Example(texts, str(label).strip() if _is_label(label) else None, source)


def _is_label(value: Any) -> bool:
    """Whether a value is text that is not blank, a truth, or a number, which NaN and infinity are not."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int) and bool(str(value).strip())
