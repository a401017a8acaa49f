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
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Share stages with other machines: a folder, s3://… or gs://…"),
    ] = None,
) -> None:
    """Run a recipe, from text to report.

    Stages that an earlier run finished are reused. The same command resumes an interrupted run. With a store it
    resumes on another machine, too, and no two machines make the same stage.

    \b
    bistil run recipe.yaml
    bistil run recipe.yaml --set distill.tokens=100_000 --out runs/quick
    bistil run recipe.yaml --set tasks.0.density=0.16 --set seeds=[0,1,2]
    bistil run recipe.yaml --store s3://bucket/bistil
    """
    from bistil.progress import Progress
    from bistil.recipe.recipe import Recipe

    changes = [*(overrides or []), *([f"out={json.dumps(str(out), ensure_ascii=False)}"] if out else [])]
    execute(Recipe.load(recipe, changes), Progress(), store)


def execute(recipe: "Recipe", progress: "Progress", store: str | None = None) -> None:
    """Run a recipe with live progress, then say what came out and where it is."""
    recipe.check_files()
    from bistil.fleet.stages import stored
    from bistil.pipeline.runs import run as run_pipeline
    from bistil.report.answer import answer

    result = run_pipeline(recipe, progress, None if store is None else stored(store, recipe.out, progress))
    found = answer(result.report)
    progress.say("\n".join(["", found.sentence, *found.problems, ""]))
    progress.say(f"report  {result.output_dir / 'report.html'}")
    for model in result.models:
        progress.say(f"model   {model}")
    if web := result.report.get("web"):
        progress.say(f"try it  python -m http.server -d {result.output_dir / web}")
