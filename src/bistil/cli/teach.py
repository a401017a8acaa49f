"""`bistil teach`: the teacher, trimmed and fine-tuned on the tasks of a recipe."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bistil.cli.run import Overrides

if TYPE_CHECKING:
    from bistil.recipe.recipe import Recipe


def teach(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe; `bistil init` writes one.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the models, instead of the recipe's.")] = None,
) -> None:
    """Fine-tune the teacher on the tasks of a recipe.

    The vocabulary is trimmed first. `bistil transfer` and `bistil run` with the same recipe reuse it.

    \b
    bistil teach recipe.yaml
    bistil teach recipe.yaml --set tasks.0.epochs=[1,3]
    """
    loaded = load(recipe, overrides, out)
    from bistil.pipeline.runs import teach_tasks
    from bistil.progress import Progress

    progress = Progress()
    for line in described(teach_tasks(loaded, progress), loaded.out / "teachers"):
        progress.say(line)


def load(recipe: Path, overrides: Sequence[str] | None, out: Path | None) -> "Recipe":
    """The recipe with its changes; its files are there."""
    from bistil.recipe.recipe import Recipe

    changes = [*(overrides or []), *([f"out={json.dumps(str(out), ensure_ascii=False)}"] if out else [])]
    loaded = Recipe.load(recipe, changes)
    loaded.check_files()
    return loaded


def described(scores: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]], models: Path) -> list[str]:
    """Each task's scores, a line a language, and where its model lies."""
    from bistil.report import formats

    lines = []
    for task, languages in scores.items():
        lines += ["", f"{task}, in per cent"]
        for language, seeds in languages.items():
            found = (f"{formats.metric(name)} {formats.score([one[name] for one in seeds])}" for name in seeds[0])
            lines.append(f"  {language:<12}{', '.join(found)}")
        lines.append(f"  {'model':<12}{models / task}")
    return lines
