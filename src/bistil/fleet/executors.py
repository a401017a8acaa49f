"""Where the jobs of a fleet are done: in this process, or in several of this machine."""

import multiprocessing
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from threading import Thread
from typing import Protocol

from bistil.fleet.work import Done, Job, do
from bistil.launch import leave_on_sigterm
from bistil.progress import Progress
from bistil.recipe.matrix import Resources

TRIES = 3  # of a job whose process died
LEAVING = 20.0  # seconds in which what is interrupted is to save and give back what it holds
SAVING = f"Waiting up to {LEAVING:.0f} s for what runs to save what it has; Ctrl-C ends it at once."
_DIED = f"Its process died {TRIES} times, as processes do that need more memory than there is."


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
        """Ends what still runs, which has some seconds to save; another interruption ends it at once."""


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
        # each of one process: of several nobody knows whose died, and all end with it
        self._idle = [_pool() for _ in range(workers)]
        self._running: dict[Future[Done], tuple[Job, ProcessPoolExecutor]] = {}
        self._deaths: Counter[tuple[str, str]] = Counter()

    def submit(self, job: Job) -> None:
        """Begins a job."""
        pool = self._idle.pop()
        with _threads(self._cpus):
            try:
                future = pool.submit(do, job)
            except BrokenProcessPool:  # its process died after its last job
                pool = _pool()
                future = pool.submit(do, job)
        self._running[future] = job, pool

    def next(self) -> Done:
        """Waits for one; where its process died, it is done again."""
        while True:
            ended, _ = wait(self._running, return_when=FIRST_COMPLETED)
            future = next(iter(ended))
            job, pool = self._running.pop(future)
            try:
                done = future.result()
            except (BrokenProcessPool, SystemExit):  # killed, or told to leave
                pool.shutdown()
                self._idle.append(_pool())
                self._deaths[job.label, job.key] += 1
                if self._deaths[job.label, job.key] == TRIES:
                    return Done(job.label, job.key, 0.0, _DIED)
                self.submit(job)
            else:
                self._idle.append(pool)
                return done

    def close(self) -> None:
        """Ends all processes, those in mid-job once they have saved."""
        pools = [*self._idle, *(pool for _, pool in self._running.values())]
        busy = [
            (future, process)
            for future, (_, pool) in self._running.items()
            for process in list((pool._processes or {}).values())
        ]
        try:
            if busy:
                Progress().say(SAVING)
            for _, process in busy:
                process.terminate()
            wait(self._running, timeout=LEAVING)
        finally:
            for future, process in busy:
                if not future.done():
                    process.kill()
            for pool in pools:
                pool.shutdown(cancel_futures=True)


def _pool() -> ProcessPoolExecutor:
    spawned = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    return ProcessPoolExecutor(1, spawned, _begin)


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


def _begin() -> None:
    """A worker leaves when it is told by SIGTERM, or when its parent is gone: nobody else would tell it then.

    Ctrl-C is for the parent, which tells it; twice told it would leave what it saves.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave_on_sigterm()

    def watch() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(LEAVING)
            os._exit(1)

    Thread(target=watch, daemon=True).start()
