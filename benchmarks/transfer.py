"""All tasks, teacher against students: `python -m benchmarks.transfer [TARGET REDUCTION [TASK]]`, resumable.

Multilingual-E5-small, English to Turkish, German, Basque and Swahili, every second and every third layer, general
distillation on a million tokens: parts of speech, dependency trees, entities, intents, inference and questions,
each where there is a test file; German answers with half of the layers with two seeds. The scores are kept in
``results/transfer.json`` task by task; stages are those of `benchmarks.effect`, and none is made twice. Some files
are under licences that forbid commercial use: no model of this is published.
"""

import sys

from benchmarks.pairs import TEXT, names_of, pair
from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.pipeline.runs import run
from bistil.progress import Progress

RESULT = ROOT / "results/transfer.json"
TOKENS = 1_000_000
SEEDS = {("de", 2, "qa"): [0, 1]}  # by target, layer reduction and task; else seed 0 alone


def main() -> None:
    """The pairs, reductions and tasks that are asked for, or all, in the order in which they matter most."""
    match sys.argv[1:]:
        case [language, every, *kinds]:
            wanted = [(language, int(every), kind) for kind in kinds or names_of(language)]
        case _:
            wanted = [(target, every, kind) for every in (2, 3) for target in TEXT for kind in names_of(target)]
    for target, reduction, kind in wanted:
        runs = read_json(RESULT)["runs"] if RESULT.exists() else {}
        name = f"en-{target}, every {reduction}, {kind}"
        if name not in runs:
            seeds = SEEDS.get((target, reduction, kind), [0])
            report = run(pair(target, reduction, TOKENS, (kind,)).override([f"seeds={seeds}"]), Progress()).report
            (task,) = report["tasks"]
            facts = {
                "tokens": report["distillation"]["tokens"],
                "metric": task["metric"],
                "train_examples": task["train_examples"],
                "scores": {role: scores[target] for role, scores in task["scores"].items()},
                "comparisons": task["comparisons"][target],
                "validation": task["validation"],
            }
            runs = {**runs, name: described(facts)}
            write_json(RESULT, {"command": "python -m benchmarks.transfer", "runs": runs})
        print(name, runs[name]["metric"], runs[name]["scores"], flush=True)


if __name__ == "__main__":
    main()
