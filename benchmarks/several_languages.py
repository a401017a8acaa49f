"""One student of five languages against four bilingual ones: `python -m benchmarks.several_languages [CODE …]`.

Multilingual-E5-small, half of the layers, one seed, English to Turkish, German, Basque and Swahili. The student of
five languages is distilled on as many tokens as the four bilingual ones together, and each learns POS tagging and
topics (SIB-200) from the same examples. Kept in ``results/several-languages.json``, student by student, so that it
is resumable; with codes only the bilingual students of those languages are made. ``python -m
benchmarks.several_languages time`` adds how long each run takes by `bistil plan`: the runs themselves were made
beside other programs.
"""

import sys
from typing import Any

from benchmarks.pairs import TEXT, TREEBANKS
from benchmarks.realdata import ROOT, realdata
from benchmarks.results import described
from bistil import Recipe
from bistil.files import read_json, write_json
from bistil.pipeline.runs import run
from bistil.planning.planned import plan
from bistil.progress import Progress

RESULT = ROOT / "results/several-languages.json"
TOKENS = 1_000_000  # of general distillation, in all students of one kind together
TARGETS = ("tr", "de", "eu", "sw")


def main() -> None:
    """All students that are not in the results yet, or the bilingual ones that are asked for."""
    data = str(realdata())
    if sys.argv[1:] == ["time"]:
        rows = [{**row, "planned_seconds": plan(_recipe(data, tuple(row["targets"]))).seconds} for row in _rows()]
        write_json(RESULT, {"command": "python -m benchmarks.several_languages", "rows": rows})
        return
    every: list[tuple[str, ...]] = [TARGETS, *((code,) for code in TARGETS)]
    for targets in [(code,) for code in sys.argv[1:]] or every:
        if any(row["targets"] == list(targets) for row in _rows()):
            continue
        report = run(_recipe(data, targets), Progress()).report
        rows = [*_rows(), _row(report, targets)]
        write_json(RESULT, {"command": "python -m benchmarks.several_languages", "rows": rows})


def _rows() -> list[Any]:
    found: list[Any] = read_json(RESULT)["rows"] if RESULT.exists() else []
    return found


def _recipe(data: str, targets: tuple[str, ...]) -> Recipe:
    tasks = [
        ("pos", "pos", "ud/en_ewt-train.conllu", {code: TREEBANKS[code] for code in targets if code in TREEBANKS}),
        (
            "classification",
            "topic",
            "topic/en_sib200-train.tsv",
            {code: f"topic/{code}_sib200-test.tsv" for code in targets},
        ),
    ]
    return Recipe.checked(
        {
            "name": f"en-{'-'.join(targets)}",
            "source": {"language": "en", "text": f"{data}/text/en.txt"},
            "target": [{"language": code, "text": f"{data}/{TEXT[code]}"} for code in targets],
            "distill": {"tokens": TOKENS * len(targets) // len(TARGETS)},
            "baselines": [],
            "tasks": [
                {
                    "kind": kind,
                    "name": name,
                    "train": f"{data}/{train}",
                    "max_train_samples": 300,
                    "min_steps": 0,
                    "test": {code: f"{data}/{path}" for code, path in tests.items()},
                }
                for kind, name, train, tests in tasks
                if tests
            ],
            "out": str(ROOT / f"runs/several/{'-'.join(targets)}"),
        }
    )


def _row(report: dict[str, Any], targets: tuple[str, ...]) -> dict[str, Any]:
    student = next(model for model in report["models"] if model["role"] == "student")
    return described(
        {
            "targets": list(targets),
            "tokens": report["distillation"]["tokens"],
            "vocabulary": report["vocabulary"]["after"],
            "parameters": student["parameters"],
            "disk_bytes": student["disk_bytes"],
            "seconds": sum(stage["seconds"] for stage in report["stages"]),
            "scores": {task["name"]: task["scores"] for task in report["tasks"]},
        }
    )


if __name__ == "__main__":
    main()
