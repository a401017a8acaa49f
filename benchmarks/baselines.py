"""The student beside what one would do otherwise: `python -m benchmarks.baselines [TARGET]`, resumable.

Multilingual-E5-small, half of the layers, English to Turkish, Basque, German and Swahili: every baseline that
needs no model hub, each on 300,000 tokens of text, then parts of speech (with two seeds) or, for Swahili,
entities. The scores are kept in ``results/baselines.json`` pair by pair. Some files are under licences that
forbid commercial use: no model of this is published.
"""

import sys

from benchmarks.pairs import TEXT, pair
from benchmarks.realdata import ROOT, realdata
from benchmarks.results import described
from bistil import Progress, run
from bistil.recipe import BASELINES
from bistil.stages import read_json, write_json

RESULT = ROOT / "results/baselines.json"
TOKENS = 300_000
TARGETS = ("tr", "eu", "de", "sw")


def main() -> None:
    """The targets that are asked for, or all."""
    for target in sys.argv[1:] or TARGETS:
        runs = read_json(RESULT)["runs"] if RESULT.exists() else {}
        if target not in runs:
            kind, seeds = ("ner", [0]) if target == "sw" else ("pos", [0, 1])
            others = {code: str(realdata() / text) for code, text in TEXT.items() if code != target}
            recipe = pair(target, 2, TOKENS, (kind,)).override(
                [f"baselines={[*BASELINES]}", f"multilingual={others}", f"seeds={seeds}"]
            )
            report = run(recipe, Progress()).report
            (task,) = report["tasks"]
            facts = {
                "task": task["name"],
                "metric": task["metric"],
                "train_examples": task["train_examples"],
                "tokens": report["distillation"]["tokens"],
                "scores": {role: scores[target] for role, scores in task["scores"].items()},
                "models": report["models"],
            }
            runs = {**runs, target: described(facts)}
            write_json(RESULT, {"command": "python -m benchmarks.baselines", "runs": runs})
        print(target, runs[target]["task"], runs[target]["scores"], flush=True)


if __name__ == "__main__":
    main()
