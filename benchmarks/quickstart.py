"""The quickstart with three seeds: `python -m benchmarks.quickstart default` (or full), resumable.

The numbers go to ``results/quickstart-SIZE.json``; `python -m benchmarks.tables` puts them into the README.
"""

import sys

from benchmarks.realdata import ROOT
from benchmarks.results import save_result
from bistil.pipeline.runs import run
from bistil.progress import Progress
from bistil.quickstart.recipe import recipe_for
from bistil.report.answer import answer


def main() -> None:
    """Runs one size with the seeds 0, 1 and 2, or those given behind the size."""
    size, *seeds = sys.argv[1:] or ["default"]
    chosen = ",".join(seeds or ["0", "1", "2"])
    recipe = recipe_for("tr", size, ROOT / f"runs/quickstart-tr-{size}").override([f"seeds=[{chosen}]"])
    report = run(recipe, Progress()).report
    save_result(report, f"quickstart-{size}", " ".join(["python -m benchmarks.quickstart", size, *seeds]))
    print(answer(report).sentence)


if __name__ == "__main__":
    main()
