"""The labelled data of one task of a recipe."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from bistil.corpora.text import sample
from bistil.errors import BistilError, BistilWarning
from bistil.files import fingerprint_input
from bistil.recipe.parts import Task as TaskRecipe
from bistil.tasks import task_kind
from bistil.tasks.rates import by_chance
from bistil.tasks.task import Task, gold_of, unknown_labels

_FEWEST = 100  # labels of which it can be said that a teacher has learned nothing


def kind_of(recipe: TaskRecipe) -> type[Task[Any]]:
    """The task class of a recipe's task; BistilError, naming the task, where there is none of that kind."""
    try:
        return task_kind(recipe.kind)
    except BistilError as error:
        raise BistilError(f"The task {recipe.name}: {error}") from error


def length_of(recipe: TaskRecipe) -> int:
    """The sequence length in tokens of a recipe's task, or of its kind where the recipe has none."""
    return kind_of(recipe).default_max_length if recipe.max_length is None else recipe.max_length


def _first(train: list[Any], recipe: TaskRecipe, task: Task[Any]) -> list[Any]:
    """As many training examples as the recipe wants; a warning where they are not of all labels."""
    first = train[: recipe.max_train_samples]
    if len(first) < len(train) and (unseen := task.label_counts(train).keys() - task.label_counts(first).keys()):
        warnings.warn(
            f"The task {recipe.name}: the first {len(first):,} of {len(train):,} examples in {recipe.train} have "
            f"none of {len(unseen)} of {len(task.labels)} labels. Shuffle the file, or raise max_train_samples.",
            BistilWarning,
            stacklevel=3,
        )
    return first


@lru_cache(maxsize=16)  # recipes of many languages have the training files of a few tasks in common
def _read(kind: type[Task[Any]], path: Path, state: tuple[int, int] | None) -> list[Any]:
    return list(kind.read(path))


@dataclass(frozen=True)
class TaskData:
    """The examples that are trained on, held out, and tested in each language, and the files' fingerprints.

    ``max_length`` is the sequence length in tokens; ``test_files`` are by language, and "validation".
    ``unlabelled`` are the examples of each language that the task teacher labels, under any label.
    """

    task: Task[Any]
    max_length: int
    train: list[Any]
    validation: list[Any]
    tests: dict[str, list[Any]]
    train_file: str
    test_files: dict[str, str]
    unlabelled: dict[str, list[Any]] = field(default_factory=dict)
    unlabelled_files: dict[str, str] = field(default_factory=dict)

    def doubt(self, predicted: Sequence[Sequence[str]], who: str, recipe: TaskRecipe, learning_rate: float) -> str:
        """A sentence where labels predicted for the validation examples are right by chance alone, otherwise "".

        Of few labels nothing is said, nor of answers to questions, which are no labels of a set.
        """
        if not self.task.label_counts(self.validation):
            return ""
        gold = [label for example in self.validation for label in gold_of(example)]
        found = [label for labels in predicted for label in labels]
        right = sum(map(str.__eq__, gold, found)) / len(gold)
        expected, error = by_chance(gold, found)
        if len(gold) < _FEWEST or right > expected + 2 * error + 1e-9:  # the last for what floats lose
            return ""
        return (
            f"The task {recipe.name}: the {who} has learned nothing: {right:.1%} of its labels for the validation "
            f"examples are right, and {expected:.1%} would be by chance. Try teacher_learning_rate: "
            f"{learning_rate / 3:.0e} with batch_size: {2 * recipe.batch_size}, or give it more "
            "examples."
        )

    @classmethod
    def read(cls, recipe: TaskRecipe) -> "TaskData":
        """Reads all files; without a validation file a tenth of the training examples is held out.

        The labels are those of the whole training file; others in a validation or test file are an error.
        """
        kind, labels = kind_of(recipe), recipe.label_map
        plain: list[Any] = []  # as the files have them

        def read(path: Path) -> list[Any]:
            found = path.stat() if path.is_file() else None
            examples = _read(kind, path.absolute(), found and (found.st_size, found.st_mtime_ns))
            plain.extend(examples)
            return [example.renamed(labels) for example in examples] if labels else examples

        train = read(recipe.train)
        task = kind.from_examples(train)
        if recipe.validation is not None:
            validation = read(recipe.validation)
        else:
            held = {*sample(range(len(train)), len(train) // 10, seed=0)}  # drawn: labels may come in turns
            validation = [example for number, example in enumerate(train) if number in held]
            train = [example for number, example in enumerate(train) if number not in held]
        if not validation:
            raise BistilError(
                f"{recipe.train} has {len(train)} examples, too few to hold out a tenth. "
                "Give a validation file, or ten examples at least."
            )
        if recipe.pseudo_labels and not task.reads_lines(train):
            raise BistilError(
                f"The task {recipe.name}: pseudo_labels is {recipe.pseudo_labels}, but a line of text is no "
                "example of this task. Leave it out."
            )
        train = _first(train, recipe, task)
        tests = {language: task.in_language(read(path), language) for language, path in recipe.test.items()}
        for examples in (validation, *tests.values()):
            task.check(examples)
        if said := unknown_labels(plain, labels):
            warnings.warn(f"The task {recipe.name}: {said}", BistilWarning, stacklevel=2)
        paths = {"validation": recipe.validation or recipe.train, **recipe.test}
        prints = {name: fingerprint_input(path) for name, path in paths.items()}
        unlabelled = {
            language: task.with_any_label(task.in_language(kind.read(path, labelled=False), language))
            for language, path in recipe.unlabelled.items()
        }
        for examples in unlabelled.values():
            task.check(examples)
        trained_on = fingerprint_input(recipe.train)
        further = {language: fingerprint_input(path) for language, path in recipe.unlabelled.items()}
        return cls(task, length_of(recipe), train, validation, tests, trained_on, prints, unlabelled, further)

    @property
    def counts(self) -> dict[str, Any]:
        """How many examples a report says that there are: ``{"train_examples": 900, "tests": …}``."""
        further = {language: len(examples) for language, examples in self.unlabelled.items()}
        return {
            "train_examples": len(self.train),
            **({"unlabelled_examples": further} if further else {}),
            "tests": {language: {"examples": len(examples)} for language, examples in self.tests.items()},
        }
