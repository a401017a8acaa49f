"""What a busy neighbour does to a step of general distillation: `python -m benchmarks.neighbour`.

The default step of 8 × 64 tokens, multilingual-E5-small into 6 layers, alone and beside a thread that is always
busy; as bistil's command starts a process (`bistil.launch.sleep_early`) and as OpenMP comes. Each in a process of
its own, in turns, A B A B, medians. Kept in ``results/neighbour.json``.
"""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from benchmarks.realdata import realdata
from benchmarks.results import save_measurement
from benchmarks.steptimes import StepTimes
from bistil.launch import sleep_early

STEPS, ROUNDS = 24, 2
BUSY = "while True: pass"


def main() -> None:
    """Measures, prints and keeps the numbers."""
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for way in ("as it comes", "bistil's"):
            for busy in (False, True):
                name = f"{way}, {'beside a busy thread' if busy else 'alone'}"
                found.setdefault(name, []).append(_timed(way, busy))
    facts = {"seconds": {name: median(own) for name, own in found.items()}, "rounds": found}
    save_measurement("neighbour", "python -m benchmarks.neighbour", facts)
    print(facts["seconds"])


def _timed(way: str, busy: bool) -> float:
    neighbour = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
    try:
        command = [sys.executable, "-m", "benchmarks.neighbour", "steps"]
        with patch.dict(os.environ):  # which OpenMP reads before anything of ours can run
            os.environ.pop("GOMP_SPINCOUNT", None)
            if way == "bistil's":
                sleep_early()
            process = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        return float(json.loads(process.stdout.splitlines()[-1]))
    finally:
        if neighbour is not None:
            neighbour.kill()
            neighbour.wait()


def steps() -> float:
    """Of this process: seconds of a step, the median without the first five."""
    from bistil.corpora.blocks import load_blocks, pack, save_blocks
    from bistil.corpora.masking import Masking
    from bistil.corpora.mixed import MixedBlocks
    from bistil.corpora.text import files, lines
    from bistil.models import teachers
    from bistil.models.students import make_student
    from bistil.pipeline.runs import prepare
    from bistil.training.distillation import DistillationTrainer
    from bistil.training.trainer import arguments
    from bistil.vocabulary import trim_vocabulary

    prepare()
    model, tokenizer = teachers.load(teachers.locate("bundled:multilingual-e5-small"))
    text = {language: files(realdata() / f"text/{language}.txt") for language in ("en", "tr")}
    trimmed = trim_vocabulary(model, tokenizer, text, min_probability=1e-6)
    times = StepTimes()
    with TemporaryDirectory() as temporary:
        blocks: dict[str, Any] = {}
        for language, paths in text.items():
            some = islice(lines(paths), 3_000)
            save_blocks(Path(temporary), language, pack(trimmed.tokenizer, some, 64, language))
            blocks[language] = load_blocks(Path(temporary), language)[0]
        data = MixedBlocks(blocks, Masking.of(trimmed.tokenizer), batch=8, batches=STEPS, seed=0)
        student, alignment = make_student(trimmed.model, (1, 3, 5, 8, 10, 12))
        DistillationTrainer(
            model=student,
            teacher=trimmed.model,
            alignment=alignment,
            languages=data.languages,
            args=arguments(Path(temporary) / "training", batch=8, learning_rate=1e-3, seed=0),
            train_dataset=data,
            on_step=times,
        ).run()
    return times.median(5)


if __name__ == "__main__":
    if sys.argv[1:] == ["steps"]:
        print(json.dumps(steps()))
    else:
        main()
