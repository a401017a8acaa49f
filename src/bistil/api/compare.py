"""`bistil.compare`: two task models on the same labelled text, or two sentence embedding models."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bistil.api.data import Labelled, labelled_file
from bistil.api.embedding import EmbeddingModel
from bistil.api.evaluation import Tested, embedding_test
from bistil.api.given import check_no_splits, language_of, path_of
from bistil.api.model import TaskModel, load
from bistil.errors import BistilError
from bistil.evaluation.scores import evaluate
from bistil.evaluation.significance import Comparison
from bistil.evaluation.significance import compare as bootstrap
from bistil.progress import Progress
from bistil.report import formats
from bistil.runtime.shown import Shown
from bistil.tasks import saved


@dataclass(frozen=True, repr=False)
class Compared(Shown):
    """Two models on the same tests: scores in per cent by language, differences with intervals.

    ``scores`` are those of ``model`` and of ``other``; ``differences`` have the points by which the first scores
    higher, with a 95 % interval of a paired bootstrap; ``parameters`` are counts, 0 for a folder that has
    ONNX files alone. Example: ``compared.differences["tr"].difference`` is −1.9.
    """

    model: str
    other: str
    metric: str
    scores: Mapping[str, tuple[float, float]]
    differences: Mapping[str, Comparison]
    parameters: tuple[int, int]

    def _facts(self) -> Iterator[tuple[str, str]]:
        for who, size in zip((self.model, self.other), self.parameters, strict=True):
            yield who, f"{size:,} parameters" if size else "ONNX files alone"
        for language, (ours, theirs) in self.scores.items():
            sure = self.differences[language]
            yield (
                f"{language}, {self.metric}",
                f"{ours:.1f} against {theirs:.1f}: {sure.difference:+.1f} "
                f"(95 % interval {sure.difference_low:+.1f} to {sure.difference_high:+.1f})",
            )


def compare(
    model: str | os.PathLike[str],
    other: str | os.PathLike[str],
    *,
    test: Tested | Mapping[str, Tested],
    train: Labelled | None = None,
    progress: bool | Progress = True,
) -> Compared:
    """Score two models on the same examples, with confidence intervals of the differences.

    Args:
        model: a task model or a sentence embedding model: what `bistil.train` or `bistil.distill` returned, a
            folder or a hub id.
        other: another one of the same task, such as the teacher's.
        test: labelled examples, a file, a list of dicts or a `datasets.Dataset`, or such by language; for sentence
            embeddings what their ``evaluate`` takes, or such by name.
        train: for sentence embeddings, the labelled texts by whose neighbours the test is labelled.
        progress: whether to show it.

    Returns:
        Scores, differences with intervals, and sizes.

    Raises:
        BistilError: a folder that is no such model, two different tasks, no examples.

    Example:
        ``compare("runs/tr/tasks/pos", "runs/tr/teachers/pos", test={"tr": "tr_boun-test.conllu"})``
    """
    shown = Progress.shown(progress)
    names = (path_of(model, "The first model"), path_of(other, "The second model"))
    check_no_splits(test, "test")
    tests: Mapping[str, Tested] = test if isinstance(test, Mapping) else {"test": test}
    if not tests:
        raise BistilError("test is empty. Give labelled examples, or such by language.")
    ours, theirs = load(model), load(other)
    if isinstance(ours, EmbeddingModel) and isinstance(theirs, EmbeddingModel):
        found = _embeddings((ours, theirs), tests, train, shown)
    elif isinstance(ours, TaskModel) and isinstance(theirs, TaskModel):
        if train is not None:
            raise BistilError("train is for sentence embedding models. Leave it out.")
        found = _tasks((ours, theirs), names, tests, shown)
    else:
        one, no = names if isinstance(ours, EmbeddingModel) else reversed(names)
        raise BistilError(f"{one} is a sentence embedding model, {no} is not. Give two of one kind.")
    sizes = (saved.parameters_in(ours.path), saved.parameters_in(theirs.path))
    metric, scores, differences = found
    return Compared(*names, metric, scores, differences, sizes)


# The name of the metric; scores and differences by language.
_Found = tuple[str, dict[str, tuple[float, float]], dict[str, Comparison]]


def _tasks(
    models: tuple[TaskModel, TaskModel], names: tuple[str, str], tests: Mapping[str, Tested], shown: Progress
) -> _Found:
    task, others = (one.learned for one in models)
    if others.kind != task.kind:
        raise BistilError(f"{names[0]} is for {task.kind}, {names[1]} for {others.kind}. Give two of one task.")
    for language in tests:
        if language != "test":
            language_of(language, "A key of test")
    scores: dict[str, tuple[float, float]] = {}
    differences: dict[str, Comparison] = {}
    with tempfile.TemporaryDirectory() as folder:
        for language, data in tests.items():
            named = language != "test"
            examples = task.read(labelled_file(data, Path(folder), f"test-{language}" if named else "test"))
            if named:
                examples = task.in_language(examples, language)
            with shown.stage(f"Evaluating: {language}", 2 * len(examples), "examples") as stage:
                found = [
                    evaluate(one.network, one.tokenizer, one.learned, {language: examples}, stage.advance)[
                        language
                    ]
                    for one in models
                ]
            scores[language] = (found[0]["scores"][task.metric], found[1]["scores"][task.metric])
            differences[language] = bootstrap(*([one["contributions"]] for one in found))
    return task.metric_title, scores, differences


def _embeddings(
    models: tuple[EmbeddingModel, EmbeddingModel],
    tests: Mapping[str, Tested],
    train: Labelled | None,
    shown: Progress,
) -> _Found:
    scores: dict[str, tuple[float, float]] = {}
    differences: dict[str, Comparison] = {}
    with tempfile.TemporaryDirectory() as folder:
        read = {name: embedding_test(data, train, Path(folder), name) for name, data in tests.items()}
    metric, *more = dict.fromkeys(test.metric for test in read.values())
    if more:
        raise BistilError(f"The tests are scored by {metric} and by {' and '.join(more)}. Give tests of one kind.")
    for name, test in read.items():
        with shown.stage(f"Evaluating: {name}", 2 * len(test), "examples") as stage:
            found = []
            for model in models:
                found.append(test.scores(model)[metric])
                stage.advance(len(test))
        scores[name] = (float(found[0]), float(found[1]))
        differences[name] = found[0].minus(found[1])
    return formats.metric(metric), scores, differences
