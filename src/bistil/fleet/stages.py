"""Stages that several machines share through a store; the local folder is a cache in front of it."""

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from bistil.errors import BistilError
from bistil.files import system_problem
from bistil.fleet.lease import STALE, Lease, turn
from bistil.fleet.store import Store
from bistil.launch import process_index
from bistil.pipeline.stages import StageFolder, Stages
from bistil.progress import Progress, Stage
from bistil.training.checkpoints import needed, newest_checkpoint

_PHASE = re.compile(r"(positions|tuned)-\d+\.safetensors$")
_CHECKPOINT = re.compile(r"checkpoint-(\d+)/trainer_state\.json$")
_APART = 300.0  # seconds between two checkpoints that are uploaded; each has two moments beside the weights


class StoredStages(Stages):
    """Stages in a local folder, each fetched from the store if it is there, else made by one machine and uploaded.

    A training that another machine began goes on from the last checkpoint that it uploaded.

    Args:
        root: the local folder.
        progress: what is shown.
        store: the shared one.
        stale: seconds without a heartbeat after which another machine takes over.
        apart: seconds between two uploads of checkpoints.
    """

    def __init__(
        self, root: Path, progress: Progress, store: Store, stale: float = STALE, apart: float = _APART
    ) -> None:
        store.prepare()
        super().__init__(root, progress)
        self._store, self._stale, self._apart = store, stale, apart
        self._shared: set[str] = set()

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
        """As `Stages.make`; what lies here alone, as after an upload that failed, is uploaded."""
        folder = super().make(name, title, inputs, build, total, unit, together, task)
        if folder.path.name not in self._shared and not process_index():
            if not self._store.whole(folder.path.name):
                self._upload(folder)
            self._shared.add(folder.path.name)
        return folder

    def _bring(self, folder: StageFolder, title: str, partial: Path, make: Callable[[], None]) -> None:
        key = folder.path.name
        shutil.rmtree(_transfer(partial), ignore_errors=True)  # of a run that was killed

        def warn(why: str) -> None:
            self._progress.say(f"warning: {title}: the last checkpoint was not uploaded: {why}")

        while not self._fetched(folder, title, partial):
            with turn(
                self._store, key, title, self._progress.say, lambda: bool(self._store.whole(key)), self._stale
            ) as lease:
                if lease is None:
                    continue
                self._go_on(key, partial)
                with _Uploads(self._store, key, partial, lease, self._apart, warn):
                    make()
                self._publish(folder, lease)
                return
        shutil.rmtree(partial, ignore_errors=True)  # begun here, and finished elsewhere

    def _fetched(self, folder: StageFolder, title: str, partial: Path) -> bool:
        """Fetches a stage that is in the store; what is damaged there is removed, to be made again."""
        transfer = _transfer(partial)
        fetched = StageFolder(transfer, folder.fingerprint)
        for artefact in self._store.whole(folder.path.name):
            wrong = self._store.fetch(artefact, transfer)
            whole = wrong is None and fetched.damage() is None
            if whole and fetched.manifest.get("fingerprint") == folder.fingerprint:
                transfer.rename(folder.path)
                self._progress.say(f"{title}: fetched")
                return True
            shutil.rmtree(transfer, ignore_errors=True)
            self._progress.say(
                f"warning: {title}: in the store {wrong or 'it is another stage'}; it is made again."
            )
            self._store.remove(artefact)
        return False

    def _publish(self, folder: StageFolder, lease: Lease) -> None:
        if not (lease.lost and self._store.whole(folder.path.name)):
            self._upload(folder)
        self._shared.add(folder.path.name)

    def _upload(self, folder: StageFolder) -> None:
        """A whole stage, which needs no checkpoints any more."""
        key = folder.path.name
        self._store.put(key, folder.path)
        for left in self._store.whole(key, "checkpoints"):
            self._store.remove(left)

    def _go_on(self, key: str, partial: Path) -> None:
        """Takes what another machine has uploaded of a training, unless one has come as far here."""
        here = _reached(one.relative_to(partial).as_posix() for one in partial.rglob("*"))
        for artefact in reversed(self._store.whole(key, "checkpoints")):
            if partial.exists() and _reached(artefact.files) <= here:
                return
            if self._store.fetch(artefact, _transfer(partial)) is None:
                shutil.rmtree(partial, ignore_errors=True)
                _transfer(partial).rename(partial)
                return
            self._store.remove(artefact)


