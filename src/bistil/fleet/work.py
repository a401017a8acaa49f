"""One job of a fleet, in whatever process: a stage of a recipe, or its report once all stages are there."""

import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from bistil.errors import BistilError
from bistil.files import disk_problem, read_json, write_json
from bistil.fleet.record import recorded
from bistil.fleet.stages import StoredStages
from bistil.fleet.store import Store
from bistil.launch import process_index
from bistil.pipeline import runs
from bistil.pipeline.stages import StageFolder, Stages
from bistil.pipeline.taskdata import TaskData
from bistil.progress import Progress, Stage
from bistil.recipe.recipe import Recipe

_LAUNCHER, _LAUNCHES = ("-m", "torch.distributed.run", "--standalone"), 3
# stages of the machine on which they are made, and so made with the report
MEASURED = ("efficiency", "embeddings-efficiency")


@dataclass(frozen=True)
class Job:
    """Plain values, so that it travels: names of stages, never weights.

    Args:
        label: the recipe, ``sw/half``.
        recipe: its values.
        key: the stage to make, ``distill-1f0c2a9b44``; "" for the report, which comes last.
        needed: the keys of all that the stage is made of.
        folder: the working directory, to which paths are relative.
        stages: the folder of the stages that lie on this machine's disk.
        store: the URL of the shared ones, if any.
        cpus: threads.
        processes: that share a general distillation.
    """

    label: str
    recipe: Mapping[str, Any] = field(repr=False)
    key: str
    needed: tuple[str, ...] = field(repr=False)
    folder: str
    stages: str
    store: str | None
    cpus: int
    processes: int = 1


@dataclass(frozen=True)
class Done:
    """How a job ended: its label and key, wall-clock seconds, and what went wrong, if anything."""

    label: str
    key: str
    seconds: float
    problem: str | None = None


class _Reached(Exception):
    """The stage that was asked for is there."""


class _Only(Stages):
    """Of a pipeline's stages one, with those that it is made of; the others are only named."""

    def __init__(self, stages: Stages, job: Job) -> None:
        self.root, self._stages, self._job = stages.root, stages, job

    def make(
        self,
        name: str,
        title: str,
        inputs: Mapping[str, Any],
        build: Callable[[Path, Stage], None],
        total: int | None = None,
        unit: str = "",
        together: bool = False,
        task: str = "",
    ) -> StageFolder:
        """The stage's folder, whether or not it is there."""
        folder, _ = self._stages.folder(name, inputs)
        if folder.path.name not in (self._job.key, *self._job.needed):
            return folder
        made = self._stages.make(name, title, inputs, build, total, unit, together, task)
        if folder.path.name == self._job.key:
            raise _Reached
        return made


def do(job: Job) -> Done:
    """Makes the stage or the report; what goes wrong is returned in words, with the traceback in the log.

    The log is ``LABEL.log`` in the folder of the stages' logs.
    """
    started = time.monotonic()
    os.chdir(job.folder)
    log = Path(job.stages).parent / "logs" / f"{job.label.replace('/', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        problem = _done(job, Progress(stream)) if job.processes == 1 else _together(job, stream)
    return Done(job.label, job.key, time.monotonic() - started, problem)


def _done(job: Job, progress: Progress) -> str | None:
    import torch

    torch.set_num_threads(job.cpus)
    try:
        _make(job, progress)
    except Exception as error:
        progress.say(traceback.format_exc())
        if isinstance(error, BistilError):
            return str(error)
        said = disk_problem(error) or f"{type(error).__name__}: {error}".rstrip(".")
        return f"{said}. The log has more."
    return None


def _make(job: Job, progress: Progress) -> None:
    recipe, root = Recipe.model_validate(job.recipe), Path(job.stages)
    stages = StoredStages(root, progress, Store(job.store)) if job.store else Stages(root, progress)
    if not job.key:
        with recorded(recipe, stages):
            runs.run(recipe, progress, stages)
        return
    runs.prepare()
    data = {task.name: TaskData.read(task) for task in recipe.tasks}
    try:
        runs.pipeline_of(recipe, progress, data, _Only(stages, job)).make()
    except _Reached:
        return
    raise BistilError(
        f"{job.label} has no stage {job.key} any more: a text or a labelled file was changed meanwhile, or this "
        "machine has another version of bistil. Run the same command again."
    )


def _together(job: Job, log: TextIO) -> str | None:
    """A stage that several processes of this machine make; should one die, all go on from a checkpoint.

    They are launched anew then: where torch's launcher restarts them, gloo waits for those that were there.
    """
    with tempfile.TemporaryDirectory() as temporary:
        payload, said = Path(temporary) / "job.json", Path(temporary) / "problem.txt"
        write_json(payload, asdict(job) | {"processes": 1})
        command = [*_LAUNCHER, f"--nproc-per-node={job.processes}", "-m", "bistil.fleet.work"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(job.cpus)}
        for _ in range(_LAUNCHES):
            ended = subprocess.run(
                [sys.executable, *command, str(payload), str(said)],
                stdout=log,
                stderr=log,
                env=environment,
                check=False,
            )
            if ended.returncode == 0:
                return said.read_text(encoding="utf-8") or None
    return f"{job.processes} processes that train together ended with status {ended.returncode}. The log has more."


def main(payload: str, said: str) -> None:
    """What each of several processes does; the first writes down what went wrong."""
    problem = _done(Job(**read_json(Path(payload))), Progress())
    if not process_index():
        Path(said).write_text(problem or "", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
