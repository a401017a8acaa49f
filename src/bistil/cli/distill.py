"""`bistil distill`: from a teacher and text to a bilingual student, without a task."""

import json
from pathlib import Path
from typing import Annotated

import typer

from bistil.cli.run import Overrides
from bistil.launch import process_index


def distill(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe; its tasks are ignored.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the student, instead of the recipe's.")] = None,
) -> None:
    """Distill a student from a teacher and text.

    It trims the vocabulary, drops layers, and trains the student to match the teacher. `bistil run` with the same
    recipe reuses it. The same command resumes an interrupted run; Ctrl-C and SIGTERM lose at most a minute.

    \b
    bistil distill recipe.yaml
    bistil distill recipe.yaml --set distill.tokens=3_000_000 --set student.layer_reduction=3
    bistil distill recipe.yaml --set distill.arguments.report_to=tensorboard
    torchrun --nproc-per-node 4 -m bistil distill recipe.yaml
    """
    from bistil.recipe.recipe import Recipe

    changes = [*(overrides or []), *([f"out={json.dumps(str(out), ensure_ascii=False)}"] if out else [])]
    loaded = Recipe.load(recipe, changes)
    loaded.check_files()
    from bistil.pipeline.runs import distill as run_distillation
    from bistil.progress import Progress

    progress = Progress()
    run_distillation(loaded, progress)
    if process_index():  # the first one writes what is read here
        return
    progress.say(f"\n{(loaded.out / 'student.txt').read_text(encoding='utf-8').rstrip()}")
    progress.say(f"\nstudent  {loaded.out / 'student'}")
    progress.say(f"losses   {loaded.out / 'distillation.json'}, {loaded.out / 'loss.svg'}")
