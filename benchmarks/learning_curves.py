"""What more text, examples and passes buy a student: `python -m benchmarks.learning_curves [NUMBER]`, resumable.

Multilingual-E5-small, English to Turkish, half of the layers, one seed: tags by tokens of general distillation;
answers by questions, by passes over them and by tokens. Teacher and student have the same examples and passes. The
scores are kept in ``results/learning-curves.json`` point by point; stages are those of `benchmarks.transfer`.
"""

import sys

from benchmarks.pairs import pair
from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil import Progress, run
from bistil.stages import read_json, write_json

RESULT = ROOT / "results/learning-curves.json"
TARGET = "tr"
# task, tokens of general distillation, examples, passes (all parameters, the sparse ones)
POINTS = (
    ("qa", 1_000_000, 1_000, [1, 2]),
    ("qa", 1_000_000, 1_000, [3, 6]),
    ("qa", 1_000_000, 3_807, [1, 2]),
    ("qa", 1_000_000, 3_807, [2, 4]),
    ("qa", 4_000_000, 3_807, [1, 2]),
    ("pos", 100_000, 2_000, [1, 2]),
    ("pos", 300_000, 2_000, [1, 2]),
    ("pos", 1_000_000, 2_000, [1, 2]),
    ("pos", 4_000_000, 2_000, [1, 2]),
)


def main() -> None:
    """The point that is asked for, counted from 0, or all."""
    for kind, tokens, examples, epochs in [POINTS[int(number)] for number in sys.argv[1:]] or POINTS:
        runs = read_json(RESULT)["runs"] if RESULT.exists() else {}
        name = f"{kind}, {tokens} tokens, {examples} examples, {' + '.join(map(str, epochs))} passes"
        if name not in runs:
            changes = [f"tasks.0.examples={examples}", f"tasks.0.epochs={epochs}", "baselines=[]"]
            report = run(pair(TARGET, 2, tokens, (kind,)).override(changes), Progress()).report
            (task,) = report["tasks"]
            facts = {
                "task": kind,
                "metric": task["metric"],
                "tokens": report["distillation"]["tokens"],
                "train_examples": task["train_examples"],
                "passes": epochs,
                "scores": {role: scores[TARGET] for role, scores in task["scores"].items()},
                "validation": task["validation"],
            }
            runs = {**runs, name: described(facts)}
            write_json(RESULT, {"command": "python -m benchmarks.learning_curves", "runs": runs})
        print(name, runs[name]["scores"], flush=True)


if __name__ == "__main__":
    main()
