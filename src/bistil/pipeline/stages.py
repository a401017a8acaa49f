"""Stages: one folder each, whole or absent, never computed twice."""

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from bistil.errors import BistilError
from bistil.files import disk_problem, fingerprint_file, fingerprints, read_json, write_json
from bistil.launch import process_index
from bistil.pipeline.locks import held
from bistil.pipeline.stagecode import stage_code
from bistil.progress import Progress, Stage

_MANIFEST = "manifest.json"
_SPENT = "spent.json"  # seconds, of a training that was interrupted
# What a training leaves to go on from: checkpoints, and the outcome of a lottery ticket's finished phase.
_FINISHED = ("**/checkpoint-*", "**/positions-*.safetensors", "**/tuned-*.safetensors")


@dataclass(frozen=True)
class StageFolder:
    """A finished stage: where it lies, and the fingerprint of everything that went into it."""

    path: Path
    fingerprint: str

    @property
    def manifest(self) -> dict[str, Any]:
        """Stage, inputs, versions, files, seconds and peak memory, as `manifest.json` has them.

        The seconds of a training are those of all runs that went on with it, but one that was killed.
        """
        manifest: dict[str, Any] = read_json(self.path / _MANIFEST)
        return manifest

    def damage(self) -> str | None:
        """What is wrong with the folder: ``model/model.safetensors was changed``; None where it is whole."""
        try:
            listed = self.manifest["files"]
            return next((f"{name} was changed" for name in listed if not self._same(name, listed[name])), None)
        except (OSError, ValueError, KeyError, TypeError):
            return f"{_MANIFEST} cannot be read"

    def _same(self, name: str, fingerprint: str) -> bool:
        path = self.path / name
        return path.is_file() and fingerprint_file(path) == fingerprint


