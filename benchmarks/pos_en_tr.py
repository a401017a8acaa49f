"""Part-of-speech tags from English to Turkish: `python -m benchmarks.pos_en_tr`, resumable.

English EWT (4,000 sentences) → Turkish BOUN; 300,000 tokens of general distillation. The scores go to
``results/pos-en-tr.json``.
"""

from pathlib import Path

from benchmarks.realdata import ROOT, realdata
from benchmarks.results import save_result
from bistil import Progress, Recipe, run
from bistil.report.answer import answer


def recipe(data: Path) -> Recipe:
    """The experiment, on the files of `data`."""
    return Recipe.checked(
        {
            "name": "pos-en-tr",
            "source": {"language": "en", "text": str(data / "text/en.txt")},
            "target": {"language": "tr", "text": str(data / "text/tr.txt")},
            "distil": {"tokens": 300_000},
            "tasks": [
                {
                    "kind": "pos",
                    "train": str(data / "ud/en_ewt-train.conllu"),
                    "validation": str(data / "ud/en_ewt-dev.conllu"),
                    "test": {
                        "tr": str(data / "ud/tr_boun-test.conllu"),
                        "en": str(data / "ud/en_ewt-test.conllu"),
                    },
                    "examples": 4_000,
                    "batch": 32,
                    "min_steps": 0,
                }
            ],
            "out": str(ROOT / "runs/pos-en-tr"),
        }
    )


def main() -> None:
    """Runs the recipe and keeps its numbers."""
    report = run(recipe(realdata()), Progress()).report
    save_result(report, "pos-en-tr", "python -m benchmarks.pos_en_tr")
    print(answer(report).sentence)


if __name__ == "__main__":
    main()
