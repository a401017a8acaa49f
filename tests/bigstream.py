"""A stream of a hundred gigabytes: is memory flat, and is the next block after resuming the very next one?

    python -m tests.bigstream --gigabytes 100 --seconds 120

The text of two languages lies in shards of 4 MB, JSON lines, packed JSON lines and Parquet in turn, which a
filesystem of fsspec makes as they are opened and gives at 100 MB a second. The stream is read at its beginning and
at random places all over it, to which it is set as a checkpoint sets it. At each it is left at a random step and
taken up again by another reader, whose blocks are compared with those of the first, which goes on. The script says
what it found, and ends with 1 where a block differed or memory grew by more than 5 % after the second part, the
first that has all of this in it: what is held after a part, and the peak in it, both resident.
"""

import argparse
import ctypes
import gc
import io
import random
import sys
import tempfile
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import psutil
import pyarrow
from fsspec.spec import AbstractFileSystem
from pyarrow import parquet
from tests import tiny

from bistil.corpora import text
from bistil.corpora.blocks import Carry
from bistil.corpora.formats import zstd
from bistil.corpora.lines import Place
from bistil.corpora.marks import load_marks, save_marks
from bistil.corpora.masking import Masking
from bistil.corpora.shuffled import Mark
from bistil.corpora.streamed import StreamedBlocks

SHARD, RATE = 4_000_000, 100_000_000  # bytes, bytes a second
LINES, ROWS = 40_000, 5_000  # of a shard, of a row group
LANGUAGES = ("en", "tr")
BLOCK, BATCH, COMPARED, PLACES = 128, 8, 400, 7
SENTENCES = tiny.lines()


def lines(language: str, number: int) -> list[str]:
    """A hundred bytes each, and no two alike in all of the stream."""
    chance = random.Random(f"{language} {number}")
    drawn = chance.choices(SENTENCES[language], k=2 * LINES)
    pairs = zip(drawn[::2], drawn[1::2], strict=True)
    return [f"{one} {other} {number}/{place}" for place, (one, other) in enumerate(pairs)]


def shard(path: str) -> bytes:
    """The bytes of ``en/000017.parquet``."""
    language, name = path.split("/")
    number, _, kind = name.partition(".")
    own = lines(language, int(number))
    if kind == "parquet":
        sink = pyarrow.BufferOutputStream()
        parquet.write_table(pyarrow.table({"text": own}), sink, row_group_size=ROWS)
        return sink.getvalue().to_pybytes()
    rows = "".join(f'{{"text": "{line}"}}\n' for line in own).encode()
    return zstd.compress(rows) if kind == "jsonl.zst" else rows


class Slow(io.BytesIO):
    """Gives so many bytes a second, and counts them over all files."""

    given = 0

    def read(self, size: int | None = -1, /) -> bytes:
        return self._wait(super().read(size))

    def readinto(self, buffer: Any, /) -> int:
        received = self.read(len(buffer))
        buffer[: len(received)] = received
        return len(received)

    def _wait(self, received: bytes) -> bytes:
        Slow.given += len(received)
        time.sleep(len(received) / RATE)
        return received


class Shards(AbstractFileSystem):
    """Two folders of shards that are made when they are opened."""

    protocol, cachable = "shards", False
    number = 0  # in each folder

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        folder = self._strip_protocol(path).strip("/")
        if not folder:
            names = list(LANGUAGES)
        else:
            kinds = ("jsonl", "jsonl.zst", "parquet")
            names = [f"{folder}/{number:06}.{kinds[number % 3]}" for number in range(self.number)]
        return [self.info(name) for name in names] if detail else names

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        name = self._strip_protocol(path).strip("/")
        kind = "file" if "/" in name else "directory"
        return {"name": name, "size": SHARD if kind == "file" else 0, "type": kind}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Slow:
        return Slow(shard(self._strip_protocol(path).strip("/")))


def place(language: str, number: int, line: int) -> Place:
    """Behind a line of a shard, as a reader has it that has come there."""
    if number % 3 == 2:
        group, row = divmod(line, ROWS)
        return Place(number, (group, row, group * ROWS), 1)
    before = sum(len(f'{{"text": "{one}"}}\n'.encode()) for one in lines(language, number)[:line])
    return Place(number, (before, line + 1), 1)


