"""What a fleet survives: kills of its processes, full disks, failing stores, damage, two drivers, a paused owner.

    python -m tests.fleetfaults --times 5 [--only worker store …] [--seed 0]

Each fault strikes a fleet of a tiny matrix at a random moment. Then the same command is given once more where the
first did not end well, and must end with the weights of all stages, to the bit, of a fleet that nothing disturbed.
The store must have no unfinished file of more than 1 MB once it was pruned, and nothing that claims to be whole
and is not. The script says what it found, and ends with 1 where that was not so. Disks are small tmpfs mounts, for
which one must be root.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil
import torch
import transformers
from tests import tiny
from tests.faults import Patch, Run, disk, mount

from bistil.files import fingerprint_file
from bistil.fleet import stages
from bistil.fleet.pruning import prune
from bistil.fleet.store import Store

STALE = 2.0  # seconds
ORPHAN = 1_000_000  # bytes
# Measuring memory takes two processes a model, which are not in question here; checkpoints are left at every step.
PATCHES = """
import importlib.abc, importlib.machinery, sys

VALUES = {
    "bistil.evaluation.efficiency": {"peak_memory": lambda *a, **k: 0},
    "bistil.training.trainer": {"_CHECKPOINT_SECONDS": 0.0},
}

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name not in VALUES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def patched(module):
            run(module)
            vars(module).update(VALUES[name])
        spec.loader.exec_module = patched
        return spec

