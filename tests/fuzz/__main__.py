"""Fuzzing of every reader for long, with other inputs each time.

    python -m tests.fuzz --minutes 60 [--into fuzz-findings] [--readers recipe delta]

The minutes are processor time. Each reader has its turn in its own process, so that a crash is a finding, too.
After each round a table says, for each reader, how many inputs were tried, how many of them it took, how many
different failures there were and how much memory it had at most. The smallest input of each failure is saved with
its traceback in the folder.
"""

import argparse
import multiprocessing
import os
import resource
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.fuzz.inputs import Folder
from tests.fuzz.readers import READERS, Reader
from tests.fuzz.tried import TooLong, attempt, peak, workplace, write

SLICE = 5.0  # seconds of processor time for each turn
SPARE = 4 << 30  # bytes a turn may ask for beyond what it starts with


def main() -> None:
    """Turns until the minutes are over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--into", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--readers", nargs="*", default=[reader.name for reader in READERS])
    options = parser.parse_args()
    chosen = [reader for reader in READERS if reader.name in options.readers]
    totals: dict[str, Counter[str]] = {reader.name: Counter() for reader in chosen}
    used = 0.0
    while used < 60 * options.minutes:
        for reader in chosen:
            totals[reader.name] = _added(totals[reader.name], _turn(reader, options.into))
        used = sum(total["milliseconds"] for total in totals.values()) / 1000
        _print(totals, used, options.into)


def _turn(reader: Reader, into: Path) -> Counter[str]:
    """One turn of a reader in a process of its own."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    with workplace() as folder:
        process = context.Process(target=_work, args=(reader, folder, into, there))
        process.start()
        there.close()
        try:
            result: Counter[str] = here.recv() if here.poll(30 * SLICE) else Counter(hangs=1)
        except EOFError:
            result = Counter(crashes=1)
        if result["hangs"] or result["crashes"]:
            process.kill()
            _keep(folder / f"input{reader.suffix}", into / f"{reader.name}-killed-{time.time():.0f}")
        process.join()
    return result


def _work(reader: Reader, folder: Path, into: Path, there: Any) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    here = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (here + SPARE, resource.RLIM_INFINITY))
    done: Counter[str] = Counter()
    start = time.process_time()

    @settings(
        max_examples=200,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def tried(data: Any) -> None:
        content = data.draw(reader.inputs())
        if time.process_time() - start > SLICE:
            return
        done["inputs"] += 1
        try:
            done["taken"] += attempt(reader, content, folder)
        except (Exception, TooLong) as error:
            done["failures"] += 1
            _save(reader, content, error, into)

    while time.process_time() - start < SLICE:
        seed(int.from_bytes(os.urandom(8), "big"))(tried)()
    done["peak"] = peak()
    done["milliseconds"] = int(1000 * (time.process_time() - start))
    there.send(done)


def _save(reader: Reader, content: bytes | Folder, error: BaseException, into: Path) -> None:
    """The input under the name of what it did, unless a smaller one is there."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    name = f"{reader.name}-{type(error).__name__}-{Path(frame.filename).stem}-{frame.lineno}"
    kept = into / f"{name}{reader.suffix}"
    size = _size(content)
    note = into / f"{name}.traceback"
    if note.exists() and int(note.read_text(encoding="utf-8").split("\n", 1)[0]) <= size:
        return
    into.mkdir(parents=True, exist_ok=True)
    write(content, kept)
    trace = "".join(traceback.format_exception(error)).encode(errors="replace").decode()
    note.write_text(f"{size}\n{trace}", encoding="utf-8")


def _size(content: bytes | Folder) -> int:
    return len(content) if isinstance(content, bytes) else sum(map(len, content.values()))


def _keep(source: Path, target: Path) -> None:
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)


def _added(one: Counter[str], other: Counter[str]) -> Counter[str]:
    return Counter({**(one + other), "peak": max(one["peak"], other["peak"])})


def _print(totals: dict[str, Counter[str]], used: float, into: Path) -> None:
    columns = ("inputs", "taken", "failures", "crashes", "hangs", "peak")
    print(f"\n{used / 60:.1f} minutes of processor time; failures are saved in {into}; peak is in MiB")
    print(f"{'reader':20}" + "".join(f"{column:>10}" for column in columns))
    for name, total in totals.items():
        print(f"{name:20}" + "".join(f"{total[column]:10,}" for column in columns), flush=True)
    distinct = sorted(path.stem for path in into.glob("*.traceback"))
    print(f"{len(distinct)} different failures: {', '.join(distinct) or 'none'}", flush=True)


if __name__ == "__main__":
    main()
