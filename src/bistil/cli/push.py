"""`bistil push`: a model on the hub."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bistil.errors import BistilError


def push(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A model: OUT/tasks/NAME or OUT/student of a run.")
    ],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="Its id on the hub, such as me/turkish-pos.")],
    private: Annotated[bool, typer.Option("--private", help="Only you and your organisation see it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, for scripts.")] = False,
) -> None:
    """Upload a model to the hub, with its model card.

    It lists the files and asks before it uploads them. These are the model, its tokenizer, ONNX files and the
    card; data, stages and recipes are never uploaded.

    \b
    hf auth login
    bistil push runs/turkish/tasks/pos me/turkish-pos
    bistil push runs/turkish/student me/english-turkish --private --yes
    """
    from bistil.exporting import push as pushing
    from bistil.progress import Progress
    from bistil.report.formats import size

    files = pushing.uploads(folder)
    if not yes and not sys.stdin.isatty():
        raise BistilError("bistil push asks before it uploads, and nobody can answer here. Add --yes.")
    print(pushing.listing(files))
    total = f"{len(files)} files, {size(sum(file.size for file in files))}"
    if not yes and not typer.confirm(f"Upload {total} to {repo} ({'private' if private else 'public'})?"):
        print("Nothing was uploaded.")
        raise typer.Exit(1)
    with Progress().stage(f"Uploading {total}"):
        address = pushing.push(files, repo, private=private)
    print(f"model  {address}")
