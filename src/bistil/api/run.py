"""`bistil.run`: one recipe from text to report."""

import os
from collections.abc import Mapping, Sequence

from bistil.api.given import folder_of, kind_of, path_of
from bistil.errors import BistilError
from bistil.fleet.stages import stored
from bistil.pipeline.runs import Run
from bistil.pipeline.runs import run as run_pipeline
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe


def run(
    recipe: Recipe | str | os.PathLike[str],
    *,
    overrides: Sequence[str] = (),
    output_dir: str | os.PathLike[str] | None = None,
    store: str | os.PathLike[str] | None = None,
    progress: bool | Progress = True,
) -> Run:
    """Run a recipe: trim, distill, learn the tasks, train baselines, evaluate, measure, report.

    What an earlier run finished is reused, and one that was killed goes on.

    Args:
        recipe: a YAML file, such as `bistil init` writes, or a `Recipe`.
        overrides: changes such as ``"distill.tokens=100_000"``.
        output_dir: the folder for the report and the models, instead of the recipe's ``out``.
        store: where stages are shared with other machines: a folder, or a URL such as ``s3://bucket/bistil``.
        progress: whether to show it.

    Returns:
        The folder and the report as plain values: ``run("recipe.yaml").report["comparison"]["faster"]`` is 1.9.

    Raises:
        BistilError: a recipe that cannot be read, or files that are not there.
    """
    if isinstance(overrides, str | Mapping):
        raise BistilError(f"overrides is {kind_of(overrides)}. Give a list, such as ['distill.tokens=3'].")
    if isinstance(recipe, Recipe):
        loaded = recipe.override(overrides)
    else:
        loaded = Recipe.load(path_of(recipe, "The recipe", "a YAML file, or a Recipe"), overrides)
    if output_dir is not None:
        loaded = loaded.model_copy(update={"out": folder_of(output_dir, "output_dir")})
    shown = Progress.shown(progress)
    return run_pipeline(loaded, shown, None if store is None else stored(os.fspath(store), loaded.out, shown))
