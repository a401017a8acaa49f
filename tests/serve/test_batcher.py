"""How requests are put together, without HTTP and without a model."""

import asyncio
import threading
import time

import pytest

from bistil.errors import BistilError
from bistil.serve.batcher import Batcher, Full, Room

CORES = 2


class Model:
    """Doubles numbers, slowly; refuses those below 0; remembers its batches and how many ran at once."""

    def __init__(self, seconds: float = 0.01) -> None:
        self.batches: list[list[int]] = []
        self.running = self.most = 0
        self._seconds, self._lock = seconds, threading.Lock()

    def __call__(self, examples: list[int]) -> list[int]:
        with self._lock:
            self.batches.append(examples)
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(self._seconds)
        with self._lock:
            self.running -= 1
        if any(one < 0 for one in examples):
            raise BistilError(f"{min(examples)} is below 0. Give another number.")
        return [2 * one for one in examples]


def batcher(model: Model, most: int = 10_000, **settings) -> Batcher[int, int]:
    return Batcher(model, Room(most), asyncio.Semaphore(CORES), CORES, **settings)


def test_everyone_gets_their_own_answers():
    async def ask() -> None:
        model = Model()
        ours = batcher(model, texts=8)
        requests = [[*range(start, start + start % 5 + 1)] for start in range(200)]
        found = await asyncio.gather(*(ours(one) for one in requests))
        assert found == [[2 * number for number in one] for one in requests]
        assert sum(map(len, model.batches)) == sum(map(len, requests))
        assert len(model.batches) < len(requests) / 2
        assert all(len(batch) <= 8 for batch in model.batches)
        assert 1 <= model.most <= CORES

    asyncio.run(ask())


def test_one_request_alone_is_not_kept_waiting():
    async def ask() -> float:
        ours = batcher(Model(0), wait=0.002)
        await ours([1])
        started = time.perf_counter()
        for _ in range(20):
            await ours([1])
        return (time.perf_counter() - started) / 20

    assert asyncio.run(ask()) < 0.05


def test_what_comes_just_as_the_last_is_answered_is_run():
    """A worker that is over must not be taken for one that will come by."""

    async def ask() -> list[int]:
        ours = Batcher(Model(0), Room(10), asyncio.Semaphore(1), 1)
        second: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        ours._put([1]).add_done_callback(lambda _: ours._put([2]).add_done_callback(second.set_result))
        return (await asyncio.wait_for(second, 5)).result()

    assert asyncio.run(ask()) == [4]


def test_an_example_that_cannot_be_read_spoils_no_other():
    async def ask() -> None:
        ours = batcher(Model())
        found = await asyncio.gather(
            *(ours([n, -1] if n % 3 == 0 else [n]) for n in range(30)), return_exceptions=True
        )
        for number, one in enumerate(found):
            if number % 3 == 0:
                assert isinstance(one, BistilError)
                assert "-1 is below 0" in str(one)
            else:
                assert one == [2 * number]

    asyncio.run(ask())


def test_a_fault_of_the_model_is_said_to_all_and_the_next_is_answered():
    async def ask() -> None:
        broken = [True]

        def run(examples: list[int]) -> list[int]:
            if broken[0]:
                raise ZeroDivisionError
            return examples

        ours = Batcher(run, Room(100), asyncio.Semaphore(CORES), CORES)
        found = await asyncio.gather(ours([1]), ours([2]), return_exceptions=True)
        assert [type(one) for one in found] == [ZeroDivisionError] * 2
        broken[0] = False
        assert await ours([3]) == [3]

    asyncio.run(ask())


def test_beyond_the_room_is_full_and_room_is_given_back():
    async def ask() -> None:
        room = Room(10)
        ours = Batcher(Model(0.05), room, asyncio.Semaphore(CORES), CORES)
        first = [asyncio.create_task(ours([number] * 5)) for number in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Full):
            await ours([1])
        await asyncio.gather(*first)
        assert room.taken == 0
        assert len(await ours([1] * 500)) == 500  # alone it always has room

    asyncio.run(ask())


def test_what_nobody_waits_for_is_not_run():
    async def ask() -> None:
        model, room = Model(0.05), Room(1_000)
        ours = Batcher(model, room, asyncio.Semaphore(CORES), CORES, texts=1)
        begun = [asyncio.create_task(ours([number])) for number in range(CORES)]
        await asyncio.sleep(0.02)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await ours([99])
        await asyncio.gather(*begun)
        await asyncio.sleep(0.02)
        assert [99] not in model.batches
        assert room.taken == 0

    asyncio.run(ask())


def test_without_the_faster_loop_there_is_the_usual_one(monkeypatch):
    """On Windows uvloop is not there."""
    import sys

    from bistil.serve.server import _loop

    monkeypatch.setitem(sys.modules, "uvloop", None)
    with asyncio.Runner(loop_factory=_loop()) as runner:
        assert runner.run(asyncio.sleep(0, "ran")) == "ran"
