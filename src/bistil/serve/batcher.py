"""Requests that come together go through a model together, and no more of them wait than is allowed."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from bistil.errors import BistilError

E = TypeVar("E")
P = TypeVar("P")

_PART = 8  # texts of a request that stay together


class Full(Exception):
    """No more may wait."""


@dataclass
class Room:
    """How many texts may wait for all models together, and how many do."""

    most: int
    taken: int = 0

    def take(self, texts: int) -> None:
        """Raises `Full` where so many more would be too many; one request alone always has room."""
        if self.taken and self.taken + texts > self.most:
            raise Full
        self.taken += texts


@dataclass(frozen=True, eq=False)
class _Job(Generic[E, P]):
    examples: Sequence[E]
    answer: "asyncio.Future[list[P]]"
    came: float = field(default_factory=time.monotonic)


class Batcher(Generic[E, P]):
    """Runs a model on what several requests ask; made and called in the event loop.

    The first request waits a moment for others. While the model runs, more come together by themselves. As many
    batches are on their way as there are cores, each on one of them: cores that share a batch wait for each other.
    A long request is cut therefore.

    Args:
        run: takes examples and returns as many predictions, or raises `BistilError`; called in a thread.
        room: what waits for all models.
        turns: one is held by each batch on its way, those of other models included.
        at_once: how many turns there are.
        texts: the most of a batch.
        wait: seconds for which the first request waits for others.
        on_batch: called with the number of texts of each batch.
    """

    def __init__(
        self,
        run: Callable[[list[E]], list[P]],
        room: Room,
        turns: asyncio.Semaphore,
        at_once: int,
        *,
        texts: int = 32,
        wait: float = 0.002,
        on_batch: Callable[[int], None] = lambda texts: None,
    ) -> None:
        self._run, self._room, self._turns, self._at_once = run, room, turns, at_once
        self._texts, self._wait, self._on_batch = texts, wait, on_batch
        self._jobs: deque[_Job[E, P]] = deque()
        self._running = 0  # batches
        self._workers: set[asyncio.Task[None]] = set()

    async def __call__(self, examples: Sequence[E]) -> list[P]:
        """The predictions for a request's examples.

        Raises `Full` where too much waits, and `BistilError` where the model cannot read one of these examples.
        """
        self._room.take(len(examples))
        answers = [self._put(examples[at : at + _PART]) for at in range(0, len(examples), _PART)]
        try:
            return [one for part in await asyncio.gather(*answers) for one in part]
        finally:
            self._room.taken -= len(examples)
            for answer in answers:  # of a request that is over: its time, or another part's error
                answer.cancel()

    def _put(self, examples: Sequence[E]) -> "asyncio.Future[list[P]]":
        job: _Job[E, P] = _Job(examples, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        if len(self._workers) < self._at_once:
            self._workers.add(asyncio.create_task(self._work()))
        return job.answer

    async def _work(self) -> None:
        """Until nothing waits."""
        while self._jobs:
            async with self._turns:
                if self._jobs and (left := self._jobs[0].came + self._wait - time.monotonic()) > 0:
                    await asyncio.sleep(left)
                if jobs := self._batch():
                    self._running += 1
                    await self._answer(jobs)
                    self._running -= 1
        self._workers.remove(cast(asyncio.Task[None], asyncio.current_task()))  # at once: a next job needs another

    def _batch(self) -> list[_Job[E, P]]:
        """The next requests, or parts of one, but for those that nobody waits for any more.

        Idle cores get as much. A larger batch would be no faster, and the next request waits for it.
        """
        jobs: list[_Job[E, P]] = []
        idle = max(1, self._at_once - self._running)
        most = min(self._texts, sum(len(job.examples) for job in self._jobs) / idle)
        texts = 0
        while self._jobs and (not jobs or texts + len(self._jobs[0].examples) <= most):
            job = self._jobs.popleft()
            if not job.answer.done():
                jobs.append(job)
                texts += len(job.examples)
        return jobs

    async def _answer(self, jobs: list[_Job[E, P]]) -> None:
        try:
            found = await self._in_thread([one for job in jobs for one in job.examples])
        except Exception as error:
            if len(jobs) == 1 or not isinstance(error, BistilError):
                for job in jobs:
                    if not job.answer.done():
                        job.answer.set_exception(error)
                return
            for job in jobs:  # one text that cannot be read is not the others' fault
                await self._answer([job])
            return
        for job in jobs:
            own, found = found[: len(job.examples)], found[len(job.examples) :]
            if not job.answer.done():
                job.answer.set_result(own)

    def _in_thread(self, examples: list[E]) -> Awaitable[list[P]]:
        self._on_batch(len(examples))
        return asyncio.get_running_loop().run_in_executor(None, self._run, examples)