class Stages:
    """The stage folders of one run. A stage with the same inputs is reused; a killed one goes on where it was.

    Runs may share ``root``: a stage is made by one of them, and the others wait for it. What is whole in the
    folder ``earlier`` is reused from there, and nothing is written there; the stages named in ``finished`` must be
    there.
    """

    def __init__(
        self, root: Path, progress: Progress, earlier: Path | None = None, finished: Collection[str] = ()
    ) -> None:
        self.root, self._progress, self._earlier, self._finished = root, progress, earlier, finished
        self.used: list[StageFolder] = []
        self._whole: set[Path] = set()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BistilError(f"Cannot make the folder {root}: {error.strerror}. Choose another (out).") from error

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
        """The folder ``NAME-FINGERPRINT``, built by ``build(folder, progress)`` unless it is there already.

        ``name`` is one of `bistil.pipeline.stagecode`, whose code version counts. ``inputs`` is JSON-able and
        says all else that the result depends on; a `StageFolder` in it counts by its fingerprint. ``task`` is
        the name of the one that the stage is for, if any. A folder whose files are not those that were written
        is set aside and made again. An error removes what was built, unless a training could go on from it; an
        interruption keeps it for the next run to continue. Of several processes (`torchrun`) the first builds
        and the others wait, except that all build what they do ``together``.
        """
        folder, plain = self.folder(name, inputs)
        if self._earlier is not None:
            made = StageFolder(self._earlier / folder.path.name, folder.fingerprint)
            folder = made if self._is_whole(made) else folder
            if name in self._finished and folder is not made and not self._is_whole(folder):
                raise BistilError(
                    f"{self._earlier} holds no finished stage {folder.path.name}: it was deleted, its inputs have "
                    "changed, or another version made it. Distill again, or leave out the teacher."
                )
        if folder not in self.used:
            self.used.append(folder)
        if self._is_whole(folder):
            self._progress.reused(title)
            return folder
        partial = self.root / f".{folder.path.name}.partial"
        if process_index():
            if together:
                _wait_until(lambda: partial.exists() or self._is_whole(folder))
            if together and not self._is_whole(folder):
                with self._progress.stage(title, total, unit) as stage:
                    build(partial, stage)
            _wait_until(lambda: self._is_whole(folder))
            return folder
        with held(self.root / ".locks" / folder.path.name, title, self._progress.say):
            if self._is_whole(folder):
                self._progress.reused(title)
                return folder
            self._set_aside(folder, title)

            def make() -> None:
                started, earlier = time.monotonic(), _spent(partial)
                memory = self._built(partial, title, build, total, unit)
                (partial / _SPENT).unlink(missing_ok=True)
                manifest = {
                    "stage": name,
                    "title": title,
                    "task": task,
                    "fingerprint": folder.fingerprint,
                    "inputs": plain,
                    "files": fingerprints(partial),
                    "seconds": round(earlier + time.monotonic() - started, 1),
                    "memory_bytes": memory,
                }
                write_json(partial / _MANIFEST, json.loads(json.dumps(manifest, default=str)))
                partial.rename(folder.path)

            self._bring(folder, title, partial, make)
        self._whole.add(folder.path)
        return folder

    def _bring(self, folder: StageFolder, title: str, partial: Path, make: Callable[[], None]) -> None:
        """Makes a stage, for which there is room; a store may have it, or another machine make it."""
        make()

    def folder(self, name: str, inputs: Mapping[str, Any]) -> tuple[StageFolder, dict[str, Any]]:
        """Where a stage with these inputs lies once it is made, and the inputs as plain values."""
        plain = {
            key: value.fingerprint if isinstance(value, StageFolder) else value for key, value in inputs.items()
        }
        plain |= {"code": stage_code(name).said()}
        text = json.dumps([name, plain], sort_keys=True, default=str)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()
        return StageFolder(self.root / f"{name}-{fingerprint[:10]}", fingerprint), plain

    def _is_whole(self, folder: StageFolder) -> bool:
        """Whether a stage is there, with all of its files as they were written; judged once."""
        if folder.path not in self._whole and folder.path.exists() and folder.damage() is None:
            self._whole.add(folder.path)
        return folder.path in self._whole

    def _set_aside(self, folder: StageFolder, title: str) -> None:
        """Makes room for a stage whose folder is damaged; what lies in it may be somebody's, and stays."""
        if not folder.path.exists():
            return
        names = (folder.path.with_name(f".{folder.path.name}.damaged-{number}") for number in count(1))
        aside = next(name for name in names if not name.exists())
        self._progress.say(
            f"warning: {title}: {folder.path / str(folder.damage())} after it was made, so it is made again. "
            f"The damaged folder is now {aside}; delete it if nothing of yours is in it."
        )
        folder.path.rename(aside)

    def _built(
        self, partial: Path, title: str, build: Callable[[Path, Stage], None], total: int | None, unit: str
    ) -> int:
        """Builds, and returns the peak of the memory that it took in bytes."""
        started = time.monotonic()
        try:
            partial.mkdir(exist_ok=True)
            with _PeakMemory() as memory, self._progress.stage(title, total, unit) as stage:
                build(partial, stage)
        except BaseException as error:
            if any(found for pattern in _FINISHED for found in partial.glob(pattern)):
                with suppress(OSError):  # of a full disk
                    write_json(partial / _SPENT, _spent(partial) + time.monotonic() - started)
            elif isinstance(error, Exception):
                shutil.rmtree(partial, ignore_errors=True)
            problem = disk_problem(error)
            if problem is None or isinstance(error, BistilError):
                raise
            raise BistilError(
                f"{problem}: {title} could not write to {self.root}. Fix that and run again: "
                "what is finished is kept."
            ) from error
        return memory.peak


def _spent(partial: Path) -> float:
    """The seconds that runs which were interrupted had for what is there."""
    try:
        return float(read_json(partial / _SPENT))
    except (OSError, ValueError, TypeError):
        return 0.0


def _wait_until(there: Callable[[], bool]) -> None:
    """Until the first process has made something; should it fail, the launcher ends all of them."""
    while not there():
        time.sleep(0.2)


def fingerprint_delta(folder: Path) -> str:
    """The SHA-256 of the numbers of a sparse delta."""
    return fingerprint_file(folder / "sparse_delta.safetensors")


class _PeakMemory:
    """The largest resident size of this process while the block ran, sampled five times a second."""

    def __enter__(self) -> "_PeakMemory":
        self._process = psutil.Process(os.getpid())
        self.peak: int = self._process.memory_info().rss
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
