"""How many steps few labelled examples need: `python -m benchmarks.few_examples`, resumable.

Task teachers, multilingual-E5-small, 400 English sentences in batches of 8, that is 50 steps with all parameters
and 100 with the sparse ones unless `min_steps` makes it more: NER, tested on Swahili, and POS tagging,
tested on Turkish. Then the quickstart's definitions, 800 of them. Seed 0. The scores are kept in
``results/few-examples.json``. No model of this is published.
"""

from benchmarks.pairs import pair
from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.pipeline.runs import teach_tasks
from bistil.progress import Progress
from bistil.quickstart.recipe import recipe_for

RESULT = ROOT / "results/few-examples.json"
LEAST = {"NER": (0, 200, 400), "POS tagging": (0, 200), "definitions": (0, 200)}


def main() -> None:
    """All rows that are not there yet."""
    rows = read_json(RESULT)["rows"] if RESULT.exists() else {}
    chosen = {
        "NER": pair("sw", 2, 200_000, ("ner",)).override(["tasks.0.max_train_samples=400"]),
        "POS tagging": pair("tr", 2, 200_000, ("pos",)).override(["tasks.0.max_train_samples=400"]),
        "definitions": recipe_for("tr", "default", ROOT / "runs/quickstart-tr-default").override(["seeds=[0]"]),
    }
    for task, recipe in chosen.items():
        for least in LEAST[task]:
            name = f"{task}, min_steps {least}"
            if name not in rows:
                (scores,) = teach_tasks(recipe.override([f"tasks.0.min_steps={least}"]), Progress()).values()
                metric = "f1" if task == "NER" else "accuracy"
                found = {code: own[0][metric] for code, own in scores.items()}
                rows[name] = described(
                    {"target": found[recipe.target.language], "validation": found["validation"]}
                )
                write_json(RESULT, {"command": "python -m benchmarks.few_examples", "rows": rows})
            print(name, rows[name]["target"], rows[name]["validation"], flush=True)


if __name__ == "__main__":
    main()
