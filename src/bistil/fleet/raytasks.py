"""The jobs of a fleet as tasks of Ray, on this machine or on a cluster."""

import logging
import os
import re
import socket
from collections.abc import Mapping
from typing import Any

from bistil.errors import BistilError
from bistil.fleet.executors import LEAVING, SAVING, TRIES
from bistil.fleet.work import Done, Job, do
from bistil.progress import Progress
from bistil.recipe.matrix import Resources

_ANSWER = 10.0  # seconds in which a cluster is to answer
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_TRAINED = (
    "distill-",
    "scratch-",
    "task-",
    "evaluation-",
    "embeddings-evaluation-",
)  # stages for which a GPU is set aside


class RayTasks:
    """Tasks of a Ray cluster, or of a Ray that is started on this machine for the time.

    Args:
        address: of the cluster, as `ray.init` takes it; None: of this machine alone.
        workers: on this machine, how many at once; on a cluster Ray finds room.
        resources: what each job takes.
    """

    def __init__(self, address: str | None, workers: int, resources: Resources) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray
        from ray.exceptions import RayError

        self._ray, self._error, self._resources = ray, RayError, resources
        _check_reachable(address)
        room = workers * resources.cpus * resources.processes  # Ray never starts what needs more
        try:
            ray.init(
                address=address or "local",
                num_cpus=room if address is None else None,
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, ValueError, RuntimeError, RayError) as error:
            raise BistilError(
                f"There is no Ray cluster at {address or 'this machine'} ({error}). Start one "
                "(`ray start --head`), or correct --address."
            ) from error
        self.shares_disk = address is None
        self.workers = workers if address is None else None
        self._do, self._jobs, self._told = ray.remote(do), dict[Any, Job](), False
        needs = self._needs("distill-", resources.processes)
        if address is None and not self._fits(needs):
            (node,) = ray.nodes()
            ray.shutdown()
            raise BistilError(
                f"A stage is to have {_amounts(needs, needs)}, and on this machine Ray finds "
                f"{_amounts(node['Resources'], needs)}. Lower the matrix's resources."
            )

    def submit(self, job: Job) -> None:
        """Takes a job; Ray begins it where there is room, and anew, elsewhere, should its machine die."""
        needs = self._needs(job.key, job.processes)
        task = self._do.options(
            num_cpus=needs["CPU"],
            num_gpus=needs["GPU"],
            memory=int(needs["memory"]) or None,
            max_retries=TRIES,
            name=f"{job.label} {job.key or 'report'}",
        )
        self._jobs[task.remote(job)] = job

    def next(self) -> Done:
        """Waits for one, and says so where a job needs a machine that the cluster does not have."""
        while not (ended := self._ray.wait([*self._jobs], timeout=None if self._told else _ANSWER)[0]):
            self._tell()
        job = self._jobs.pop(ended[0])
        try:
            done: Done = self._ray.get(ended[0])
        except self._error as error:
            return Done(job.label, job.key, 0.0, f"Ray could not do it: {_reason(error)}.")
        return done

    def close(self) -> None:
        """Leaves the cluster; what runs for this process is told to leave, too, and ended a little later."""
        try:
            if jobs := [*self._jobs]:
                Progress().say(SAVING)
                for task in jobs:
                    self._ray.cancel(task)
                self._ray.wait(jobs, num_returns=len(jobs), timeout=LEAVING)
        except self._error:
            pass  # the cluster is gone
        finally:
            self._ray.shutdown()

    def _needs(self, key: str, processes: int) -> dict[str, float]:
        """What a stage takes, or the report, by Ray's names."""
        own, gpus = self._resources, not key or key.startswith(_TRAINED)
        memory = int((own.memory_gb or 0) * 1e9)
        return {"CPU": own.cpus * processes, "GPU": own.gpus * processes if gpus else 0, "memory": memory}

    def _fits(self, needs: Mapping[str, float]) -> bool:
        """Whether a machine has as much, be it in use."""
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return any(all(own.get(name, 0) >= needs[name] for name in needs) for own in machines)

    def _tell(self) -> None:
        for job in self._jobs.values():
            if not self._fits(needs := self._needs(job.key, job.processes)):
                self._told = True
                Progress().say(
                    f"{job.label} waits for a machine with {_amounts(needs, needs)}; the cluster has none so far."
                )
                return


def _amounts(resources: Mapping[str, float], needed: Mapping[str, float]) -> str:
    """Of what is needed, for people: ``4 CPUs, 0.5 GPUs, 12.0 GB of memory``."""
    said = {name: f"{resources.get(name, 0):g} {name}s" for name in ("CPU", "GPU")}
    said["memory"] = f"{resources.get('memory', 0) / 1e9:,.1f} GB of memory"
    return ", ".join(said[name] for name in needed if needed[name])


def _reason(error: Exception) -> str:
    """What a user needs of an error of Ray's: that of the task where it has one, and no colours."""
    if (cause := getattr(error, "cause", None)) is not None:
        said = f"{type(cause).__name__}: {cause}"
    else:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return _COLOUR.sub("", said).rstrip(".")


def _check_reachable(address: str | None) -> None:
    """Ray itself waits for minutes where nobody answers."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return  # "auto", which looks on this machine
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise BistilError(
            f"There is no Ray cluster at {address} ({error}). Start one (`ray start --head`), or correct "
            "--address."
        ) from error
