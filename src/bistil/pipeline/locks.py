"""One process at a time in a folder, and who that is."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from bistil.errors import BistilError
from bistil.files import read_json, write_json


@contextmanager
def held(lock: Path, what: str, say: Callable[[str], None] | None = None) -> Iterator[None]:
    """Holds ``what`` by the file ``lock`` inside the block.

    Where another process holds it, `BistilError` says which, on which host and since when; with ``say`` that is
    said, and waited for. The system frees the lock of a process that died. The file stays: others may wait at it.
    """
    owner, waiting = lock.with_name(f"{lock.name}.json"), FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        waiting.acquire(timeout=0)
    except Timeout:
        holder = f"{what} is held by {_told(owner)}"
        if say is None:
            raise BistilError(f"{holder}. Wait until it has ended, or choose another folder.") from None
        say(f"{holder}; waiting …")
        waiting.acquire()
    except OSError as error:
        raise BistilError(f"Cannot write to {lock.parent} ({error.strerror}). Choose another folder.") from error
    try:
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        write_json(owner, {"process": os.getpid(), "host": socket.gethostname(), "since": since})
        yield
    finally:
        owner.unlink(missing_ok=True)
        waiting.release()


def _told(owner: Path) -> str:
    """Who holds a lock: ``process 4711 on hal since 2026-11-28 09:30:00+01:00``."""
    try:
        found = read_json(owner)
        return f"process {found['process']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
