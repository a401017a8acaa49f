"""`bistil quickstart`: the whole pipeline, on data that is fetched."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bistil.cli.run import Overrides, execute


class Size(StrEnum):
    """How much is trained."""

    smoke = "smoke"
    default = "default"
    full = "full"


def quickstart(
    target: Annotated[str, typer.Option(help="Target language; English is the source.")] = "tr",
    size: Annotated[
        Size, typer.Option(help="smoke: a test run (minutes); default: a real result; full: a good one.")
    ] = Size.default,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report and models [runs/quickstart-TARGET-SIZE].")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Distill a real model from real data.

    Its task: what kind of thing does a dictionary definition describe?

    \b
    bistil quickstart
    bistil quickstart --size smoke
    bistil quickstart --size full --out runs/full --set seeds=[0,1,2]
    """
    import torch  # noqa: F401  # where it is missing, nothing is fetched

    from bistil.progress import Progress
    from bistil.quickstart.recipe import recipe_for

    folder = out or Path("runs", f"quickstart-{target}-{size.value}")
    progress = Progress()
    with progress.stage("Preparing the data"):
        recipe = recipe_for(target, size.value, folder).override(overrides or [])
    execute(recipe, progress)
