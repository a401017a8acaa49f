"""What scores are in bfloat16, and what it saves: `python -m benchmarks.scoring`.

Task teachers of the other studies, questions and part of speech (multilingual-E5-small trimmed to English and
Turkish), are scored on Turkish and English in float32, as bistil does, and in bfloat16, in turns, A B A B, whether
or not this machine is faster by it; medians. Kept in ``results/scoring.json``.
"""

import time
from statistics import median
from typing import Any

import torch

from benchmarks.realdata import ROOT
from benchmarks.results import save_measurement
from benchmarks.tuning import METRICS, recipe
from bistil.evaluation.scores import evaluate
from bistil.pipeline.runs import prepare, teach_tasks
from bistil.pipeline.taskdata import TaskData
from bistil.progress import Progress
from bistil.tasks import saved
from bistil.training import devices

EXAMPLES, ROUNDS = 500, 2  # of each language


def main() -> None:
    """Both tasks, both ways."""
    prepare()
    facts: dict[str, Any] = {}
    for kind, metric in METRICS.items():
        own = recipe(kind, 0, False)
        teach_tasks(own, Progress())
        network, tokenizer, task = saved.load(ROOT / f"runs/en-tr/teachers/{kind}", "torch")
        data = TaskData.read(own.tasks[0])
        tests = {code: examples[:EXAMPLES] for code, examples in {"en": data.validation, **data.tests}.items()}
        found: dict[bool, list[tuple[float, dict[str, Any]]]] = {False: [], True: []}
        for _ in range(ROUNDS):
            for half, times in found.items():
                with torch.autocast(devices.device().type, torch.bfloat16, enabled=half):
                    started = time.perf_counter()
                    results = evaluate(network, tokenizer, task, tests)
                    times.append((time.perf_counter() - started, results))
        facts[kind] = {
            "examples": {code: len(examples) for code, examples in tests.items()},
            **{
                name: {
                    "scores": {code: one["scores"][metric] for code, one in found[half][0][1].items()},
                    "seconds": median(seconds for seconds, _ in found[half]),
                }
                for half, name in ((False, "float32"), (True, "bfloat16"))
            },
        }
        print(kind, facts[kind], flush=True)
    save_measurement(
        "scoring", "python -m benchmarks.scoring", {"tasks": facts, "faster": devices.mixed_precision()}
    )


if __name__ == "__main__":
    main()
