"""`bistil fleet`: many languages and students from one file, on this machine or on a Ray cluster."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bistil.cli.run import Overrides
from bistil.errors import BistilError

if TYPE_CHECKING:
    from bistil.fleet.executors import Executor
    from bistil.recipe.matrix import Resources


def fleet(
    matrix: Annotated[Path, typer.Argument(metavar="MATRIX", help="Languages, students and tasks in one file.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder for all that is made, instead of the matrix's.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Stages at once on this machine; 1: one by one. Default: by its processors."),
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Ray tasks instead of processes.")] = False,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster, such as auto or ray://head:10001.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where the machines share stages: a folder, s3://… or gs://…"),
    ] = None,
) -> None:
    """Make a student of every language and shape, with every task or for embeddings, each stage once.

    What fails is listed while the rest goes on, and the status is then 1; the same command later makes only what
    is missing. `bistil plan MATRIX` says before what it would take.

    \b
    bistil fleet matrix.yaml
    bistil fleet matrix.yaml --workers 1 --set distill.tokens=100_000
    bistil fleet matrix.yaml --address auto --store s3://bucket/bistil
    """
    from bistil.recipe.matrix import Matrix

    changes = [*(overrides or []), *([f"out={json.dumps(str(out), ensure_ascii=False)}"] if out else [])]
    loaded = Matrix.load(matrix, changes)
    if address is not None and workers is not None:
        raise BistilError(
            "--workers is for this machine; the cluster at --address has as many as it has room for."
        )
    from bistil.fleet.fleet import run_fleet
    from bistil.launch import leave_on_sigterm
    from bistil.progress import Progress

    progress, executor = Progress(), _executor(loaded.resources, workers, ray, address)
    leave_on_sigterm()  # after Ray was started, which has another way
    found = run_fleet(loaded, executor, progress, store)
    from bistil.report.fleet import sentence

    progress.say(f"\n{sentence(found.summary)}\n\nsummary  {found.output_dir / 'fleet.html'}")
    if found.summary["failed"]:
        raise typer.Exit(1)


def _executor(resources: "Resources", workers: int | None, ray: bool, address: str | None) -> "Executor":
    from bistil.fleet.executors import InTurn, Processes
    from bistil.runtime.threads import available

    room = max(available() // (resources.cpus * resources.processes), 1) if workers is None else workers
    if ray or address is not None:
        from bistil.fleet.raytasks import RayTasks

        return RayTasks(address, room, resources)
    return Processes(room, resources) if room > 1 else InTurn()