sys.meta_path.insert(0, Finder())
"""


def leases() -> None:
    """Owners are gone after two seconds, and checkpoints are uploaded every half."""
    stages.StoredStages.__init__.__defaults__ = (STALE, 0.5)


def failing_uploads(chance: random.Random) -> Patch:
    """Every twelfth upload breaks off half-way."""
    put = Store.put

    def patch() -> None:
        leases()

        def broken(self, key, folder, kind="artefacts"):
            whole = self.files.put_file

            def half(source, target, **options):
                if chance.random() < 1 / 12:
                    with open(source, "rb") as file:
                        self.files.pipe_file(target, file.read(os.path.getsize(source) // 2))
                    raise TimeoutError("the connection was lost")
                return whole(source, target, **options)

            self.files.put_file = half
            try:
                return put(self, key, folder, kind)
            finally:
                self.files.put_file = whole

        Store.put = broken

    return patch


class Faults:
    """All faults, in folders below ``root``."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.chance = root, random.Random(seed)
        lines = tiny.lines()
        (root / "data").mkdir()
        (root / "patches").mkdir()
        (root / "patches/sitecustomize.py").write_text(PATCHES, encoding="utf-8")
        os.environ["PYTHONPATH"] = f"{root / 'patches'}:{os.environ.get('PYTHONPATH', '')}"
        values = tiny.matrix(root / "data", lines, tiny.teacher(root / "teacher", tiny.tokenizer(lines)))
        values |= {"languages": {"tr": values["languages"]["tr"]}, "students": {"half": {}}}
        (root / "matrix.yaml").write_text(json.dumps(values), encoding="utf-8")
        run = self.run("undisturbed", "--workers", "1")
        started = time.monotonic()
        if run.end():
            sys.exit(f"The undisturbed fleet failed:\n{run.said}")
        self.seconds = time.monotonic() - started
        self.expected = self.weights(run.folder)
        self.bytes = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())

    def run(self, name: str, *options: str, before: Patch = leases) -> Run:
        """A fleet in a folder of that name."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        return Run(folder, command=["fleet", "../matrix.yaml", "--out", ".", *options], before=before)

    def weights(self, folder: Path) -> dict[str, str]:
        """Of all stages and of what was published, as hashes."""
        found = sorted(folder.glob("stages/*-*/**/*.safetensors")) + sorted(folder.glob("tr/**/*.safetensors"))
        return {str(path.relative_to(folder)): fingerprint_file(path) for path in found}

    def moment(self) -> None:
        """Some time in which a fleet works."""
        time.sleep(self.chance.uniform(0.1, 1.0) * self.seconds)

    def check(self, name: str, *options: str) -> str:
        """Gives the command again; what is wrong after it, or nothing."""
        run = self.run(name, *options)
        if status := run.end():
            return f"the same command ended with {status}: {run.said[-2000:]}"
        return self.wrong(name)

    def wrong(self, name: str, store: str | None = None) -> str:
        """What is wrong with a folder, and with a store, after a fleet has ended well."""
        folder = self.root / name
        if (found := self.weights(folder)) != self.expected:
            return f"other weights: {[key for key in self.expected if found.get(key) != self.expected[key]][:3]}"
        forms = (".*.partial", ".*.transfer", ".*.old", "checkpoint-*")
        if half := [path for form in forms for path in folder.rglob(form)]:
            return f"half-written: {half[0]}"
        where = self.root / f"{name}-store" if store is None else Path(store)
        if not where.exists():
            return ""
        opened = Store(str(where))
        for key in opened.entries():
            for artefact in opened.whole(key):
                if damage := opened.damage(artefact):
                    return f"the store says that {key} is whole: {damage}"
        prune(opened, timedelta(0))
        needed = {f"{path.rpartition('/')[2]}" for path in opened.listed("artefacts")}
        left = sum(opened.size(path) for kind in ("checkpoints", "leases") for path in opened.listed(kind))
        return f"{left} bytes are left beside {len(needed)} stages" if left > ORPHAN else ""

    def worker(self, number: int) -> Iterator[tuple[str, str]]:
        """SIGKILL of one of two worker processes."""
        name = f"worker-{number}"
        run = self.run(name, "--workers", "2")
        if not self.until(run, lambda: self.spawned(run)):
            yield "SIGKILL of a worker", f"ended: {run.said[-500:]}"
            return
        self.moment()
        if victims := self.spawned(run):
            self.chance.choice(victims).kill()
        yield (
            "SIGKILL of a worker",
            (f"ended with failures: {run.said[-2000:]}" if run.end() else self.wrong(name)),
        )

    def spawned(self, run: Run) -> list[psutil.Process]:
        """The workers of a driver."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(run.process).children()
            return [one for one in children if "spawn_main" in " ".join(one.cmdline())]
        return []

    def until(self, run: Run, there) -> bool:
        """Waits for something that a fleet does; False if it ended before."""
        while not there():
            if not run.watch():
                return False
            time.sleep(0.05)
        return True

    def driver(self, number: int) -> Iterator[tuple[str, str]]:
        """SIGKILL of the driver, whose store has part of it; then the same command."""
        name = f"driver-{number}"
        store = ("--workers", "1", "--store", f"../{name}-store")
        run = self.run(name, *store)
        self.moment()
        run.kill()
        yield "SIGKILL of the driver", self.check(name, *store)

    def rayhead(self, number: int) -> Iterator[tuple[str, str]]:
        """SIGKILL of Ray's head; then the same command."""
        name = f"rayhead-{number}"
        run = self.run(name, "--workers", "2", "--ray")

        def heads() -> list[psutil.Process]:
            with suppress(psutil.NoSuchProcess):
                children = psutil.Process(run.process).children(recursive=True)
                return [one for one in children if one.name().startswith("gcs_server")]
            return []

        self.until(run, heads)
        self.until(run, lambda: list(run.folder.glob("stages/.*.partial")))
        self.moment()
        with suppress(psutil.NoSuchProcess):
            for head in heads():
                head.kill()
        deadline = time.monotonic() + 120
        while run.watch() and time.monotonic() < deadline:
            time.sleep(0.1)
        late = run.watch()
        run.kill()
        wrong = self.check(name, "--workers", "2", "--ray")
        yield "SIGKILL of the Ray head", wrong or ("the driver waited for two minutes" if late else "")

    def training(self, number: int) -> Iterator[tuple[str, str]]:
        """SIGKILL of one of two processes on one distillation, which goes on from a checkpoint."""
        name = f"training-{number}"
        options = ("--workers", "1", "--set", "resources.processes=2", "--set", "distill.tokens=8192")
        run = self.run(name, *options)
        there = self.until(run, lambda: list(run.folder.glob("stages/.distill-*.partial/checkpoint-*")))
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(run.process).children(recursive=True)
            trained = [one for one in children if "bistil.fleet.work" in one.cmdline() and "RANK" in one.environ()]
            if trained:
                self.chance.choice(trained).kill()
        status = run.end()
        if not there or not trained:
            yield "SIGKILL of a training process", f"it was not struck: {run.said[-500:]}"
        elif status:
            yield "SIGKILL of a training process", f"ended with {status}: {run.said[-2000:]}"
        else:
            curve = self.curve_of(run)
            self.curve = getattr(self, "curve", None) or self.undisturbed_curve(options)
            close = all(
                abs(one[key] - other[key]) < 1e-4
                for one, other in zip(curve, self.curve, strict=True)
                for key in one
            )
            yield "SIGKILL of a training process", "" if close else "another curve than the undisturbed one"

    def undisturbed_curve(self, options) -> list[dict[str, float]]:
        """The held-out loss of the same distillation, undisturbed."""
        run = self.run("undisturbed-training", *options)
        run.end()
        return self.curve_of(run)

    def curve_of(self, run: Run) -> list[dict[str, float]]:
        """The held-out loss of a fleet's one distillation."""
        (path,) = run.folder.glob("stages/distill-*/distillation.json")
        return json.loads(path.read_text())["curve"]

    def full(self, number: int) -> Iterator[tuple[str, str]]:
        """A disk that has room for a part of what a fleet writes."""
        with disk(self.root / f"full-{number}", int(self.bytes * self.chance.uniform(0.02, 0.9))) as folder:
            run = self.run(folder.name, "--workers", "1")
            status = run.end()
            wrong = ""
            if status and "No space left on the disk" not in run.said:
                wrong = f"ended with {status}: {run.said[-2000:]}"
            mount(folder, f"remount,size={20 * self.bytes}")
            yield "disk full", wrong or self.check(folder.name, "--workers", "1")

    def fullstore(self, number: int) -> Iterator[tuple[str, str]]:
        """The same of the store's disk."""
        name = f"fullstore-{number}"
        with disk(self.root / f"{name}-store", int(self.bytes * self.chance.uniform(0.02, 0.6))) as store:
            options = ("--workers", "1", "--store", f"../{store.name}")
            run = self.run(name, *options)
            status, wrong = run.end(), ""
            if status and "No space left on the disk" not in run.said:
                wrong = f"ended with {status}: {run.said[-2000:]}"
            mount(store, f"remount,size={20 * self.bytes}")
            yield "disk of the store full", wrong or self.check(name, *options)

    def store(self, number: int) -> Iterator[tuple[str, str]]:
        """A store whose uploads fail half-way, until the same command has ended well."""
        name = f"store-{number}"
        options, status = ("--workers", "1", "--store", f"../{name}-store"), 1
        for _ in range(20):
            run = self.run(name, *options, before=failing_uploads(random.Random(self.chance.random())))
            if (status := run.end()) == 0:
                break
            if status != 1 or "cannot be written to" not in run.said:
                yield "upload that fails half-way", f"ended with {status}: {run.said[-2000:]}"
                return
        yield "upload that fails half-way", "it never ended well" if status else self.wrong(name)

    def artefact(self, number: int) -> Iterator[tuple[str, str]]:
        """A random file in the store with a byte changed; then a fleet of another machine."""
        name = f"artefact-{number}"
        store = self.root / f"{name}-store"
        self.run(f"{name}-first", "--workers", "1", "--store", f"../{store.name}").end()
        files = [path for path in store.glob("artefacts/*/*/**/*") if path.is_file() and path.stat().st_size]
        chosen = self.chance.choice(sorted(files))
        content = bytearray(chosen.read_bytes())
        content[self.chance.randrange(len(content))] ^= 0xFF
        chosen.write_bytes(content)
        wrong = self.check(name, "--workers", "1", "--store", f"../{store.name}")
        yield "corrupted artefact", wrong and f"{chosen.relative_to(store)}: {wrong}"

    def two(self, number: int) -> Iterator[tuple[str, str]]:
        """Two drivers on one store at a random distance."""
        names, options = (
            [f"two-{number}-{one}" for one in "ab"],
            ("--workers", "1", "--store", f"../two-{number}-store"),
        )
        first = self.run(names[0], *options)
        time.sleep(self.chance.uniform(0, self.seconds / 2))
        second = self.run(names[1], *options)
        statuses = [first.end(), second.end()]
        if statuses != [0, 0]:
            yield "two drivers on one store", f"ended with {statuses}: {first.said[-1000:]} {second.said[-1000:]}"
            return
        store = str(self.root / f"two-{number}-store")
        twice = [key for key in Store(store).entries() if len(Store(store).whole(key)) > 1]
        wrong = f"made twice: {twice}" if twice else ""
        yield "two drivers on one store", wrong or self.wrong(names[0], store) or self.wrong(names[1], store)

    def paused(self, number: int) -> Iterator[tuple[str, str]]:
        """An owner that is stopped for longer than its lease, while another takes over, and then wakes."""
        names = [f"paused-{number}-{one}" for one in "ab"]
        options = ("--workers", "1", "--store", f"../paused-{number}-store")
        first = self.run(names[0], *options)
        self.until(first, lambda: list(first.folder.glob("stages/.*.partial")))
        time.sleep(self.chance.uniform(0, 0.7) * self.seconds)
        with suppress(ProcessLookupError):
            os.kill(first.process, signal.SIGSTOP)
        second = self.run(names[1], *options)
        status = second.end()
        with suppress(ProcessLookupError):
            os.kill(first.process, signal.SIGCONT)
        statuses = [first.end(), status]
        store = str(self.root / f"paused-{number}-store")
        wrong = f"ended with {statuses}: {first.said[-1000:]} {second.said[-1000:]}" if any(statuses) else ""
        yield "owner paused, then awake", wrong or self.wrong(names[0], store) or self.wrong(names[1], store)


FAULTS = (*("worker", "driver", "rayhead", "training", "full", "fullstore", "store", "artefact", "two", "paused"),)


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
    with tempfile.TemporaryDirectory(prefix="fleetfaults-") as root:
        faults = Faults(Path(root), options.seed)
        for name in options.only:
            for number in range(options.times):
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
