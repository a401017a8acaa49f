"""`bistil transfer`: the tasks of a recipe distilled into the student."""

from pathlib import Path
from typing import Annotated

import typer

from bistil.cli.run import Overrides
from bistil.cli.teach import described, load


def transfer(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe; `bistil init` writes one.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the models, instead of the recipe's.")] = None,
) -> None:
    """Distill the tasks of a recipe into its student.

    What is missing is made first: the trimmed teacher, the distilled student, the task teachers. `bistil run` also
    trains baselines, measures speed and writes a report; it reuses all of this.

    \b
    bistil transfer recipe.yaml
    bistil transfer recipe.yaml --set distill.tokens=100_000
    """
    loaded = load(recipe, overrides, out)
    from bistil.pipeline.runs import transfer_tasks
    from bistil.progress import Progress

    progress = Progress()
    for line in described(transfer_tasks(loaded, progress), loaded.out / "tasks"):
        progress.say(line)
