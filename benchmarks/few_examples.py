"""How many passes few labelled examples need: `python -m benchmarks.few_examples`, resumable.

Task teachers, multilingual-E5-small, 400 English sentences in batches of 8, that is 50 steps a pass: entities,
tested on Swahili and on English, and parts of speech, tested on Turkish. Seed 0. The scores are kept in
``results/few-examples.json``. No model of this is published.
"""

from benchmarks.pairs import pair
from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil import Progress, teach_tasks
from bistil.stages import read_json, write_json

RESULT = ROOT / "results/few-examples.json"
PASSES = ((1, 2), (2, 4), (4, 8), (8, 16))


def main() -> None:
    """All rows that are not there yet."""
    rows = read_json(RESULT)["rows"] if RESULT.exists() else {}
    for passes in PASSES:
        for kind, target in (("ner", "sw"), ("pos", "tr")):
            name = f"{kind}, {passes[0]} and {passes[1]} passes"
            if name not in rows:
                changes = ["tasks.0.examples=400", f"tasks.0.epochs={[*passes]}"]
                (scores,) = teach_tasks(pair(target, 2, 200_000, (kind,)).override(changes), Progress()).values()
                found = {code: own[0]["f1" if kind == "ner" else "accuracy"] for code, own in scores.items()}
                rows[name] = described({"target": found[target], "validation": found["validation"]})
                write_json(RESULT, {"command": "python -m benchmarks.few_examples", "rows": rows})
            print(name, rows[name]["target"], rows[name]["validation"], flush=True)


if __name__ == "__main__":
    main()
