"""The plan of a matrix: what its stages take together, what recipes share, and how long workers need for it."""

import heapq
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from bistil.errors import BistilError
from bistil.planning.estimate import estimate
from bistil.planning.graph import Graph, Node, add
from bistil.planning.planned import Planned, known_gpu, planned
from bistil.planning.samples import Samples
from bistil.planning.walk import walk
from bistil.recipe.matrix import Matrix
from bistil.runtime.threads import available
from bistil.training.allocator import keep_freed_memory


@dataclass(frozen=True)
class MatrixPlan:
    """The stages of a matrix with what each takes, by key, and what could not be planned.

    ``workers`` are the jobs that this machine does at once, with ``cpus`` threads each.
    """

    recipes: int
    graph: Graph
    stages: Mapping[str, Planned]
    workers: int
    cpus: int
    gpu: str | None
    notes: tuple[str, ...]

    @property
    def new(self) -> dict[str, Planned]:
        """What is not there yet."""
        return {key: stage for key, stage in self.stages.items() if not stage.reused}

    @property
    def seconds(self) -> float:
        """Of the jobs of the new stages, one after the other."""
        return sum(stage.seconds or 0 for stage in self.new.values())

    @property
    def gpu_seconds(self) -> float:
        """The same on the graphics card."""
        return sum(stage.gpu_seconds or 0 for stage in self.new.values())

    @property
    def saved(self) -> float:
        """Seconds that sharing saves: what recipes would take for these stages that others make."""
        return sum((stage.seconds or 0) * self._others(key) for key, stage in self.new.items())

    @property
    def gpu_saved(self) -> float:
        """The same on the graphics card."""
        return sum((stage.gpu_seconds or 0) * self._others(key) for key, stage in self.new.items())

    def _others(self, key: str) -> int:
        return len(self.graph.nodes[key].labels) - 1

    @property
    def memory(self) -> float:
        """The peak of the largest stage, in bytes beside the bare process."""
        return max((stage.work.memory for stage in self.new.values()), default=0)

    @property
    def disk(self) -> float:
        """Bytes that the new stages leave, each once."""
        return sum(stage.work.disk for stage in self.new.values())

    @property
    def wall_seconds(self) -> float:
        """With this machine's workers, each taking the stage with most behind it."""
        return makespan(self.graph, {key: stage.seconds or 0.0 for key, stage in self.new.items()}, self.workers)


def plan_matrix(matrix: Matrix, gpu: str | None = None) -> MatrixPlan:
    """What `bistil fleet` of the matrix would make; the pace is measured once for each student.

    ``gpu`` names a card, see `bistil.planning.known.GPUS`. Example: ``plan_matrix(matrix).saved`` is 5400.0.
    """
    card, cpus = known_gpu(gpu), matrix.resources.cpus
    keep_freed_memory()
    nodes: dict[str, Node] = {}
    stages: dict[str, Planned] = {}
    samples, paces, notes = Samples(), {}, dict[str, None]()
    with _threads(cpus):
        for label, recipe in matrix.recipes().items():
            try:
                # stages lie beside the recipes, for all of them
                with walk(recipe, matrix.out / "stages") as found:
                    own, student = estimate(found, samples), label.partition("/")[2]
                    if student not in paces:
                        paces[student] = own.pace()
                    add(nodes, label, found)
                    for step, work in own.works:
                        stages.setdefault(step.folder.path.name, planned(step, work, paces[student], card))
                    notes |= dict.fromkeys(f"{label}: {note}" for note in found.notes)
            except BistilError as error:
                notes[f"{label} is not in the plan: {error}"] = None
    workers = max(available() // (cpus * matrix.resources.processes), 1)  # as many as `bistil fleet` starts
    return MatrixPlan(len(matrix.recipes()), Graph(nodes), stages, workers, cpus, card, tuple(notes))


def makespan(graph: Graph, seconds: Mapping[str, float], workers: int) -> float:
    """How long so many workers take for stages of some seconds each, those with most behind them first.

    Example: three stages of 10 seconds, of which the third needs the others, take two workers 20.
    """
    waiting = {key: {one for one in graph.nodes[key].inputs if one in seconds} for key in seconds}
    ready = [(-graph.heights[key], key) for key, needed in waiting.items() if not needed]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            _, key = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[key], key))
        now, ended = heapq.heappop(running)
        for key, needed in waiting.items():
            if ended in needed:
                needed.discard(ended)
                if not needed:
                    heapq.heappush(ready, (-graph.heights[key], key))
    return now


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
