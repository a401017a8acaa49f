"""One input tried with one reader, within bounds of time and memory."""

import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fuzz.inputs import Folder
from tests.fuzz.readers import Reader

from bistil.errors import BistilError

SECONDS = 10  # of processor time, for one input of some kilobytes
MEBIBYTES = 1024  # more than before


class TooLong(BaseException):
    """No Exception, so that no reader catches it."""


def attempt(reader: Reader, content: bytes | Folder, folder: Path) -> bool:
    """Whether the reader takes an input; what is no `BistilError` is raised, too much time or memory as well."""
    path = folder / f"input{reader.suffix}"
    write(content, path)
    before = peak()
    try:
        with _limited():
            reader.read(path)
        return True
    except BistilError:
        return False
    finally:
        if isinstance(content, dict):
            shutil.rmtree(path)
        assert peak() - before < MEBIBYTES, f"{peak() - before} MiB for one input"


def write(content: bytes | Folder, path: Path) -> None:
    """The input as a file or a folder."""
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    path.mkdir(exist_ok=True)
    for name, one in content.items():
        (path / name).write_bytes(one)


def peak() -> int:
    """The most memory this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder for inputs."""
    with tempfile.TemporaryDirectory(prefix="bistil-fuzz-") as folder:
        yield Path(folder)


@contextmanager
def _limited() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TooLong(f"more than {SECONDS} s for one input")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
