"""Where the jobs of a fleet are done: in this process, in several of this machine, or on a Ray cluster."""

import logging
import multiprocessing
import os
import socket
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from threading import Thread
from typing import Any, Protocol

from bistil.errors import BistilError
from bistil.fleet.work import Done, Job, do
from bistil.recipe.matrix import Resources

_ANSWER = 10.0  # seconds in which a cluster is to answer
_TRIES = 3  # of a job whose process died
_TRAINED = (
    "distill-",
    "scratch-",
    "task-",
    "evaluation-",
    "embeddings-evaluation-",
)  # stages for which a GPU is set aside
_DIED = f"Its process died {_TRIES} times, as processes do that need more memory than there is."


class Executor(Protocol):
    """Does jobs, and says which has ended."""

    @property
    def shares_disk(self) -> bool:
        """Whether what a job leaves in the output folder is there for this process."""

    @property
    def workers(self) -> int | None:
        """How many jobs it takes at once; None: all, and does them where it finds room."""

    def submit(self, job: Job) -> None:
        """Takes a job."""

    def next(self) -> Done:
        """Waits for one that has ended; one whose process died has been tried again before."""

    def close(self) -> None:
        """Ends what still runs."""


class InTurn:
    """One job after the other, in this process."""

    shares_disk, workers = True, 1

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Takes a job."""
        self._jobs.append(job)

    def next(self) -> Done:
        """Does the first."""
        return do(self._jobs.popleft())

    def close(self) -> None:
        """Nothing runs between two jobs."""


class Processes:
    """Several processes of this machine, which end with this one."""

    shares_disk = True

    def __init__(self, workers: int, resources: Resources) -> None:
        self.workers, self._cpus = workers, resources.cpus
        self._running: dict[Future[Done], Job] = {}
        self._deaths: Counter[tuple[str, str]] = Counter()
        self._pool = self._new()

    def submit(self, job: Job) -> None:
        """Begins a job."""
        with _threads(self._cpus):
            self._running[self._pool.submit(do, job)] = job

    def next(self) -> Done:
        """Waits for one; where a process died, all that were being done are done again."""
        while True:
            ended, _ = wait(self._running, return_when=FIRST_COMPLETED)
            future = next(iter(ended))
            try:
                done = future.result()
                del self._running[future]
                return done
            except BrokenProcessPool:
                if (lost := self._again()) is not None:
                    return lost

    def close(self) -> None:
        """Ends all processes: in mid-job at once, else as they end themselves, giving back what they hold."""
        for process in list((self._pool._processes or {}).values()) if self._running else ():
            process.kill()
        self._pool.shutdown(cancel_futures=True)

    def _again(self) -> Done | None:
        """A new pool for the jobs of one that broke, as nobody knows whose process died."""
        self.close()
        begun, self._running, self._pool = list(self._running.values()), {}, self._new()
        self._deaths.update((job.label, job.key) for job in begun)
        lost = next((job for job in begun if self._deaths[job.label, job.key] >= _TRIES), None)
        for job in begun:
            if job is not lost:
                self.submit(job)
        return None if lost is None else Done(lost.label, lost.key, 0.0, _DIED)

    def _new(self) -> ProcessPoolExecutor:
        spawned = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        return ProcessPoolExecutor(self.workers, spawned, _end_with_parent)


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
        self._do, self._jobs = ray.remote(do), dict[Any, Job]()

    def submit(self, job: Job) -> None:
        """Takes a job; Ray begins it where there is room, and anew, elsewhere, should its machine die."""
        trains, own = job.key.startswith(_TRAINED), self._resources
        task = self._do.options(
            num_cpus=own.cpus * job.processes,
            num_gpus=own.gpus * job.processes if trains or not job.key else 0,
            memory=own.memory_gb and int(own.memory_gb * 1e9),
            max_retries=_TRIES,
            name=f"{job.label} {job.key or 'report'}",
        )
        self._jobs[task.remote(job)] = job

    def next(self) -> Done:
        """Waits for one."""
        (ended,), _ = self._ray.wait(list(self._jobs), num_returns=1)
        job = self._jobs.pop(ended)
        try:
            done: Done = self._ray.get(ended)
        except self._error as error:
            problem = str(error).strip().splitlines()[0].rstrip(".")
            return Done(job.label, job.key, 0.0, f"Ray could not do it: {problem}.")
        return done

    def close(self) -> None:
        """Leaves the cluster, which ends what runs for this process."""
        self._ray.shutdown()


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


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Processes that are started inside the block have so many threads, also where torch is not asked."""
    names = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for ever, or go on with nobody to tell."""

    def watch() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()
