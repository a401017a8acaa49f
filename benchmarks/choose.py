"""Does a run choose the student that one would choose by hand? `python -m benchmarks.choose`, resumable.

The quickstart's task, five students from a quarter of the layers to ten. By hand: each in a run of its own that
shares vocabulary and task teacher, then the smallest whose interval is within the tolerance. Then `choose` over
the same five. Its stages are reused, so its time is that of the stages that it needed. Kept in
``results/choose.json``.
"""

from typing import Any

from benchmarks.realdata import ROOT
from benchmarks.results import save_measurement
from bistil.files import read_json
from bistil.pipeline.runs import run
from bistil.progress import Progress
from bistil.quickstart.recipe import recipe_for
from bistil.recipe.recipe import Recipe

STUDENTS = {name: {"layers": layers} for name, layers in (("3", 3), ("4", 4), ("6", 6), ("8", 8), ("10", 10))}
MAX_DROP = 4.0
OUT = ROOT / "runs/choose"


def _recipe(**changes: Any) -> Recipe:
    values = recipe_for("tr", "default", OUT).model_dump(mode="json")
    return Recipe.checked({**values, "name": "choose", "export": None, "baselines": [], **changes})


def _seconds(used: dict[str, float]) -> dict[str, float]:
    """Of all stages that are there, by folder, and not in ``used``."""
    found = {path.parent.name: read_json(path)["seconds"] for path in OUT.glob("stages/*/manifest.json")}
    return {name: seconds for name, seconds in found.items() if name not in used}


def main() -> None:
    """By hand, then by `choose`."""
    took: dict[str, float] = {}
    drops: dict[str, Any] = {}
    for name, student in STUDENTS.items():
        report = run(_recipe(student=student), Progress()).report
        took |= _seconds(took)
        against = report["tasks"][0]["comparisons"]["tr"]["student"]["against_teacher"]
        drops[name] = {key: -against[key] for key in ("difference", "difference_low")}
        print(name, drops[name], flush=True)
    by_hand = next((name for name, own in drops.items() if own["difference_low"] <= MAX_DROP), None)
    found = run(_recipe(students=STUDENTS, choose={"max_drop": MAX_DROP}), Progress())
    facts = {
        "max_drop": MAX_DROP,
        "drops": drops,
        "by_hand": by_hand,
        "chosen": found.report["students"]["published"],
        "seconds_by_hand": sum(took.values()),
        "seconds": sum(stage["seconds"] for stage in found.report["stages"]),
        "sentence": repr(found),
    }
    save_measurement("choose", "python -m benchmarks.choose", facts)
    print(facts)


if __name__ == "__main__":
    main()
