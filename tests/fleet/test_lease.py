"""Leases: one owner at a time, taken over from one that is gone, and not from one that is slow."""

import threading
import time

import pytest

from bistil.fleet import lease as leases
from bistil.fleet.lease import Lease, turn

STALE = 1.2


def take(store, said, there=lambda: False, key="k"):
    return turn(store, key, "Blocks", said.append, there, STALE)


def test_many_at_once_have_their_turns_one_after_the_other(store):
    inside, most, order = [], [], []

    def work(number):
        with take(store, []) as own:
            inside.append(number)
            most.append(len(inside))
            order.append(own._number)
            time.sleep(0.05)
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5
    assert order == [1, 2, 3, 4, 5]


def test_a_slow_owner_keeps_its_turn(store):
    said = []
    with take(store, []) as own:
        waiting = threading.Thread(target=lambda: take(store, said).__enter__(), daemon=True)
        waiting.start()
        time.sleep(2 * STALE)
        assert not own.lost
    waiting.join(5)
    assert not waiting.is_alive()
    assert len(said) == 1
    assert "Blocks is being made by process" in said[0]


def test_an_owner_that_died_is_taken_over_from_and_one_that_wakes_knows(store):
    dead = Lease(store, "k", 1, STALE)  # its heart never begins
    assert store.create("leases", "k", "000001.json", content=dead._content(0))
    said, started = [], time.monotonic()
    with take(store, said) as own:
        assert time.monotonic() - started > STALE
        assert own._number == 2
        assert dead.lost
        assert not own.lost
        dead._thread.start()  # it wakes up
        time.sleep(STALE / 2)
        assert not dead._thread.is_alive()
        assert not own.lost
    assert any("has not been heard of for 1 s; taking over" in one for one in said)
    dead._stop.set()
    newest = leases._newest(store, "k")
    assert newest[0] == 2
    assert leases._read(newest[1])["released"]


def test_what_is_there_needs_no_turn(store):
    with take(store, [], lambda: True) as own:
        assert own is None
    assert store.listed("leases") == []


def test_what_comes_while_waiting_ends_the_wait(store):
    there = threading.Event()
    with take(store, []) as own:
        assert own is not None
        threading.Timer(0.3, there.set).start()
        with take(store, [], there.is_set) as other:
            assert other is None


def test_a_lease_that_cannot_be_read_is_somebodys(store):
    assert store.create("leases", "k", "000001.json", content=b"")
    said = []
    with take(store, said) as own:
        assert own._number == 2
    assert said[0] == "Blocks is being made by another process; waiting …"


@pytest.mark.parametrize("error", [OSError, RuntimeError])  # HTTP clients have errors of their own
def test_a_store_that_is_away_for_a_moment_costs_no_lease(store, monkeypatch, error):
    with take(store, []) as own:
        original, failures = store._write, []

        def away(path, content):
            if len(failures) < 2:
                failures.append(path)
                raise error("away")
            return original(path, content)

        monkeypatch.setattr(store, "_write", away)
        time.sleep(STALE)
        assert len(failures) == 2
        assert not own.lost
        assert leases._read(leases._newest(store, "k")[1])["beat"] > 1


def test_a_store_that_is_away_at_the_end_hides_no_error(store, monkeypatch):
    def away(*_):
        raise RuntimeError("away")

    def work():
        with take(store, []):
            monkeypatch.setattr(store, "_write", away)
            raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        work()
