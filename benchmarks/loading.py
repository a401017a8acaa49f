"""How fast the loader is, alone: `python -m benchmarks.loading [GIGABYTES]`, numbers in ``results/loading.json``.

Token blocks of two languages, 1 GB of random tokens in all, are written once. Then, three times, each in a process
of its own with the files' pages dropped from memory: start-up, from opening the files to the first batch; and the
loading of masked batches through torch's loader and the Trainer's collator, at batches of training on CPU and on a
GPU. Last, blocks streamed from English and Turkish text under multilingual-E5's tokenizer, which sets the pace: a
resumed run skips to its start at the same rate.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.realdata import ROOT, realdata
from benchmarks.results import save_measurement

LANGUAGES = ("en", "tr")
BLOCK, ROWS, VOCABULARY = 128, 4_000, 25_000
ROUNDS, SECONDS = 5, 3.0
BATCHES = (32, 256)


def write(folder: Path, size: float) -> int:
    """Writes the languages' files, ``size`` gigabytes together; returns their tokens."""
    from bistil.corpora.blocks import save_blocks

    generator = np.random.default_rng(0)
    parts = max(1, round(size * 1e9 / len(LANGUAGES) / (4 * BLOCK * ROWS)))

    def blocks() -> Iterator[np.ndarray]:
        for _ in range(parts):
            yield generator.integers(5, VOCABULARY, (ROWS, BLOCK), dtype=np.int32)

    for language in LANGUAGES:
        save_blocks(folder, language, blocks())
    return len(LANGUAGES) * parts * ROWS * BLOCK


def measure(folder: Path) -> dict[str, Any]:
    """Start-up, then tokens a second at each size of batch, the median of some rounds."""
    from torch.utils.data import DataLoader
    from transformers import default_data_collator

    from bistil.corpora.blocks import load_blocks
    from bistil.corpora.masking import Masking
    from bistil.corpora.mixed import MixedBlocks

    for path in folder.glob("*.arrow"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    masking = Masking(mask_token=4, special=(0, 1, 2, 3, 4), vocabulary=VOCABULARY)

    def loader(batch: int) -> Iterator[dict[str, Any]]:
        blocks = {language: load_blocks(folder, language)[0] for language in LANGUAGES}
        data = MixedBlocks(blocks, masking, batch=batch, batches=200_000, seed=0)
        return iter(DataLoader(data, batch_size=batch, collate_fn=default_data_collator))

    started = time.perf_counter()
    next(loader(BATCHES[0]))
    result: dict[str, Any] = {"startup_seconds": time.perf_counter() - started, "tokens_per_second": {}}
    for path in folder.glob("*.arrow"):  # the speed of the loader, not of the disk
        path.read_bytes()
    for batch in BATCHES:
        rates = []
        batches = loader(batch)
        for _ in range(ROUNDS):
            started, tokens = time.perf_counter(), 0
            while time.perf_counter() - started < SECONDS / ROUNDS:
                tokens += sum(one["input_ids"].numel() for one in islice(batches, 20))
            rates.append(tokens / (time.perf_counter() - started))
        result["tokens_per_second"][f"{batch} x {BLOCK}"] = median(rates)
    return result


def stream() -> float:
    """Tokens a second of blocks straight from text."""
    from bistil.corpora.masking import Masking
    from bistil.corpora.streamed import StreamedBlocks
    from bistil.corpora.text import files, lines
    from bistil.models import teachers

    _, tokenizer = teachers.load(teachers.locate("bundled:multilingual-e5-small"))
    found = {language: files(realdata() / f"text/{language}.txt") for language in LANGUAGES}
    data = StreamedBlocks(
        {language: partial(lines, part) for language, part in found.items()},
        tokenizer,
        Masking.of(tokenizer),
        block=BLOCK,
        batch=BATCHES[0],
        batches=200,
        seed=0,
    )
    started = time.perf_counter()
    tokens: int = sum(item["input_ids"].numel() for item in data)
    return tokens / (time.perf_counter() - started)


def main() -> None:
    """Writes the files, measures in three fresh processes, prints and keeps the numbers."""
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(Path(sys.argv[2]))))
        return
    size = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    with tempfile.TemporaryDirectory() as temporary:
        tokens = write(Path(temporary), size)
        command = [sys.executable, "-m", "benchmarks.loading", "--measure", temporary]
        runs = [
            json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)
            for _ in range(3)
        ]
    rates = {name: median(run["tokens_per_second"][name] for run in runs) for name in runs[0]["tokens_per_second"]}
    streamed = stream()
    startup = median(run["startup_seconds"] for run in runs)
    result = {
        "corpus_tokens": tokens,
        "corpus_bytes": 4 * tokens,
        "startup_seconds": startup,
        "tokens_per_second": rates,
        "streamed_tokens_per_second": streamed,
        "runs": runs,
    }
    save_measurement("loading", " ".join(["python -m benchmarks.loading", *sys.argv[1:]]), result)
    print(f"start-up on {4 * tokens / 1e9:.2f} GB of token blocks: {startup:.2f} s")
    for name, rate in rates.items():
        print(f"batches of {name} tokens: {rate / 1e6:.1f} million tokens/s")
    print(f"streamed from text: {streamed / 1e6:.2f} million tokens/s")


if __name__ == "__main__":
    main()
