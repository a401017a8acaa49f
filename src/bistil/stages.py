"""Stages: one folder each, whole or absent, never computed twice."""

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from bistil.errors import BistilError
from bistil.launch import process_index
from bistil.progress import Progress, Stage

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class StageFolder:
    """A finished stage: where it lies, and the fingerprint of everything that went into it."""

    path: Path
    fingerprint: str

    @property
    def manifest(self) -> dict[str, Any]:
        """Stage, inputs, versions, seconds and peak memory, as `manifest.json` has them."""
        manifest: dict[str, Any] = read_json(self.path / _MANIFEST)
        return manifest


class Stages:
    """The stage folders of one run. A stage with the same inputs is reused; a killed one goes on where it was."""

    def __init__(self, root: Path, progress: Progress) -> None:
        self.root, self._progress = root, progress
        self.used: list[StageFolder] = []
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

        ``inputs`` is JSON-able and says all that the result depends on; a `StageFolder` in it counts by its
        fingerprint. ``task`` is the name of the one that the stage is for, if any. An error removes what was
        built, unless a checkpoint is in it; an interruption keeps it for the next run to continue. Of several
        processes (`torchrun`) the first builds and the others wait, except that all build what they do
        ``together``.
        """
        folder, plain = self.folder(name, inputs)
        if folder not in self.used:
            self.used.append(folder)
        if folder.path.exists():
            self._progress.reused(title)
            return folder
        partial = self.root / f".{folder.path.name}.partial"
        if process_index():
            if together:
                _wait_for(partial)
                with self._progress.stage(title, total, unit) as stage:
                    build(partial, stage)
            _wait_for(folder.path)
            return folder
        partial.mkdir(exist_ok=True)
        started = time.monotonic()
        try:
            with _PeakMemory() as memory, self._progress.stage(title, total, unit) as stage:
                build(partial, stage)
        except Exception:
            if not any(partial.glob("**/checkpoint-*")):
                shutil.rmtree(partial)
            raise
        manifest = {
            "stage": name,
            "title": title,
            "task": task,
            "fingerprint": folder.fingerprint,
            "inputs": plain,
            "versions": {
                package: version(package) for package in ("bistil", "torch", "transformers", "tokenizers")
            },
            "seconds": round(time.monotonic() - started, 1),
            "memory_bytes": memory.peak,
        }
        (partial / _MANIFEST).write_text(json.dumps(manifest, indent=2, default=str) + "\n")
        partial.rename(folder.path)
        return folder

    def folder(self, name: str, inputs: Mapping[str, Any]) -> tuple[StageFolder, dict[str, Any]]:
        """Where a stage with these inputs lies once it is made, and the inputs as plain values."""
        plain = {
            key: value.fingerprint if isinstance(value, StageFolder) else value for key, value in inputs.items()
        }
        plain["bistil"] = version("bistil")
        text = json.dumps([name, plain], sort_keys=True, default=str)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()
        return StageFolder(self.root / f"{name}-{fingerprint[:10]}", fingerprint), plain


def _wait_for(folder: Path) -> None:
    """Until the first process has made a folder; should it fail, the launcher ends all of them."""
    while not folder.exists():
        time.sleep(0.2)


def fingerprint_file(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_delta(folder: Path) -> str:
    """The SHA-256 of the numbers of a sparse delta."""
    return fingerprint_file(folder / "sparse_delta.safetensors")


def publish(folder: Path, where: Path) -> None:
    """Puts a copy of a folder in its public place, whole or not at all."""
    fresh = where.with_name(f".{where.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(folder, fresh)
    shutil.rmtree(where, ignore_errors=True)
    fresh.rename(where)


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


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
