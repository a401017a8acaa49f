"""A matrix becomes a graph of stages, and these are made by an executor: each once, whatever fails elsewhere."""

import heapq
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bistil.files import read_json
from bistil.fleet.executors import Executor
from bistil.fleet.record import made_of
from bistil.fleet.shown import Shown
from bistil.fleet.store import Store
from bistil.fleet.work import MEASURED, Done, Job, do
from bistil.pipeline.outfolder import held_folder
from bistil.pipeline.runs import published
from bistil.planning.graph import Graph, graph
from bistil.progress import Progress
from bistil.recipe.matrix import Matrix
from bistil.recipe.recipe import Recipe
from bistil.report.files import FLEET, write_fleet
from bistil.report.fleet import summarise
from bistil.runtime.shown import InFolder

Id = tuple[str, str]  # label and key of a job; a stage that several recipes need has the first one's label


@dataclass(frozen=True, repr=False)
class Fleet(InFolder):
    """What a fleet left behind: its folder, and the summary as plain values, ``fleet.json``."""

    output_dir: Path
    summary: dict[str, Any]

    def _facts(self) -> Iterator[tuple[str, str]]:
        made = len(self.summary["recipes"])
        yield "recipes", f"{made} made, {self.summary['work']['recipes'] - made} failed"
        yield "summary", str(self.output_dir / "fleet.html")


def run_fleet(matrix: Matrix, executor: Executor, progress: Progress, store: str | None = None) -> Fleet:
    """Makes all stages of a matrix that are not there yet, then the report of each recipe, and a summary.

    What fails is listed, and all else is made. Leaves ``fleet.html``, ``fleet.json`` and ``fleet.md``, a folder
    ``LANGUAGE/STUDENT`` as `bistil.run` leaves one, ``logs/`` and ``stages/`` in the matrix's ``out``.

    Args:
        matrix: languages × tasks × students.
        executor: where the jobs are done; it is closed at the end.
        progress: what is shown.
        store: the URL of a store or its folder, for machines that do not share a disk.
    """
    with closing(executor), held_folder(matrix.out, list(FLEET)):
        recipes = matrix.recipes()
        progress.say(f"{len(recipes)} recipes: looking for what is there …")
        planned = graph(recipes)
        for label, problem in planned.problems.items():
            progress.say(f"{label}: failed: {problem}")
        run = _Run(matrix, recipes, planned, executor, store)
        started = time.monotonic()
        run.all()
        summary = run.summary(time.monotonic() - started)
        write_fleet(summary, matrix.out)
    return Fleet(matrix.out, summary)


