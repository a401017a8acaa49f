"""`bistil.compare`: two task models on the same labelled text."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bistil.api.data import Labelled, labelled_file
from bistil.api.model import load_task
from bistil.errors import BistilError
from bistil.evaluation.scores import evaluate
from bistil.evaluation.significance import Comparison
from bistil.evaluation.significance import compare as bootstrap
from bistil.progress import Progress
from bistil.runtime.shown import Shown


@dataclass(frozen=True, repr=False)
class Compared(Shown):
    """Two task models on labelled text: scores in per cent by language, differences with intervals.

    ``scores`` are those of ``model`` and of ``other``; ``differences`` have the points by which the first scores
    higher, with a 95 % interval of a paired bootstrap; ``parameters`` are counts. Example:
    ``compared.differences["tr"].difference`` is −1.9.
    """

    model: str
    other: str
    metric: str
    scores: Mapping[str, tuple[float, float]]
    differences: Mapping[str, Comparison]
    parameters: tuple[int, int]

    def _facts(self) -> Iterator[tuple[str, str]]:
        for who, size in zip((self.model, self.other), self.parameters, strict=True):
            yield who, f"{size:,} parameters"
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
    test: Labelled | Mapping[str, Labelled],
    progress: bool | Progress = True,
) -> Compared:
    """Score two task models on the same labelled text, with confidence intervals of the differences.

    Args:
        model: a task model: what `bistil.train` returned, a folder or a hub id.
        other: another one of the same task, such as the teacher's.
        test: labelled examples, a file, a list of dicts or a `datasets.Dataset`, or such by language.
        progress: whether to show it.

    Returns:
        Scores, differences with intervals, and sizes.

    Raises:
        BistilError: a folder that is no task model, two different tasks, no examples.

    Example:
        ``compare("runs/tr/tasks/pos", "runs/tr/teachers/pos", test={"tr": "tr_boun-test.conllu"})``
    """
    shown, names = Progress.shown(progress), (os.fspath(model), os.fspath(other))
    models = [load_task(model), load_task(other)]
    task, others = (one.learned for one in models)
    if others.kind != task.kind:
        raise BistilError(f"{names[0]} is for {task.kind}, {names[1]} for {others.kind}. Give two of one task.")
    scores: dict[str, tuple[float, float]] = {}
    differences: dict[str, Comparison] = {}
    tests = test if isinstance(test, Mapping) else {"test": test}
    if not tests:
        raise BistilError("test is empty. Give labelled examples, or such by language.")
    with tempfile.TemporaryDirectory() as folder:
        for language, data in tests.items():
            examples = task.read(labelled_file(data, Path(folder), f"test-{language}"))
            if language != "test":
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
    sizes = (models[0].network.num_parameters(), models[1].network.num_parameters())
    return Compared(*names, task.metric_title, scores, differences, sizes)
