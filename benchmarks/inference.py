"""Inference: what a teacher learns from how many pairs, and from hypotheses alone.

``python -m benchmarks.inference [PAIRS …]``, resumable. Multilingual-E5-small is tuned on so many pairs of
MultiNLI, SNLI and LingNLI (the last for measuring alone), and scored on XNLI in five languages. The control is
tuned and scored on the hypotheses, a dash for each premise: what it gets is not inference. Kept in
``results/inference.json``.
"""

import sys
from typing import Any

from benchmarks.inferencefiles import joined
from benchmarks.pairs import TEXT, pair
from benchmarks.realdata import ROOT, realdata
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.pipeline.runs import teach_tasks
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe

RESULT = ROOT / "results/inference.json"
OUT = ROOT / "runs/inference"
PAIRS = (2_000, 8_000, 29_000, 74_000)


def recipe(pairs: int, hypotheses_alone: bool) -> Recipe:
    """One teacher for English and four targets."""
    train, tests = joined(OUT, hypotheses_alone)
    base = pair("tr", 2, 1, ("nli",)).model_dump(mode="json")
    languages = [{"language": code, "text": str(realdata() / path)} for code, path in TEXT.items()]
    task = {
        **base["tasks"][0],
        "train": str(train),
        "validation": str(tests["en"]),
        "test": {code: str(path) for code, path in tests.items() if code != "en"},
        "max_train_samples": pairs,
        "epochs": [1, 1] if pairs > 10_000 else [1, 2],
    }
    changed = {"name": "inference", "target": languages, "tasks": [task], "baselines": [], "out": str(OUT)}
    return Recipe.checked({**base, **changed})


def main() -> None:
    """Each number of pairs, and the control with as many."""
    rows: dict[str, Any] = read_json(RESULT)["rows"] if RESULT.exists() else {}
    for pairs in map(int, sys.argv[1:]) if sys.argv[1:] else PAIRS:
        for alone in (True, False):
            name = f"{pairs:,} {'hypotheses alone' if alone else 'pairs'}"
            if name not in rows:
                scores = teach_tasks(recipe(pairs, alone), Progress())["nli"]
                found = {code: [one["accuracy"] for one in own] for code, own in scores.items()}
                rows[name] = described({"en": found.pop("validation"), **found})
                write_json(RESULT, {"command": "python -m benchmarks.inference", "rows": rows})
            print(name, rows[name], flush=True)


if __name__ == "__main__":
    main()