class _Run:
    """The jobs of a fleet: which can begin, which have ended, which never will."""

    def __init__(
        self, matrix: Matrix, recipes: Mapping[str, Recipe], planned: Graph, executor: Executor, store: str | None
    ) -> None:
        self._matrix, self._executor = matrix, executor
        self._unreadable = planned.problems
        self._recipes = {label: one for label, one in recipes.items() if label not in planned.problems}
        self._url, self._store = store, None if store is None else Store(store)
        self._stages = matrix.out / "stages"
        # size and speed are those of the machine that writes the report
        nodes = {key: node for key, node in planned.nodes.items() if node.step.name not in MEASURED}
        self._graph = Graph(nodes)
        self._jobs = {key: self._job(node.labels[0], key) for key, node in nodes.items()}
        self._reports = {label: self._job(label, "") for label in self._recipes}
        self._of = {label: frozenset(node.key for node in self._graph.of(label)) for label in self._recipes}
        self._done: set[str] = set()
        self._problems: dict[Id, str] = {}
        self._seconds: dict[Id, float] = {}
        self._ready: list[tuple[int, int, Job]] = []
        self._begun: set[Id] = set()

    def all(self) -> None:
        """Everything that can be made."""
        titles = {_id(job): (job.label, self._graph.nodes[key].step.title) for key, job in self._jobs.items()}
        titles |= {(label, ""): (label, "Report") for label in self._recipes}
        there = {key for key in self._jobs if self._present(key)}
        self._done |= there
        written = {label for label in self._recipes if self._written(label, there)}
        with Shown(titles) as shown:
            shown.reused([*(_id(self._jobs[key]) for key in there), *((label, "") for label in written)])
            self._begun |= {(label, "") for label in written}
            running = 0
            while True:
                self._find_ready()
                while self._ready and (self._executor.workers is None or running < self._executor.workers):
                    *_, job = heapq.heappop(self._ready)
                    shown.began(_id(job))
                    self._executor.submit(job)
                    running += 1
                if not running:
                    break
                self._end(self._executor.next(), shown)
                running -= 1
            for job in [] if self._executor.shares_disk else self._reports_to_write():
                shown.began(_id(job))
                self._end(do(job), shown)

    def summary(self, seconds: float) -> dict[str, Any]:
        """What came out, as plain values."""
        unread = [
            {"recipe": label, "stage": "Reading its files", "problem": problem}
            for label, problem in self._unreadable.items()
        ]
        failed = [
            {"recipe": label, "stage": self._title(label, key), "problem": problem}
            for (label, key), problem in self._problems.items()
        ]
        reports = {
            label: read_json(recipe.out / "report.json")
            for label, recipe in self._recipes.items()
            if (label, "") in self._begun and (label, "") not in self._problems
        }
        ended = self._seconds.keys() - self._problems.keys()
        made = [key for key, job in self._jobs.items() if _id(job) in ended]
        return summarise(
            self._matrix.name,
            self._matrix.source.language,
            {label: (label.partition("/")[2], report) for label, report in reports.items()},
            [*unread, *failed],
            {
                "recipes": len(self._recipes) + len(unread),
                "made": len(made),
                "reused": len(self._jobs) - len(made) - len(self._lost()),
                "shared": sum(len(node.labels) > 1 for node in self._graph.nodes.values()),
                "seconds": round(seconds, 1),
                "job_seconds": round(sum(self._seconds.values()), 1),
                "workers": self._executor.workers,
            },
        )

    def _find_ready(self) -> None:
        """Stages whose inputs are there, those with most behind them first; then reports."""
        for key, node in self._graph.nodes.items():
            job = self._jobs[key]
            if key not in self._done and _id(job) not in self._begun and node.inputs <= self._done:
                self._begin(job, self._graph.heights[key])
        for job in self._reports_to_write() if self._executor.shares_disk else ():
            self._begin(job, 0)

    def _reports_to_write(self) -> list[Job]:
        return [
            job
            for label, job in self._reports.items()
            if _id(job) not in self._begun and self._of[label] <= self._done
        ]

    def _begin(self, job: Job, height: int) -> None:
        self._begun.add(_id(job))
        heapq.heappush(self._ready, (-height, len(self._begun), job))

    def _end(self, done: Done, shown: Shown) -> None:
        job = (done.label, done.key)
        self._begun.add(job)
        self._seconds[job] = done.seconds
        if done.problem is None:
            self._done.add(done.key)
        else:
            self._problems[job] = done.problem
        shown.ended(done)
        if done.problem and done.key:
            lost = self._lost()
            shown.left_out(_id(self._jobs[key]) for key in lost if key != done.key)
            shown.left_out((label, "") for label in self._recipes if self._of[label] & lost)

    def _lost(self) -> set[str]:
        """The stages that failed, and those that are made of them."""
        failed = {key for _, key in self._problems if key}
        return {key for key in self._jobs if key in failed or self._graph.ancestors(key) & failed}

    def _present(self, key: str) -> bool:
        """Whether a stage is where the jobs find it; that it is sound they check themselves."""
        return (self._stages / key).exists() if self._store is None else bool(self._store.whole(key))

    def _written(self, label: str, there: set[str]) -> bool:
        """Whether an earlier run has written the report of just these stages, and all that it left is there."""
        recipe = self._recipes[label]
        left = [recipe.out / name for name in (*published(recipe), "recipe.yaml")]
        return self._of[label] <= there & made_of(recipe) and all(path.exists() for path in left)

    def _title(self, label: str, key: str) -> str:
        return self._graph.nodes[key].step.title if key else "Report"

    def _job(self, label: str, key: str) -> Job:
        return Job(
            label,
            self._recipes[label].model_dump(mode="json"),
            key,
            tuple(self._graph.ancestors(key)) if key else (),
            os.getcwd(),
            os.path.abspath(self._stages),
            self._url,
            self._matrix.resources.cpus,
            self._matrix.resources.processes if key.startswith("distill-") else 1,
        )


def _id(job: Job) -> Id:
    return job.label, job.key
