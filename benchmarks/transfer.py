"""All tasks, teacher against students: `python -m benchmarks.transfer [TARGET REDUCTION]`, resumable.

Multilingual-E5-small, English to Turkish, German, Basque and Swahili, every second and every third layer, general
distillation on a million tokens: parts of speech, dependency trees, entities, inference and questions, each where
there is a test file. The scores are kept in ``results/transfer.json`` pair by pair; stages are those of
`benchmarks.effect`, and none is made twice. Some files are under licences that forbid commercial use: no model of
this is published.
"""

import sys

from benchmarks.pairs import TEXT, pair
from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil import Progress, run
from bistil.stages import read_json, write_json

RESULT = ROOT / "results/transfer.json"
TOKENS = 1_000_000


def main() -> None:
    """The pairs and reductions that are asked for, or all, in the order in which they matter most."""
    match sys.argv[1:]:
        case [language, every]:
            wanted = [(language, int(every))]
        case _:
            wanted = [(target, reduction) for reduction in (2, 3) for target in TEXT]
    for target, reduction in wanted:
        runs = read_json(RESULT)["runs"] if RESULT.exists() else {}
        name = f"en-{target}, every {reduction}"
        if name not in runs:
            report = run(pair(target, reduction, TOKENS), Progress()).report
            tasks = {
                task["name"]: {
                    "metric": task["metric"],
                    "train_examples": task["train_examples"],
                    "scores": {role: scores[target] for role, scores in task["scores"].items()},
                    "validation": task["validation"],
                }
                for task in report["tasks"]
            }
            facts = {"tokens": report["distillation"]["tokens"], "tasks": tasks, "models": report["models"]}
            runs = {**runs, name: described(facts)}
            write_json(RESULT, {"command": "python -m benchmarks.transfer", "runs": runs})
        for task, facts in runs[name]["tasks"].items():
            print(name, task, facts["metric"], facts["scores"], flush=True)


if __name__ == "__main__":
    main()
