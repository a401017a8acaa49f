"""How many examples a batch of a task should have: `python -m benchmarks.task_batch`, resumable.

The same examples and epochs, so that a smaller batch means more steps. The quickstart's task: task teachers with
batches of 32, 16 and 8, the student with 32 and 8 and, with 8, another learning rate. POS tagging, 1,000
sentences: task teachers with batches of 32 and 8. Seed 0; the stages are those of `benchmarks.quickstart` and
`benchmarks.baselines`. The scores are kept in ``results/task-batch.json``.
"""

from typing import Any

from benchmarks.pairs import pair
from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.pipeline.runs import teach_tasks, transfer_tasks
from bistil.progress import Progress
from bistil.quickstart.recipe import recipe_for
from bistil.recipe.recipe import Recipe

RESULT = ROOT / "results/task-batch.json"
TEACHERS = (32, 16, 8)
STUDENTS = ((32, 1e-3), (8, 1e-3), (8, 5e-4))


def recipe(batch: int, rate: float) -> Recipe:
    """The quickstart's with another batch and rate of the student."""
    base = recipe_for("tr", "default", ROOT / "runs/quickstart-tr-default")
    return base.override(
        [
            "seeds=[0]",
            "tasks.0.min_steps=0",
            f"tasks.0.batch_size={batch}",
            f"tasks.0.student_learning_rate={rate}",
        ]
    )


def main() -> None:
    """All rows that are not there yet."""
    rows = read_json(RESULT)["rows"] if RESULT.exists() else {}
    wanted: dict[str, tuple[Any, Recipe]] = {}
    for batch in TEACHERS:
        wanted[f"definitions, task teacher, batch size {batch}"] = teach_tasks, recipe(batch, 5e-4)
    for batch, rate in STUDENTS:
        wanted[f"definitions, student, batch size {batch}, learning rate {rate:g}"] = (
            transfer_tasks,
            recipe(batch, rate),
        )
    for batch in (32, 8):
        changes = ["max_train_samples=1000", "min_steps=0", f"batch_size={batch}"]
        tags = pair("tr", 2, 200_000, ("pos",)).override([f"tasks.0.{change}" for change in changes])
        wanted[f"POS tagging, task teacher, batch size {batch}"] = teach_tasks, tags
    for name, (learn, chosen) in wanted.items():
        if name not in rows:
            (scores,) = learn(chosen, Progress()).values()
            rows[name] = described({language: own[0]["accuracy"] for language, own in scores.items()})
            write_json(RESULT, {"command": "python -m benchmarks.task_batch", "rows": rows})
        print(name, rows[name]["tr"], rows[name]["validation"], flush=True)


if __name__ == "__main__":
    main()
