"""How long a student parses and answers: `python -m benchmarks.task_speed`.

The English–Turkish student with half of the layers, which here learns little, for speed does not need more: 1,000
English sentences, and how much of their time goes into decoding trees; the 1,190 questions of Turkish XQuAD,
through `bistil eval`. Kept in ``results/task-speed.json``.
"""

import subprocess
import sys
import time
from typing import Any
from unittest.mock import patch

from benchmarks.pairs import QUESTIONS, TREEBANKS, pair
from benchmarks.realdata import ROOT, realdata
from benchmarks.results import save_measurement
from bistil.pipeline.runs import transfer_tasks
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.runtime.trees import best_tree
from bistil.tasks.saved import load

OUT = ROOT / "runs/task-speed"
EXAMPLES = {"parsing": 400, "qa": 40}
SENTENCES = 1_000


def main() -> None:
    """Both tasks are learned, then timed."""
    transfer_tasks(recipe(), Progress())
    seconds, decoding = parsed()
    started = time.perf_counter()
    command = ["eval", str(OUT / "tasks/qa"), str(realdata() / QUESTIONS["tr"]), "--language", "tr"]
    subprocess.run([sys.executable, "-m", "bistil", *command], check=True)
    facts = {
        "sentences": SENTENCES,
        "parsing_seconds": seconds,
        "decoding_seconds": decoding,
        "answering_seconds": time.perf_counter() - started,
    }
    save_measurement("task-speed", "python -m benchmarks.task_speed", facts)
    print(facts)


def recipe() -> Recipe:
    """Both tasks, learned from few examples."""
    changes = [f"out={OUT}"]
    for number, examples in enumerate(EXAMPLES.values()):
        changes += [f"tasks.{number}.max_train_samples={examples}", f"tasks.{number}.min_steps=0"]
    found: Recipe = pair("tr", 2, 20_000, tuple(EXAMPLES)).override(changes)
    return found


def parsed() -> tuple[float, float]:
    """Seconds for the sentences, and of them those inside `best_tree`."""
    network, tokenizer, task = load(OUT / "tasks/parsing")
    sentences = task.read(realdata() / TREEBANKS["en"])[:SENTENCES]
    decoding = 0.0

    def timed(arcs: Any) -> Any:
        nonlocal decoding
        started = time.perf_counter()
        heads = best_tree(arcs)
        decoding += time.perf_counter() - started
        return heads

    with patch("bistil.tasks.parsing.best_tree", timed):
        started = time.perf_counter()
        task.predict(network, tokenizer, sentences)
        return time.perf_counter() - started, decoding


if __name__ == "__main__":
    main()
