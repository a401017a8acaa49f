"""What brings a student nearer to its teacher in answering questions. Resumable, way by way.

``python -m benchmarks.questions [TARGET EXAMPLES SEED [WAY …]]``: one student of `benchmarks.shapes` (12 layers
with a feed-forward of 384) as it is and in each of ``WAYS``; a row is kept in ``results/questions.json`` when it
is there. The teacher and what a way does not change are shared. Unlabelled questions are those of
``en_newwiki-train.json`` without their answers, mixed ones are training questions on passages of others, and
crossed ones on eight random lines of the target's text: the teacher's distributions over the passage are all that
a student learns of them.
"""

import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch import Tensor

from benchmarks.realdata import ROOT, realdata
from benchmarks.results import described
from benchmarks.shapes import recipe
from bistil.files import read_json, write_json
from bistil.pipeline.runs import teach_tasks, transfer_tasks
from bistil.pipeline.taskstages import Outcome, TaskStages
from bistil.progress import Progress
from bistil.tasks.squad import Question, read_questions
from bistil.training import losses

RESULT = ROOT / "results/questions.json"
SHAPE = "12 layers, feed-forward 384"
SETTINGS = [(target, 1_000, seed) for seed in (0, 1) for target in ("tr", "de")]
MORE = "distill.tokens=2_000_000"
HALF = "tasks.0.student_density=0.5"
_LOSS = losses.logits_loss


@dataclass(frozen=True)
class Way:
    """What is done otherwise: temperature, further questions, values of the recipe."""

    temperature: float = 4
    unlabelled: int = 0
    mixed: int = 0
    crossed: int = 0
    settings: Sequence[str] = ()

    def further(self, train: Sequence[Question], seed: int, lines: Sequence[str]) -> list[Question]:
        """Questions whose answers nobody reads: () stands for any; ``lines`` are of the target's text."""
        chance = random.Random(seed)
        found = read_questions(realdata() / "qa/en_newwiki-train.json", labelled=False)
        found = chance.sample(found, self.unlabelled)
        while len(found) < self.unlabelled + self.mixed:
            one, other = chance.sample(train, 2)
            if one.context != other.context:
                found.append(replace(one, context=other.context))
        for one in chance.sample(train, self.crossed):
            found.append(replace(one, context=" ".join(chance.sample(lines, 8))))
        return [replace(one, answers=()) for one in found]

    def loss(
        self, student: Tensor, teacher: Tensor, labelled: Tensor | None = None, temperature: float = 4
    ) -> Tensor:
        """What the task makes of `losses.logits_loss`, at this temperature; gradients stay as large."""
        return (self.temperature / 4) ** 2 * _LOSS(student, teacher, labelled, self.temperature)


WAYS = {
    "as it is": Way(),
    "temperature 2": Way(temperature=2),
    "temperature 16": Way(temperature=16),
    "temperature 2, 1,000 mixed and 1,000 crossed questions": Way(temperature=2, mixed=1_000, crossed=1_000),
    "1 + 6 epochs of the student": Way(settings=["tasks.0.student_epochs=[1,6]"]),
    "2,000,000 tokens": Way(settings=[MORE]),
    "2,000 unlabelled questions": Way(unlabelled=2_000),
    "density 0.5": Way(settings=[HALF]),
    "density 0.5, 2,000,000 tokens": Way(settings=[HALF, MORE]),
    "density 0.5, 2,000,000 tokens, 2,000 unlabelled questions": Way(unlabelled=2_000, settings=[HALF, MORE]),
}


def main() -> None:
    """The ways that are asked for, or all of them."""
    results: dict[str, Any] = (
        read_json(RESULT) if RESULT.exists() else {"command": "python -m benchmarks.questions", "rows": {}}
    )
    settings, ways = SETTINGS, [*WAYS]
    if given := sys.argv[1:]:
        settings, ways = [(given[0], int(given[1]), int(given[2]))], given[3:] or ways
    for (target, examples, seed), way in product(settings, ways):
        name = f"en-{target}, {examples:,} questions, seed {seed}: {way}"
        if name not in results["rows"]:
            results["rows"][name] = described(_row(target, examples, seed, WAYS[way]))
            write_json(RESULT, results)
        print(name, results["rows"][name]["scores"], flush=True)


def _row(target: str, examples: int, seed: int, way: Way) -> dict[str, Any]:
    started = time.monotonic()
    chosen = recipe(target, "qa", examples, seed, SHAPE).override(way.settings)
    teacher = teach_tasks(chosen, Progress())["qa"]
    lines = Path(chosen.targets[0].text[0]).read_text(encoding="utf-8").splitlines()
    with _tried(way, seed, lines):
        student = transfer_tasks(chosen, Progress())["qa"]
    scores = {
        role: {code: own[0]["f1"] for code, own in found.items()}
        for role, found in {"teacher": teacher, "student": student}.items()
    }
    return {"scores": scores, "seconds": round(time.monotonic() - started)}


@contextmanager
def _tried(way: Way, seed: int, lines: Sequence[str]) -> Iterator[None]:
    """Within it a student learns that way, in a stage of its own."""
    learn = TaskStages.student

    def student(stages: TaskStages, *arguments: Any) -> Outcome:
        own, data = copy(stages), stages._data
        # the file itself is among the inputs of the teacher
        mixed = f" {way.mixed} {way.crossed}" if way.mixed or way.crossed else ""
        tag = f"pseudo {way.unlabelled} {way.temperature:g}{mixed}"
        own._data = replace(data, train=[*data.train, *way.further(data.train, seed, lines)], train_file=tag)
        return learn(own, *arguments)

    with ExitStack() as changed:
        if replace(way, settings=()) != Way():
            changed.enter_context(patch.object(TaskStages, "student", student))
            changed.enter_context(patch.object(losses, "logits_loss", way.loss))
        yield


if __name__ == "__main__":
    main()
