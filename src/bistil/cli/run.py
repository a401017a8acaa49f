"""`bistil run`: one recipe from text to report."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bistil.progress import Progress
    from bistil.recipe.recipe import Recipe

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe; may be repeated."),
]


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe; `bistil init` writes one.")],
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report and models, instead of the recipe's.")
    ] = None,
) -> None:
    """Run a recipe, from text to report.

    Stages that an earlier run finished are reused. The same command resumes an interrupted run.

    \b
    bistil run recipe.yaml
    bistil run recipe.yaml --set distill.tokens=100_000 --out runs/quick
    bistil run recipe.yaml --set tasks.0.density=0.16 --set seeds=[0,1,2]
    """
    from bistil.progress import Progress
    from bistil.recipe.recipe import Recipe

    changes = [*(overrides or []), *([f"out={json.dumps(str(out), ensure_ascii=False)}"] if out else [])]
    execute(Recipe.load(recipe, changes), Progress())


def execute(recipe: "Recipe", progress: "Progress") -> None:
    """Run a recipe with live progress, then say what came out and where it is."""
    recipe.check_files()
    from bistil.pipeline.runs import run as run_pipeline
    from bistil.report.answer import answer

    result = run_pipeline(recipe, progress)
    found = answer(result.report)
    progress.say("\n".join(["", found.sentence, *found.problems, ""]))
    progress.say(f"report  {result.output_dir / 'report.html'}")
    for task in recipe.tasks:
        progress.say(f"model   {result.output_dir / 'tasks' / task.name}")
