"""What the tasks share: labels from training data, a new head, batched prediction, scores."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from bistil.errors import BistilError
from bistil.runtime.results import Result
from bistil.tasks.heads import check_head
from bistil.tasks.rates import rates


class Labelled(Protocol):
    """An example of any task: its text, its gold labels (None when unlabelled), where it was read."""

    @property
    def text(self) -> str: ...  # noqa: D102

    @property
    def gold(self) -> tuple[str, ...] | None: ...  # noqa: D102

    @property
    def source(self) -> str: ...  # noqa: D102

    def renamed(self, labels: Mapping[str, str]) -> Self: ...  # noqa: D102


E = TypeVar("E", bound=Labelled)

_LINES = {".txt", ".jsonl"}  # read line by line


@dataclass(frozen=True)
class Prediction:
    """The label of each thing to label in one example, with its probability: ``(("food",), (0.93,))``.

    ``span``: the first character and the one after the last, where the label is a piece of the text.
    ``distribution``: where there is one thing to label, the probability of every label, in the task's order.
    """

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    span: tuple[int, int] | None = None
    distribution: tuple[float, ...] = ()


@dataclass(frozen=True)
class Task(ABC, Generic[E]):
    """One task with its label set; the order of `labels` is that of the model's outputs.

    Whatever the rest of bistil needs to know of a task, its class says; the registry finds it by its ``kind``.
    """

    labels: tuple[str, ...]

    kind: ClassVar[str]  # its name in recipes and model folders, such as "pos"
    version: ClassVar[int] = 1  # to be raised when what is read, learned, predicted or scored comes out otherwise
    title: ClassVar[str]  # what its models are in a report, such as "part-of-speech"
    unit: ClassVar[str] = "examples"  # what an example is, in the plural
    head: ClassVar[Any]  # the transformers Auto class that puts the right head on an encoder
    # What its models return, by name, and the axes of each after that of the batch: tokens, words, heads (a word's
    # possible ones) or labels; of a task that does not say, nothing is checked.
    outputs: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    suffixes: ClassVar[tuple[str, ...]]  # of the labelled files that it reads
    guessed_from: ClassVar[tuple[str, ...]] = ()  # those of them by which a file is taken to be of this kind
    metric: ClassVar[str] = "accuracy"  # the score, of those of `score`, that counts
    metric_title: ClassVar[str] = "accuracy"
    default_max_length: ClassVar[int] = 128  # sequence length in tokens
    lines_read: ClassVar[int] = 1  # lines of plain text of which the teacher chooses one that the student learns
    unmarked: ClassVar[str | None] = None  # the label that says nothing of a word: O of IOB2
    takes: ClassVar[str] = "a text"  # what its models are called with, for errors
    row: ClassVar[Mapping[str, Any]] = {}  # the columns of a row that they are called with, and their types
    returns: ClassVar[Any] = Any  # what `result` returns

    @classmethod
    @abstractmethod
    def read(cls, path: Path, *, labelled: bool = True) -> list[E]:
        """The examples of a file; a bad line is a `BistilError` with file and line.

        Without ``labelled`` no labels need be there, and none are judged.
        """

    @property
    def teacher_learning_rate(self) -> float:
        """The default peak rate of its teachers, of those that are not wide."""
        return 3e-4

    @property
    def proposed(self) -> Mapping[str, Any]:
        """What `bistil init` proposes for settings of a recipe that has the task, by dotted key."""
        return {}

    @property
    def advice(self) -> Mapping[str, str]:
        """What `bistil init` says of such settings, by dotted key."""
        return {}

    @classmethod
    def reads_whole(cls, path: Path) -> bool:
        """Whether new text in a file of that name is for `read`: not so for plain text and JSON lines."""
        return path.suffix.lower() in set(cls.suffixes) - _LINES

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a file that may be plain text, a text a line, is rather what `read` takes."""
        return False

    @classmethod
    def has_texts(cls, path: Path) -> bool:
        """Whether a file is a table whose rows `parse_row` takes, and not `read`: texts for a task on words."""
        return False

    @classmethod
    def columns(cls, path: Path) -> tuple[str, ...]:
        """The names of a labelled file's columns, where it has such."""
        return ()

    @classmethod
    def fits(cls, architecture: str, labels: Sequence[str]) -> bool:
        """Whether a model that bistil did not train is for this task, by its architecture's name and labels."""
        return False

    @abstractmethod
    def features(self, examples: Sequence[E], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        """Model inputs (``input_ids``, ``attention_mask``) and ``labels`` for training, unpadded.

        Args:
            examples: labelled ones.
            tokenizer: that of the model.
            max_length: the sequence length in tokens, special tokens included.
        """

    @abstractmethod
    def collator(self, tokenizer: Any) -> Any:
        """Pads a list of features into a batch of tensors."""

    @abstractmethod
    def predict(self, model: Any, tokenizer: Any, examples: Sequence[E], batch_size: int = 32) -> list[Prediction]:
        """One prediction for each example, in their order.

        Args:
            model: one that `new_model` started.
            tokenizer: its own.
            examples: labelled or not.
            batch_size: how many inputs go through the model at once, fewer where they are long.
        """

    @staticmethod
    def head_loss(student: Any, teacher: Any, inputs: Mapping[str, Any]) -> Any:
        """How far the student's head is from the teacher's on a batch of features, at labelled positions.

        Args:
            student: the outputs of the student.
            teacher: those of the task teacher on the same inputs.
            inputs: the features; gold labels in them only say which positions count.
        """
        from bistil.training import losses

        labels = inputs["labels"]
        labelled = labels.ge(0) if labels.shape == student.logits.shape[:-1] else None
        return losses.logits_loss(student.logits, teacher.logits, labelled)

    @abstractmethod
    def parse(self, line: str) -> E:
        """An unlabelled example from one line of text."""

    def parse_row(self, row: Mapping[str, Any], source: str = "the row given") -> E:
        """An unlabelled example from a row, such as a line of JSON, where the task has such.

        ``source`` says in errors where the row stands.
        """
        raise BistilError(f"{source}: the kind {self.kind!r} takes no rows. Give {self.takes}.")

    def reads_lines(self, train: Sequence[E]) -> bool:
        """Whether a line of plain text makes an example like those of ``train``: not so for questions."""
        return False

    def for_student(
        self, lines: Sequence[str], train: Sequence[E], model: Any, tokenizer: Any, wanted: int
    ) -> list[E]:
        """Lines of plain text as examples like those of ``train``, for a student that copies its teacher.

        Args:
            lines: unlabelled text.
            train: the training examples, to see what is wanted.
            model: the task teacher, where it has to say which lines are of use.
            tokenizer: its own.
            wanted: how many examples the student learns; of more, as many are drawn at random.

        None where a line alone makes no example, see `reads_lines`.
        """
        return []

    def with_any_label(self, examples: Sequence[E]) -> list[E]:
        """The examples under a label that stands for any, for a student: `head_loss` reads none."""
        raise BistilError(f"The kind {self.kind!r} learns nothing of examples without labels. Leave them out.")

    @abstractmethod
    def result(self, example: E, prediction: Prediction) -> Result:
        """The example with its prediction, as a user wants it in Python."""

    @abstractmethod
    def render(self, example: E, prediction: Prediction) -> str:
        """The example with its predicted labels, as a user wants it in a file."""

    @classmethod
    def label_counts(cls, examples: Sequence[E]) -> Counter[str]:
        """How often each label occurs: ``Counter({"NOUN": 4812, …})``; empty where labels are of no set."""
        return Counter(cls.label_in(gold) for example in examples for gold in example.gold or ())

    @classmethod
    def length_for(cls, words: int) -> int | None:
        """The sequence length in tokens that texts of so many words need where the default would cut them."""
        return None

    @staticmethod
    def label_in(gold: str) -> str:
        """The label in one of an example's gold items, which are labels, unless a task has them say more."""
        return gold

    @classmethod
    def from_examples(cls, train: Sequence[E]) -> Self:
        """The task whose labels are those of the training examples, sorted."""
        labels = sorted({cls.label_in(gold) for example in train for gold in gold_of(example)})
        if len(labels) < 2:
            raise BistilError(
                f"The {len(train)} training examples hold {len(labels)} different labels "
                f"({', '.join(labels)}). Training needs at least two."
            )
        return cls(tuple(labels))

    @classmethod
    def from_model(cls, model: Any) -> Self:
        """The task whose labels are those in ``model.config.id2label``."""
        id2label = model.config.id2label
        return cls(tuple(id2label[index] for index in sorted(id2label)))

    def new_model(self, encoder: Path, seed: int = 0) -> Any:
        """The encoder of a transformers folder under a new random head, float32; the seed fixes the head.

        It learns without dropout of attention, for which a CPU has no fast path and keeps every probability.
        Raises BistilError for an encoder that the task has no head for.
        """
        import torch

        from bistil.models import families, pretrained

        config = pretrained.config(encoder)
        check_head(self, config, str(encoder))
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = pretrained.model(
                self.head,
                encoder,
                num_labels=len(self.labels),
                id2label=dict(enumerate(self.labels)),
                label2id={label: index for index, label in enumerate(self.labels)},
                dtype=torch.float32,
                **families.without_dropout(config, of="attention"),
            )
        model.config.bistil_task = self.kind  # saved in config.json, so that a folder says what it is for
        return model

    def in_language(self, examples: Sequence[E], language: str) -> list[E]:
        """The examples, said to be in a language, for tasks whose scores depend on it; others leave them alone."""
        return list(examples)

    def check(self, examples: Sequence[E]) -> None:
        """Raise where an example is unlabelled or has a label that the training data did not have."""
        known = set(self.labels)
        for example in examples:
            for label in gold_of(example):
                if label not in known:
                    raise BistilError(
                        f"{example.source}: the label {label!r} does not occur in the training data, "
                        f"which has {', '.join(self.labels)}. Correct it, map it (label_map, --map), "
                        "or train with examples of it."
                    )

    def lenient_scores(self, model: Any, tokenizer: Any, examples: Sequence[E]) -> dict[str, float]:
        """Scores in per cent of a lenient evaluation, where the task has one: dependency parsing.

        Args:
            model: one that `new_model` started.
            tokenizer: its own.
            examples: labelled ones.
        """
        raise BistilError(
            f"There is no lenient evaluation of {self.kind}, only of parsing. Leave out lenient (--lenient)."
        )

    def score(self, gold: Sequence[E], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Scores in per cent: three of four labels right give ``{"accuracy": 75.0}``."""
        expected, predicted = self._paired(gold, predictions)
        return {"accuracy": 100 * (sum(map(str.__eq__, expected, predicted)) / len(expected))}

    def contributions(self, gold: Sequence[E], predictions: Sequence[Prediction]) -> list[tuple[float, float]]:
        """What each example adds to the numerator and the denominator of the score by `metric`.

        That score is 100 · Σ numerators / Σ denominators: here of right labels and of labels. Example: a sentence
        of four words with three right tags gives (3, 4).
        """
        return [
            (sum(map(str.__eq__, gold_of(example), found.labels)), len(found.labels))
            for example, found in zip(gold, predictions, strict=True)
        ]

    def per_label(self, gold: Sequence[E], predictions: Sequence[Prediction]) -> dict[str, dict[str, float]]:
        """Precision, recall and F1 in per cent and support (a count) of each label that occurs in either."""
        expected, predicted = self._paired(gold, predictions)
        return {
            label: {
                "precision": 100 * found.precision,
                "recall": 100 * found.recall,
                "f1": 100 * found.f1,
                "support": found.support,
            }
            for label, found in rates(expected, predicted).items()
        }

    def _paired(self, gold: Sequence[E], predictions: Sequence[Prediction]) -> tuple[list[str], list[str]]:
        if not gold:
            raise BistilError("There are no labelled examples to score. Give at least one.")
        self.check(gold)
        expected: list[str] = []
        predicted: list[str] = []
        for example, prediction in zip(gold, predictions, strict=True):
            labels = gold_of(example)
            if len(labels) != len(prediction.labels):
                raise ValueError(
                    f"{example.source}: {len(prediction.labels)} predictions for {len(labels)} labels"
                )
            expected += labels
            predicted += prediction.labels
        return expected, predicted


def unknown_labels(examples: Sequence[Labelled], labels: Mapping[str, str]) -> str:
    """A sentence on the labels to rename that no example has; "" where each has an example."""
    unknown = [
        old
        for old, new in labels.items()
        if old != new and all(example.renamed({old: new}) == example for example in examples)
    ]
    if not unknown:
        return ""
    return f"No label is called {' or '.join(unknown)}, so none was renamed. Is it spelled as in the data?"


def gold_of(example: Labelled) -> tuple[str, ...]:
    """The gold labels of an example, which must have them: `BistilError` otherwise."""
    if example.gold is None:
        raise BistilError(f"{example.source}: the example has no label. Label it, or leave it out.")
    return example.gold


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from warning that the head is newly initialized: that is the point."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
