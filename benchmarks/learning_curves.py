"""More layers, text, examples and epochs: `python -m benchmarks.learning_curves [NUMBER]`, resumable.

Multilingual-E5-small, one seed, half of the layers if not said: Turkish tags by tokens of general distillation;
Turkish QA by layers, questions, epochs and tokens; German QA with two thirds of the layers; German and
Swahili entities by sentences. Teacher and student have the same examples, and the same epochs except where the
student has more. The scores are kept in ``results/learning-curves.json`` point by point; stages are those of
`benchmarks.transfer`.
"""

import json
import sys

from benchmarks.pairs import pair
from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.pipeline.runs import run
from bistil.progress import Progress

RESULT = ROOT / "results/learning-curves.json"
# target, task, the teacher's layers that are kept, tokens of general distillation, examples (None: all), epochs
# (all parameters, the sparse ones) of teacher and student
Point = tuple[str, str, list[int], int, int | None, list[int], list[int]]
HALF = [1, 3, 5, 8, 10, 12]  # as a layer reduction of 2 keeps
TWO_THIRDS = [1, 3, 4, 6, 7, 9, 10, 12]
POINTS: tuple[Point, ...] = (
    ("tr", "qa", HALF, 1_000_000, 1_000, [1, 2], [1, 2]),
    ("tr", "qa", HALF, 1_000_000, 1_000, [1, 2], [1, 6]),
    ("tr", "qa", HALF, 1_000_000, 1_000, [3, 6], [3, 6]),
    ("tr", "qa", TWO_THIRDS, 1_000_000, 1_000, [1, 2], [1, 2]),
    ("tr", "qa", [1, 2, 3, 5, 6, 7, 8, 10, 11, 12], 1_000_000, 1_000, [1, 2], [1, 2]),
    ("tr", "qa", HALF, 1_000_000, 3_807, [1, 2], [1, 2]),
    ("tr", "qa", HALF, 1_000_000, 3_807, [2, 4], [2, 4]),
    ("tr", "qa", HALF, 4_000_000, 3_807, [1, 2], [1, 2]),
    ("de", "qa", TWO_THIRDS, 1_000_000, 1_000, [1, 2], [1, 2]),
    ("tr", "pos", HALF, 100_000, 2_000, [1, 2], [1, 2]),
    ("tr", "pos", HALF, 300_000, 2_000, [1, 2], [1, 2]),
    ("tr", "pos", HALF, 1_000_000, 2_000, [1, 2], [1, 2]),
    ("tr", "pos", HALF, 4_000_000, 2_000, [1, 2], [1, 2]),
    ("de", "ner", HALF, 1_000_000, 4_000, [1, 2], [1, 2]),
    ("de", "ner", HALF, 1_000_000, None, [1, 2], [1, 2]),
    ("sw", "ner", HALF, 1_000_000, 4_000, [1, 2], [1, 2]),
)


def main() -> None:
    """The point that is asked for, counted from 0, or all."""
    for target, kind, layers, tokens, examples, epochs, own in [
        POINTS[int(index)] for index in sys.argv[1:]
    ] or POINTS:
        runs = read_json(RESULT)["runs"] if RESULT.exists() else {}
        number = "all" if examples is None else examples
        name = f"{target}, {kind}, {tokens} tokens, {number} examples, {' + '.join(map(str, epochs))} epochs"
        name += "" if layers == HALF else f", {len(layers)} layers"
        name += "" if own == epochs else f", {' + '.join(map(str, own))} of the student"
        if name not in runs:
            lengths = [f"tasks.0.epochs={epochs}", f"tasks.0.student_epochs={own}"]
            kept = [] if layers == HALF else [f"student.layers={layers}"]
            changes = [f"tasks.0.max_train_samples={json.dumps(examples)}", *lengths, *kept, "baselines=[]"]
            report = run(pair(target, 2, tokens, (kind,)).override(changes), Progress()).report
            (task,) = report["tasks"]
            facts = {
                "target": target,
                "task": kind,
                "layers": len(layers),
                "metric": task["metric"],
                "tokens": report["distillation"]["tokens"],
                "train_examples": task["train_examples"],
                "epochs": epochs,
                "student_epochs": own,
                "scores": {role: scores[target] for role, scores in task["scores"].items()},
                "validation": task["validation"],
            }
            runs = {**runs, name: described(facts)}
            write_json(RESULT, {"command": "python -m benchmarks.learning_curves", "runs": runs})
        print(name, runs[name]["scores"], flush=True)


if __name__ == "__main__":
    main()
