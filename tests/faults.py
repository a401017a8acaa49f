"""What a run survives: kills, full and read-only disks, damage, a second run, a clock set back.

    python -m tests.faults --times 5 [--only kill disk …] [--seed 0]

Each fault strikes a run of a tiny recipe at a random moment. Then the same command is given once more, and must
end with the weights, to the bit, and the scores of a run that nothing disturbed, with every file of the user's as
it was and nothing half-written left. The script says what it found, and ends with 1 where that was not so.

Every command is a process of its own, forked from this one, so that nothing is imported twice. Disks are small
tmpfs mounts, for which one must be root; the clock is Python's own (`time.time`), set back by a year.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
import transformers
from tests import tiny

from bistil import cli
from bistil.evaluation import efficiency
from bistil.pipeline import runs as pipeline
from bistil.pipeline.stages import Stages
from bistil.training import ticket
from bistil.training import trainer as training

# Where a kill strikes: by the titles of stages, and what else the child tells of.
PLACES = {
    "trim": "Trimming the vocabulary",
    "pack": "Packing the text",
    "distill": "General distillation",
    "full phase": "full",
    "sparse phase": "sparse",
    "score": "Evaluating: task student",
    "publish": "publish",
    "report": "report",
}
COMMAND = ("run", "../recipe.yaml", "--set", "out=.")
Patch = Callable[[], object]
MINE = {
    "notes.txt": "mine",
    "tasks/mine/train.jsonl": "mine",
    "stages/mine.txt": "mine",
    "recipe.yaml": "# mine\n",
}


class Run:
    """A command in a process of its own; tells in ``places`` where it is, and when."""

    def __init__(
        self,
        folder: Path,
        clock_back: bool = False,
        command: Sequence[str] = COMMAND,
        before: Patch = lambda: None,
    ) -> None:
        self.folder, self._log = folder, folder.parent / f"{folder.name}.log"
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self._text, self.places, self.status = b"", dict[str, float](), None
        self.process = os.fork()
        if not self.process:
            os.setpgid(0, 0)
            os.close(self._read)
            before()
            os._exit(_child(folder, self._log, write, clock_back, command))
        os.close(write)

    def watch(self) -> bool:
        """Whether it still runs; takes note of where it is."""
        with suppress(BlockingIOError):
            self._text += os.read(self._read, 1 << 16)
        *lines, self._text = self._text.split(b"\n")
        for line in lines:
            self.places.setdefault(line.decode(), time.monotonic())
        if self.status is None:
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    def reach(self, place: str) -> bool:
        """Waits until it is at a place; False if it ended before."""
        while place not in self.places:
            if not self.watch():
                return False
            time.sleep(0.001)
        return True

    def end(self) -> int:
        """Waits for it; the exit status, negative for a signal."""
        while self.watch():
            time.sleep(0.01)
        assert self.status is not None
        return self.status

    def kill(self) -> None:
        """SIGKILL, if it has not ended."""
        if self.watch():
            os.kill(self.process, signal.SIGKILL)
        self.end()

    @property
    def said(self) -> str:
        """All that it printed."""
        return self._log.read_text(encoding="utf-8")


def _child(folder: Path, log: Path, pipe: int, clock_back: bool, command: Sequence[str]) -> int:
    def at(place: str) -> None:
        os.write(pipe, f"{place}\n".encode())

    def telling(place: Callable[..., str], call: Callable[..., Any]) -> Callable[..., Any]:
        def told(*positional: Any, **named: Any) -> Any:
            at(place(*positional, **named))
            return call(*positional, **named)

        return told

    Stages.make = telling(lambda _, name, title, *a, **k: title, Stages.make)  # type: ignore[method-assign]
    ticket.Phase = telling(lambda name, *a: name, ticket.Phase)  # type: ignore[misc]
    pipeline.publish = telling(lambda *a: "publish", pipeline.publish)
    pipeline.write_report = telling(lambda *a: "report", pipeline.write_report)
    efficiency.peak_memory = lambda *a, **k: 0  # two processes for each model, which are not in question here
    training._CHECKPOINT_SECONDS = 0.0  # a checkpoint at every step
    if clock_back:
        now = time.time
        time.time = lambda: now() - 365 * 86_400
    with log.open("w", encoding="utf-8") as stream:
        sys.stdout = sys.stderr = stream
        os.chdir(folder)
        try:
            return cli.main(list(command))
        except SystemExit as error:
            return int(error.code or 0)
        except BaseException:
            import traceback

            traceback.print_exc()
            return 99


def outcome(folder: Path) -> dict[str, str]:
    """Weights and scores of what was published, as hashes."""
    found = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in ("student", "tasks/food")
        for path in sorted((folder / name).glob("*.safetensors"))
    }
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    scores = [report["tasks"], report["distillation"]["curve"], report["vocabulary"]]
    return found | {"scores": hashlib.sha256(json.dumps(scores).encode()).hexdigest()}


class Faults:
    """All faults, in folders below ``root``."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.chance = root, random.Random(seed)
        lines = tiny.lines()
        teacher = tiny.teacher(root / "teacher", tiny.tokenizer(lines))
        (root / "data").mkdir()
        recipe = tiny.experiment(root / "data", lines, teacher) | {"seeds": [0]}
        (root / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
        self.folder("undisturbed")
        run = Run(root / "undisturbed")
        if run.end():
            sys.exit(f"The undisturbed run failed:\n{run.said}")
        self.expected = outcome(run.folder)
        starts = [*sorted(run.places.values()), time.monotonic()]
        self.lasts = {place: starts[starts.index(at) + 1] - at for place, at in run.places.items()}
        self.bytes = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())

    def folder(self, name: str) -> Path:
        """A new output folder with files of the user's in it."""
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        self.fill(folder)
        return folder

    def fill(self, folder: Path) -> None:
        """The user's files."""
        for name, text in MINE.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")

    def strike(self, run: Run, place: str) -> None:
        """Waits for a random moment at a place."""
        if run.reach(PLACES.get(place, place)):
            time.sleep(self.chance.uniform(0, self.lasts[PLACES.get(place, place)]))

    def check(self, folder: Path, clock_back: bool = False) -> str:
        """Gives the command again; what is wrong after it, or nothing."""
        run = Run(folder, clock_back)
        if status := run.end():
            return f"the same command ended with {status}: {run.said[-2000:]}"
        return self.wrong(folder)

    def wrong(self, folder: Path) -> str:
        """What is wrong with a folder in which a run has ended well."""
        if (found := outcome(folder)) != self.expected:
            return (
                f"not the results of the undisturbed run: {[k for k in found if found[k] != self.expected.get(k)]}"
            )
        if changed := [name for name, text in MINE.items() if (folder / name).read_text(encoding="utf-8") != text]:
            return f"the user's {changed[0]} was changed"
        half = [*folder.rglob(".*.partial"), *folder.rglob(".*.old"), *folder.rglob("checkpoint-*")]
        return f"half-written: {half[0]}" if half else ""

    def kill(self, number: int) -> Iterator[tuple[str, str]]:
        """SIGKILL at a random moment of each place."""
        for place in PLACES:
            folder = self.folder(f"kill-{place}-{number}")
            run = Run(folder)
            self.strike(run, place)
            run.kill()
            yield f"SIGKILL, {place}", self.check(folder)

    def checkpoint(self, number: int) -> Iterator[tuple[str, str]]:
        """SIGKILL, and a file of the checkpoint that it left cut off."""
        for place in ("distill", "sparse phase"):
            folder = self.folder(f"checkpoint-{place}-{number}")
            run = Run(folder)
            self.strike(run, place)
            run.kill()
            if files := [path for path in folder.rglob("checkpoint-*/*") if path.stat().st_size]:
                self.cut(self.chance.choice(files))
            yield f"truncated checkpoint, {place}", self.check(folder)

    def cut(self, path: Path) -> None:
        """Leaves a random part of a file's beginning."""
        os.truncate(path, self.chance.randrange(path.stat().st_size))

    def damage(self, number: int) -> Iterator[tuple[str, str]]:
        """A random file of a finished stage cut off."""
        folder = self.root / f"damage-{number}"
        shutil.copytree(self.root / "undisturbed", folder)
        files = [path for path in folder.glob("stages/*-*/**/*") if path.is_file() and path.stat().st_size]
        chosen = self.chance.choice(sorted(files))
        self.cut(chosen)
        wrong = self.check(folder)
        yield "truncated artefact", wrong and f"{chosen.relative_to(folder)}: {wrong}"

    def two(self, number: int) -> Iterator[tuple[str, str]]:
        """Two runs in one folder at a random distance: one works, the other says who does."""
        folder = self.folder(f"two-{number}")
        first = Run(folder)
        time.sleep(self.chance.uniform(0, sum(self.lasts.values()) / 2))
        log = folder.parent / f"{folder.name}.log"
        log.rename(log.with_suffix(".first"))  # the first writes on where it did
        second = Run(folder)
        statuses = {first.end(), second.end()}
        told = second.said + log.with_suffix(".first").read_text(encoding="utf-8")
        if not statuses <= {0, 2} or 0 not in statuses or (2 in statuses and "is held by process" not in told):
            yield "two runs at once", f"they ended with {statuses}: {told[-2000:]}"
        else:
            yield "two runs at once", self.wrong(folder)

    def clock(self, number: int) -> Iterator[tuple[str, str]]:
        """SIGKILL, and the same command with a clock that is a year behind."""
        folder = self.folder(f"clock-{number}")
        run = Run(folder)
        self.strike(run, self.chance.choice([*PLACES]))
        run.kill()
        yield "clock set back", self.check(folder, clock_back=True)

    def full(self, number: int) -> Iterator[tuple[str, str]]:
        """A disk that has room for a part of what a run writes."""
        size = int(self.bytes * self.chance.uniform(0.02, 0.95))
        with disk(self.root / f"full-{number}", size) as folder:
            self.fill(folder)
            run = Run(folder)
            status, wrong = run.end(), ""
            if status == 0:
                wrong = self.wrong(folder)
            elif status != 2 or "No space left on the disk" not in run.said:
                wrong = f"ended with {status}: {run.said[-2000:]}"
            mount(folder, f"remount,size={20 * self.bytes}")
            yield "disk full", wrong or self.check(folder)

    def readonly(self, number: int) -> Iterator[tuple[str, str]]:
        """A disk that becomes read-only at a random moment."""
        with disk(self.root / f"readonly-{number}", 20 * self.bytes) as folder:
            self.fill(folder)
            run = Run(folder)
            self.strike(run, self.chance.choice([*PLACES]))
            while not mount(folder, "remount,ro") and run.watch():  # the kernel refuses while a file is written
                time.sleep(0.001)
            status, wrong = run.end(), ""
            if status not in (0, 2) or (status == 2 and "read-only" not in run.said.lower()):
                wrong = f"ended with {status}: {run.said[-2000:]}"
            mount(folder, "remount,rw")
            yield "folder read-only", wrong or self.check(folder)


