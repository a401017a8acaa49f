"""One job of a fleet, in whatever process: a stage of a recipe, or its report once all stages are there."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, TextIO

from bistil.errors import BistilError
from bistil.files import disk_problem, read_json, system_problem, write_json
from bistil.fleet.record import recorded
from bistil.fleet.stages import StoredStages
from bistil.fleet.store import Store
from bistil.launch import leave_on_sigterm, process_index
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
    try:
        problem = _logged(job)
    except OSError as error:  # of this machine, which on a cluster is one of many
        problem = f"{socket.gethostname()}: {system_problem(error) or error}"
    return Done(job.label, job.key, time.monotonic() - started, problem)


def _logged(job: Job) -> str | None:
    if not Path(job.folder).is_dir():
        return (
            f"{socket.gethostname()} has no folder {job.folder}. Every machine needs what the matrix names, under "
            "the same path."
        )
    os.chdir(job.folder)
    log = Path(job.stages).parent / "logs" / f"{job.label.replace('/', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        if job.processes > 1:
            return _together(job, stream)
        try:
            _make(job, Progress(stream))
        except Exception as error:
            traceback.print_exception(error, file=stream)
            return _said(error)
    return None


def _said(error: Exception) -> str:
    if isinstance(error, BistilError):
        return str(error)
    said = disk_problem(error) or f"{type(error).__name__}: {error}".rstrip(".")
    return f"{said}. The log has more."


def _make(job: Job, progress: Progress) -> None:
    import torch

    torch.set_num_threads(job.cpus)
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

    They are launched anew then: where torch's launcher restarts them, gloo waits for those that were there. So
    they are after an error that nobody foresaw, as the others' is where one died.
    """
    arguments = [*_LAUNCHER, f"--nproc-per-node={job.processes}", "-m", "bistil.fleet.work"]
    for _ in range(_LAUNCHES):
        with tempfile.TemporaryDirectory() as temporary:
            payload = Path(temporary) / "job.json"
            write_json(payload, asdict(job) | {"processes": 1})
            status = _launched([sys.executable, *arguments, str(payload)], job.cpus, log)
            if status == 0:
                return None
            said = [read_json(path) for path in sorted(payload.parent.glob("problem-*.json"), key=_written)]
        if foreseen := [one["problem"] for one in said if one["foreseen"]]:
            return str(foreseen[0])
    ended = f"{job.processes} processes that train together ended with status {status}"
    return f"{ended}. The first said: {said[0]['problem']}" if said else f"{ended}. The log has more."


def _launched(command: list[str], threads: int, log: TextIO) -> int:
    """The status of torch's launcher, whose processes end with this one: they read its input, and it has no end
    as long as this one lives.

    In a session of its own it is told of an interruption by this process alone, and lets its processes save.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
    ) as launcher:
        try:
            while (status := launcher.poll()) is None:
                time.sleep(0.2)  # rather than in a call of the system: Ray interrupts between lines of Python
            return status
        except BaseException:
            launcher.terminate()
            launcher.wait()
            raise


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns


def main(payload: str) -> None:
    """What each of several processes does; beside the job it writes down what went wrong."""
    leave_on_sigterm()
    Thread(target=_end_with_launcher, daemon=True).start()
    path = Path(payload)
    try:
        _make(Job(**read_json(path)), Progress())
    except Exception as error:
        try:
            traceback.print_exc()
            sys.stderr.flush()
            problem = {"problem": _said(error), "foreseen": isinstance(error, BistilError)}
            write_json(path.with_name(f"problem-{process_index()}.json"), problem)
        finally:
            os._exit(1)  # so that the launcher ends the others: torch's own way out would wait for them


def _end_with_launcher() -> None:
    """Ends this process once nobody holds the other end of its input."""
    os.read(sys.stdin.fileno(), 1)  # not by sys.stdin, whose lock Python wants at its end
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
