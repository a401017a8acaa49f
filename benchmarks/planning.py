"""How right `bistil plan` is: the quickstart, planned and then run: `python -m benchmarks.planning`.

The plan is that of an empty folder; the run is that of `benchmarks.quickstart default 0`, and what is there of it
counts with the seconds that it took. The numbers go to ``results/planning.json``.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.realdata import ROOT
from benchmarks.results import save_measurement
from bistil.pipeline.runs import run
from bistil.planning import plan
from bistil.progress import Progress
from bistil.quickstart.recipe import recipe_for


def main() -> None:
    """Plans, runs, compares stage by stage and the sums."""
    recipe = recipe_for("tr", "default", ROOT / "runs/quickstart-tr-default").override(["seeds=[0]"])
    with TemporaryDirectory() as empty:
        found = plan(recipe.override([f"out={Path(empty) / 'out'}"]))
    report = run(recipe, Progress()).report
    took = {stage["name"]: stage for stage in report["stages"]}
    stages = {
        stage.title: {
            "planned_seconds": stage.seconds,
            "seconds": took[stage.title]["seconds"],
            "planned_memory_bytes": found.bare + stage.work.memory,
            "memory_bytes": took[stage.title]["memory_bytes"],
        }
        for stage in found.stages
    }
    total = sum(facts["seconds"] for facts in stages.values())
    for title, facts in stages.items():
        print(f"{title}: planned {facts['planned_seconds']:.0f} s, took {facts['seconds']:.0f} s")
    print(f"all: planned {found.seconds:.0f} s, took {total:.0f} s, {total / found.seconds:.2f} times")
    facts = {"planned_seconds": found.seconds, "seconds": total, "ratio": total / found.seconds, "stages": stages}
    save_measurement("planning", "python -m benchmarks.planning", facts)


if __name__ == "__main__":
    main()