def mount(folder: Path, options: str) -> bool:
    """Whether it could be."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Path]:
    """A tmpfs of so many bytes."""
    folder.mkdir()
    if not mount(folder, f"size={max(size, 1 << 16)}"):
        raise PermissionError("a tmpfs cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


FAULTS = ("kill", "checkpoint", "damage", "two", "clock", "full", "readonly")


def main() -> int:
    """All faults so many times, and a table of what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--only", nargs="*", choices=FAULTS, default=FAULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)  # also because a fork has none of this process's other threads
    transformers.logging.set_verbosity_error()
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="faults-") as root:
        faults = Faults(Path(root), options.seed)
        for number in range(options.times):
            for name in options.only:
                try:
                    for fault, wrong in getattr(faults, name)(number):
                        found.setdefault(fault, []).append(wrong)
                        print(f"{number + 1}  {fault}: {wrong or 'as undisturbed'}", flush=True)
                except PermissionError as error:
                    print(f"{number + 1}  {name}: not tried, {error}", flush=True)
    print(f"\nseed {options.seed}\n{'fault':<36}{'times':>6}{'wrong':>6}")
    for fault, results in found.items():
        print(f"{fault:<36}{len(results):>6}{sum(map(bool, results)):>6}")
    return int(any(any(results) for results in found.values()))


if __name__ == "__main__":
    sys.exit(main())
