"""What a task teacher's steps cost, dropout of attention among it: `python -m benchmarks.tuning [speed]`.

Multilingual-E5-small, trimmed to English and Turkish. Scores with dropout of attention and without (bistil's
default), two seeds: 1,000 questions and 2,000 tagged sentences, English, tested in Turkish as well; resumable.
Speed and memory: steps of 8 questions of 384 tokens, both ways and with torch's own attention and dropout masks,
each in processes of its own in turns, A B A B, medians, and the peak of a process. In ``results/tuning.json``.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from transformers import PreTrainedConfig

from benchmarks.pairs import pair
from benchmarks.realdata import ROOT
from benchmarks.results import described
from benchmarks.steptimes import StepTimes
from bistil.files import read_json, write_json
from bistil.models import families, pretrained
from bistil.pipeline.runs import teach_tasks
from bistil.pipeline.studentstages import StudentStages
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.tasks.registry import task_kind
from bistil.training import trainer
from bistil.training.allocator import keep_freed_memory
from bistil.training.batches import OrderedFeatures
from bistil.training.trainer import ResumableTrainer, arguments

RESULT = ROOT / "results/tuning.json"
KINDS = {"qa": 1_000, "pos": 2_000}
METRICS = {"qa": "f1", "pos": "accuracy"}
BATCH, LENGTH, STEPS, ROUNDS = 8, 384, 10, 3
WAYS = {"without": False, "with": True}  # dropout of attention
SPEEDS = (*WAYS, "as torch has it")
_ALL = families.without_dropout


def recipe(kind: str, seed: int, dropout: bool) -> Recipe:
    """One teacher; without dropout it is that of the other studies."""
    found: Recipe = pair("tr", 2, 500_000, (kind,)).override(
        [f"seeds=[{seed}]", f"tasks.0.max_train_samples={KINDS[kind]}"]
    )
    return found.override([f"out={ROOT / 'runs/tuning'}"]) if dropout else found


def kept_dropout() -> Any:
    """Within it task teachers learn with the dropout of attention that their configuration has."""

    def of_students_alone(config: PreTrainedConfig, of: str = "") -> dict[str, Any]:
        return {} if of else _ALL(config)

    return patch.object(families, "without_dropout", of_students_alone)


@contextmanager
def torchs_own() -> Iterator[None]:
    """Within it task teachers learn with attention and masks of dropout as torch has them."""
    names = ("use_fused_attention", "use_fast_dropout")
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(patch.object(trainer, name, lambda model: None))
        yield


def main() -> None:
    """The speeds, if they are asked for or not there, then all scores that are not there yet."""
    results: dict[str, Any] = (
        read_json(RESULT) if RESULT.exists() else {"command": "python -m benchmarks.tuning", "scores": {}}
    )
    if sys.argv[1:] == ["speed"] or "speed" not in results:
        results["speed"] = described(speeds())
        write_json(RESULT, results)
        print(results["speed"], flush=True)
    for seed in () if sys.argv[1:] else (0, 1):
        for kind in KINDS:
            for way, dropout in WAYS.items():
                name = f"{kind}, seed {seed}, {way}"
                if name not in results["scores"]:
                    with kept_dropout() if dropout else nullcontext():
                        (scores,) = teach_tasks(recipe(kind, seed, dropout), Progress()).values()
                    found = {code: fmean(one[METRICS[kind]] for one in own) for code, own in scores.items()}
                    results["scores"][name] = described(found)
                    write_json(RESULT, results)
                print(name, results["scores"][name], flush=True)


def speeds() -> dict[str, Any]:
    """Seconds of a step and peak bytes of a process, each way."""
    trimmed = StudentStages(recipe("qa", 0, False), Progress()).vocabulary().path / "model"
    found: dict[str, list[dict[str, float]]] = {way: [] for way in SPEEDS}
    for _ in range(ROUNDS):
        for way, own in found.items():
            command = [sys.executable, "-m", "benchmarks.tuning", "steps", way, str(trimmed)]
            own.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    return {
        way: {key: median(one[key] for one in own) for key in ("seconds", "bytes")} for way, own in found.items()
    }


def steps(folder: Path) -> dict[str, float]:
    """Of this process: seconds of a step, the median without the first two, and the most memory it held."""
    keep_freed_memory()
    chosen = recipe("qa", 0, False).tasks[0]
    kind, tokenizer = task_kind("qa"), pretrained.tokenizer(folder)
    examples = kind.read(Path(chosen.train))[: 4 * BATCH * STEPS]
    task = kind.from_examples(examples)
    features = [one for one in task.features(examples, tokenizer, LENGTH) if len(one["input_ids"]) == LENGTH]
    times = StepTimes()
    with TemporaryDirectory() as temporary:
        ResumableTrainer(
            model=task.new_model(folder),
            args=arguments(Path(temporary), batch=BATCH, learning_rate=5e-5, seed=0),
            train_dataset=OrderedFeatures(features, BATCH, STEPS, 0),
            data_collator=task.collator(tokenizer),
            on_step=times,
        ).run()
    return {"seconds": times.median(2), "bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


if __name__ == "__main__":
    if sys.argv[1:2] == ["steps"]:
        with {"with": kept_dropout, "as torch has it": torchs_own}.get(sys.argv[2], nullcontext)():
            print(json.dumps(steps(Path(sys.argv[3]))))
    else:
        main()
