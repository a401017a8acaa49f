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


class Task(StrEnum):
    """What the model is to do."""

    definitions = "definitions"
    embeddings = "embeddings"


def quickstart(
    target: Annotated[str, typer.Option(help="Target language; English is the source.")] = "tr",
    task: Annotated[
        Task,
        typer.Option(
            help="definitions: what kind of thing does a dictionary definition describe? embeddings: vectors of "
            "texts, by which definitions of one thing find each other in two languages."
        ),
    ] = Task.definitions,
    size: Annotated[
        Size, typer.Option(help="smoke: a test run (minutes); default: a real result; full: a good one.")
    ] = Size.default,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the report and models [runs/quickstart-TARGET-SIZE; runs/embeddings-TARGET-SIZE]."
        ),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Distill a real model from real data.

    \b
    bistil quickstart
    bistil quickstart --size smoke
    bistil quickstart --task embeddings
    bistil quickstart --size full --out runs/full --set seeds=[0,1,2]
    """
    import torch  # noqa: F401  # where it is missing, nothing is fetched

    from bistil.progress import Progress
    from bistil.quickstart.recipe import recipe_for

    embeddings = task is Task.embeddings
    folder = out or Path("runs", f"{'embeddings' if embeddings else 'quickstart'}-{target}-{size.value}")
    progress = Progress()
    with progress.stage("Preparing the data"):
        recipe = recipe_for(target, size.value, folder, embeddings).override(overrides or [])
    execute(recipe, progress)