def marks(places: list[Place], blocks: int) -> list[Mark]:
    """Those of a stream that has given so many blocks of each language, with no other in memory."""
    empty = np.zeros((0, BLOCK), dtype=np.int32)
    return [Mark(blocks, 1, empty, empty, Carry(blocks=1 << 20), place) for place in places]


class Check:
    """The whole stream, read in parts of so many seconds."""

    def __init__(self, gigabytes: float, seed: int) -> None:
        fsspec.register_implementation("shards", Shards, clobber=True)
        Shards.number = round(gigabytes * 1e9 / SHARD / len(LANGUAGES))
        self._chance = random.Random(seed)
        self._opened = {one: partial(text.lines, text.files(f"shards://{one}/*")) for one in LANGUAGES}
        self._tokenizer = tiny.tokenizer(SENTENCES)
        self._facts: dict[str, Any] = {}

    def _stream(self) -> StreamedBlocks:
        masking = Masking.of(self._tokenizer)
        return StreamedBlocks(
            self._opened, self._tokenizer, masking, block=BLOCK, batch=BATCH, batches=None, seed=0
        )

    def part(self, folder: Path, seconds: float, beginning: bool) -> bool:
        """Reads a part and says what it found: whether another reader, which resumed, gives the same blocks."""
        data, item, at, self.peak = self._stream(), 0, 0, 0
        if not beginning:
            at, item = self._chance.randrange(Shards.number), 2 * BATCH * self._chance.randrange(1 << 20)
            places = [place(one, at, self._chance.randrange(LINES)) for one in LANGUAGES]
            save_marks(folder / "set", marks(places, item // 2), {**self._facts, "item": item})
            assert data.resume(folder / "set")
        started, given, items, first = time.monotonic(), Slow.given, iter(data), item
        while time.monotonic() - started < seconds or item == first:
            for _ in range(self._chance.randrange(1, 40) * BATCH):
                next(items)
                item += 1
            data.reached(item)
            self.peak = max(self.peak, _resident())
        spent = time.monotonic() - started
        data.save(folder / "left", item)
        _, self._facts = load_marks(folder / "left")
        other = self._stream()
        assert other.resume(folder / "left")
        pairs = zip(islice(items, COMPARED), islice(other, COMPARED), strict=True)
        same = [
            mine["language"] == its["language"] and mine["input_ids"].equal(its["input_ids"])
            for mine, its in pairs
        ]
        where = 2 * at * SHARD / 1e9
        print(
            f"at {where:5.1f} GB: {item - first:7,} blocks, {(item - first) * BLOCK / spent:9,.0f} tokens/s, "
            f"{(Slow.given - given) / 1e6:6.1f} MB read; resumed: "
            f"{'the very next block, and 399 more' if all(same) else f'block {same.index(False)} DIFFERS'}; "
            f"{(folder / 'left').stat().st_size / 1e6:.1f} MB saved; peak {self.peak / 1e6:,.0f} MB",
            flush=True,
        )
        return all(same)


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _held() -> int:
    """What is resident once all that was freed is given back to the system."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    return _resident()


def main(gigabytes: float, seconds: float, seed: int) -> int:
    """The exit status."""
    check = Check(gigabytes, seed)
    print(f"{gigabytes:g} GB in {2 * Shards.number:,} shards, {RATE / 1e6:g} MB/s; seed {seed}", flush=True)
    same, held, peaks = [], [], []
    for number in range(PLACES + 1):
        with tempfile.TemporaryDirectory() as folder:
            same.append(check.part(Path(folder), seconds / (PLACES + 1), not number))
        held.append(_held())
        peaks.append(check.peak)
        print(f"               then {held[-1] / 1e6:,.0f} MB held", flush=True)
    grown = max(held[-1] / held[1], peaks[-1] / peaks[1]) - 1
    print(
        f"{Slow.given / 1e6:.0f} MB read; {sum(same)} of {len(same)} places go on; memory "
        f"{'flat' if grown < 0.05 else 'GREW'}: {held[1] / 1e6:,.0f} MB held after the second part and "
        f"{held[-1] / 1e6:,.0f} MB after the last, peaks of {peaks[1] / 1e6:,.0f} and {peaks[-1] / 1e6:,.0f} MB"
    )
    return int(grown >= 0.05 or not all(same))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sys.exit(main(options.gigabytes, options.seconds, options.seed))
