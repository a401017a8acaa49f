"""The student beside its alternatives: `python -m benchmarks.baselines [TARGET TASK SEED EVERY]`, resumable.

Multilingual-E5-small, every second layer, English to Turkish, Basque, German and Swahili: every baseline that
needs no model hub, each on 200,000 tokens of text, then 1,000 sentences of parts of speech (two seeds) and of
dependency trees or, for Swahili, of entities: with plain text in the target language when the task is distilled,
as is the default, and from English alone, as in BiStil; Turkish questions, of which plain text has none, from
English alone, and Turkish parts of speech with every third layer (one seed). The scores are kept in
``results/baselines.json``, a run for each. Some files are under licences that forbid commercial use: no model of
this is published.
"""

import sys
from itertools import product

from benchmarks.pairs import TEXT, pair
from benchmarks.realdata import ROOT, realdata
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.pipeline.runs import run
from bistil.progress import Progress
from bistil.recipe.parts import BASELINES

RESULT = ROOT / "results/baselines.json"
TOKENS, EXAMPLES = 200_000, 1_000
KEPT = ("role", "title", "parameters", "layers")
TREEBANK = ("pos", "parsing")
KINDS = {"tr": (*TREEBANK, "qa"), "eu": TREEBANK, "de": TREEBANK, "sw": ("ner",)}


def main() -> None:
    """The target, task, seed and layer reduction that are asked for, or all."""
    match sys.argv[1:]:
        case [language, task_kind, number, every]:
            wanted = [(language, task_kind, int(number), int(every))]
        case _:
            first = [(language, kind, 0, 2) for language, kinds in KINDS.items() for kind in kinds]
            seconds = [(language, "pos", 1, 2) for language, kinds in KINDS.items() if "pos" in kinds]
            wanted = [*first, *seconds, ("tr", "pos", 0, 3)]
    for (target, kind, seed, reduction), alone in product(wanted, (False, True)):
        if not alone and (kind == "qa" or reduction > 2):
            continue
        runs = read_json(RESULT)["runs"] if RESULT.exists() else {}
        name = f"{target}, every {reduction}, {kind}, seed {seed}{', English alone' * alone}"
        if name not in runs:
            others = {code: str(realdata() / text) for code, text in TEXT.items() if code != target}
            recipe = pair(target, reduction, TOKENS, (kind,)).override(
                [
                    f"baselines={[*BASELINES]}",
                    f"multilingual={others}",
                    f"seeds=[{seed}]",
                    f"tasks.0.max_train_samples={EXAMPLES}",
                    "tasks.0.min_steps=0",  # as many epochs for each model
                    f"tasks.0.pseudo_labels={0 if alone else 'null'}",
                ]
            )
            report = run(recipe, Progress()).report
            (task,) = report["tasks"]
            facts = {
                "target": target,
                "layer_reduction": reduction,
                "english_alone": alone,
                "task": task["name"],
                "metric": task["metric"],
                "train_examples": task["train_examples"],
                "tokens": report["distillation"]["tokens"],
                "scores": {role: scores[target] for role, scores in task["scores"].items()},
                "models": [{key: model[key] for key in KEPT} for model in report["models"]],
            }
            runs = {**runs, name: described(facts)}
            write_json(RESULT, {"command": "python -m benchmarks.baselines", "runs": runs})
        print(name, runs[name]["task"], runs[name]["scores"], flush=True)


if __name__ == "__main__":
    main()