def _reached(files: Iterable[str]) -> tuple[int, int]:
    """How far a training has come by what it left: its finished phases, and the step of the last checkpoint.

    Example: ``_reached(["positions-1.safetensors", "sparse-1/checkpoint-90/trainer_state.json"])`` is (1, 90).
    """
    names = [*files]
    phases = [name for name in names if _PHASE.search(name)]
    steps = [int(found[1]) for name in names if (found := _CHECKPOINT.search(name))]
    return len(phases), max(steps, default=0)


def _transfer(partial: Path) -> Path:
    """Where a stage lies on its way from the store, and what a training goes on from on its way to it."""
    return partial.with_suffix(".transfer")


def stored(url: str, out: Path, progress: Progress) -> StoredStages:
    """The stages of a recipe's ``out``, shared through the store at a URL or in a folder."""
    return StoredStages(out / "stages", progress, Store(url))


class _Uploads:
    """Inside the block, uploads what a training has left to go on from, as often as there is something newer.

    Where the block is left by an interruption, also at its end. A first upload that fails is said.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        partial: Path,
        lease: Lease,
        apart: float,
        warn: Callable[[str], None],
    ) -> None:
        self._store, self._key, self._partial, self._lease = store, key, partial, lease
        self._apart, self._warn, self._warned = apart, warn, False
        self._last: Path | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is not None and not isinstance(error, Exception):
            self._upload()

    def _watch(self) -> None:
        while not self._stop.wait(self._apart):
            self._upload()

    def _upload(self) -> None:
        """The folder as it is now. A try that fails does the training no harm; the next may succeed."""
        transfer = _transfer(self._partial)
        try:
            trainings = {found.parent.parent for found in self._partial.rglob("trainer_state.json")}
            whole = [one for place in trainings if (one := newest_checkpoint(place)) is not None]
            last = max(whole, key=lambda one: one.stat().st_mtime, default=None)
            if last is None or last == self._last or self._lease.lost:
                return
            self._copy({one for own in whole for one in needed(own)}, transfer)
            if newest_checkpoint(transfer / last.relative_to(self._partial).parent) is None:
                return  # it was removed meanwhile
            made = self._store.put(self._key, transfer, "checkpoints")
            self._last = last
            for older in self._store.whole(self._key, "checkpoints"):
                if older.attempt != made.attempt:
                    self._store.remove(older)
        except FileNotFoundError:  # so was this
            pass
        except (OSError, BistilError) as error:
            if not self._warned:
                self._warned = True
                known = system_problem(error) if isinstance(error, OSError) else None
                self._warn(known or str(error))
        finally:
            shutil.rmtree(transfer, ignore_errors=True)

    def _copy(self, checkpoints: Collection[Path], folder: Path) -> None:
        """Copies what lies beside checkpoints, and links these, which are large and never change."""
        for path in self._partial.rglob("*"):
            own = path.relative_to(self._partial)
            whole = any(one in checkpoints for one in path.parents)
            half = not whole and any(part.startswith("checkpoint-") for part in own.parts)
            if half or path.name.startswith(".") or not path.is_file():  # what is hidden is being written
                continue
            copy = folder / own
            copy.parent.mkdir(parents=True, exist_ok=True)
            if whole:
                with contextlib.suppress(OSError):  # of a file system without links
                    os.link(path, copy)
                    continue
            shutil.copy2(path, copy)
