"""One machine's turn to make a stage: a lease with a heartbeat, taken over where that has stopped.

A lease is a file ``leases/KEY/NUMBER.json``, and of a key the highest number counts. It is created only where
there is none, so that of several machines one gets it; whoever takes over creates the next. Clocks are not
compared: a lease is stale once its file has not changed for a while by the waiter's own clock. An owner that was
paused for longer finds a higher number, and then does not publish what another has made meanwhile; should both
make it, the store has it twice, each whole.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from bistil.errors import BistilError
from bistil.fleet.store import LEASES, Store

STALE = 120.0  # seconds
_BEATS, _POLLS = 6, 12  # in the time of a stale lease
_DIGITS = 6


class Lease:
    """A turn that this process has; a thread tells the others that it is alive."""

    def __init__(self, store: Store, key: str, number: int, stale: float) -> None:
        self._store, self._key, self._number, self._pause = store, key, number, stale / _BEATS
        self._told: dict[str, Any] = _owner()
        self._stop, self._lost = threading.Event(), False
        self._thread = threading.Thread(target=self._beat, daemon=True)

    @classmethod
    def create(cls, store: Store, key: str, number: int, stale: float) -> "Lease | None":
        """The lease of that number, unless another process has it."""
        lease = cls(store, key, number, stale)
        content = lease._content(0)
        # a client whose answer was lost tries again, and then finds what it has created itself
        if not store.create(LEASES, key, lease._name, content=content) and (
            store.read(LEASES, key, lease._name) != content
        ):
            return None
        lease._thread.start()
        return lease

    @property
    def lost(self) -> bool:
        """Whether another process has taken over."""
        self._lost = self._lost or _newest(self._store, self._key)[0] > self._number
        return self._lost

    def release(self) -> None:
        """Lets the next one begin at once."""
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(BistilError):  # the others then wait until it is stale
            if not self.lost:
                self._store.write(LEASES, self._key, self._name, content=self._content(-1))

    @property
    def _name(self) -> str:
        return f"{self._number:0{_DIGITS}d}.json"

    def _content(self, beat: int) -> bytes:
        return json.dumps({**self._told, "beat": beat, "released": beat < 0}).encode()

    def _beat(self) -> None:
        beat = 0
        while not self._stop.wait(self._pause):
            beat += 1
            try:
                if self.lost:
                    return
                self._store.write(LEASES, self._key, self._name, content=self._content(beat))
            except BistilError:  # a store that cannot be reached for a moment; longer, the lease is lost
                continue


@contextmanager
def turn(
    store: Store,
    key: str,
    what: str,
    say: Callable[[str], None],
    there: Callable[[], bool],
    stale: float = STALE,
) -> Iterator[Lease | None]:
    """Waits until this process may make a key, or until it is ``there``.

    Args:
        store: where the leases lie.
        key: of the artefact.
        what: its title, for people.
        say: is told who makes it meanwhile, and of a takeover.
        there: whether the artefact is in the store.
        stale: after how many seconds without a heartbeat an owner counts as gone.

    Yields the lease, or None where the artefact is there.
    """
    seen, since, told = (0, b""), time.monotonic(), False
    while True:
        if there():
            yield None
            return
        number, content = _newest(store, key)
        if (number, content) != seen:
            seen, since = (number, content), time.monotonic()
        gone = time.monotonic() - since > stale
        if number == 0 or gone or _read(content).get("released"):
            if gone and number:
                say(f"{what}: {_named(content)} has not been heard of for {stale:.0f} s; taking over.")
            if (lease := Lease.create(store, key, number + 1, stale)) is not None:
                break
            continue
        if not told:
            say(f"{what} is being made by {_named(content)}; waiting …")
            told = True
        time.sleep(stale / _POLLS)
    try:
        yield None if there() else lease
    finally:
        lease.release()


def _newest(store: Store, key: str) -> tuple[int, bytes]:
    """The lease that counts, and its content; 0 where there is none."""
    numbers = [path.rpartition("/")[2].removesuffix(".json") for path in store.listed(LEASES, key)]
    number = max((int(one) for one in numbers if one.isdigit()), default=0)
    return (number, store.read(LEASES, key, f"{number:0{_DIGITS}d}.json") or b"") if number else (0, b"")


def _owner() -> dict[str, Any]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"owner": uuid4().hex, "host": socket.gethostname(), "process": os.getpid(), "since": since}


def _read(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _named(content: bytes) -> str:
    found = _read(content)
    if not {"process", "host", "since"} <= found.keys():
        return "another process"
    return f"process {found['process']} on {found['host']} since {found['since']}"
