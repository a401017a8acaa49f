"""A recipe becomes stages, and stages become a report."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from bistil.errors import BistilError
from bistil.exporting.card import card, weights
from bistil.files import foreign, publish, publish_files, read_json
from bistil.hub import CARD
from bistil.launch import process_index, processes
from bistil.models.shapes import StudentShape
from bistil.pipeline.cardfacts import of_student
from bistil.pipeline.embeddingrun import EmbeddingRun
from bistil.pipeline.onestudent import titled
from bistil.pipeline.outfolder import held_folder
from bistil.pipeline.pipeline import WEB, Pipeline, Scores
from bistil.pipeline.stages import StageFolder, Stages
from bistil.pipeline.studentstages import StudentStages
from bistil.pipeline.taskdata import TaskData
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.report import REPORT, write_report
from bistil.report.answer import answer
from bistil.runtime.shown import InFolder
from bistil.runtime.threads import available
from bistil.training.allocator import keep_freed_memory

# what general distillation leaves beside the student
DISTILLED = ("student.txt", "distillation.json", "loss.svg")


@dataclass(frozen=True, repr=False)
class Run(InFolder):
    """What a run left behind: its folder, and the report as plain values."""

    output_dir: Path
    report: dict[str, Any]

    @property
    def models(self) -> list[Path]:
        """The folders of the task models, or of the embedding model."""
        if "embeddings" in self.report:
            return [self.output_dir / "student"]
        return [self.output_dir / "tasks" / task["name"] for task in self.report["tasks"]]

    def _facts(self) -> Iterator[tuple[str, str]]:
        found = answer(self.report)
        yield "result", found.sentence
        yield from (("missing", problem) for problem in found.problems)
        yield "report", str(self.output_dir / "report.html")
        yield from (("model", str(model)) for model in self.models)
        if self.report.get("web"):
            yield "try it", f"python -m http.server -d {self.output_dir / self.report['web']}"


def distill(recipe: Recipe, progress: Progress) -> StageFolder:
    """Runs the stages of a recipe up to general distillation; tasks are left alone.

    Leaves ``student/`` (of the first seed, a plain transformers folder with a model card), ``student.txt`` (what
    in it came from where), ``distillation.json``, ``loss.svg`` and ``stages/`` in the recipe's ``out``. Under
    `torchrun` all processes train together. Returns the stage of the first seed.
    """
    _check_alone(recipe)
    recipe.check_files()
    with held_folder(recipe.out, ["student", *DISTILLED]):
        found = distilled(recipe, progress)
        if not process_index():
            publish(found.student.path / "student", recipe.out / "student", {CARD: found.card})
            publish_files(recipe.out, found.files)
            _publish_recipe(recipe, progress)
    return found.student


@dataclass(frozen=True)
class Distillation:
    """The student's stage of the first seed, its layers and widths, its card, and `DISTILLED`."""

    student: StageFolder
    shape: StudentShape
    card: str
    files: Mapping[str, Path]


def distilled(recipe: Recipe, progress: Progress) -> Distillation:
    """Runs the stages of a recipe up to general distillation, and publishes nothing."""
    prepare()
    made = StudentStages(recipe, progress)
    vocabulary = made.vocabulary()
    undistilled = made.undistilled(vocabulary)
    first, *_ = [
        made.distilled(vocabulary, undistilled, seed, titled(recipe, "General distillation", seed))
        for seed in recipe.seeds
    ]
    left = {"student.txt": undistilled, "distillation.json": first, "loss.svg": first}
    files = {name: stage.path / name for name, stage in left.items()}
    tokens = read_json(files["distillation.json"])["tokens"]
    shape = made.shape(vocabulary)
    facts = of_student(recipe, made.teacher, first.path / "student", shape, tokens)
    return Distillation(first, shape, card(facts), files)


def run(recipe: Recipe, progress: Progress, stages: Stages | None = None) -> Run:
    """Runs every stage of a recipe that is not there yet, then writes the report and the models.

    ``stages`` are those of the recipe's ``out`` that come from a store; otherwise they lie there alone.

    Leaves ``report.html``, ``report.md``, ``report.json``, ``recipe.yaml``, ``student/``, ``tasks/NAME/`` (of the
    first seed, each with a model card) and ``stages/`` in the recipe's ``out``; ``web/`` if it is asked for.
    """
    check_tested(recipe)
    if recipe.embeddings is None:
        _check_tasks(recipe)
    _start(recipe)
    pipeline = pipeline_of(recipe, progress, _read(recipe), stages)
    with held_folder(recipe.out, published(recipe)):
        report = pipeline.run()
        report["weights"] = {place: weights(recipe.out / place) for place in _models(recipe)}
        _publish_recipe(recipe, progress)
        write_report(report, recipe.out)
    return Run(recipe.out, report)


def published(recipe: Recipe) -> list[str]:
    """The folders and files that `run` writes into the recipe's ``out``: ``["student", "tasks/pos", …]``.

    Args:
        recipe: that is run.
    """
    web = [WEB] if recipe.export is not None and recipe.export.web else []
    return [*_models(recipe), *web, *REPORT]


def _models(recipe: Recipe) -> list[str]:
    return ["student", *(f"tasks/{task.name}" for task in recipe.tasks)]


def pipeline_of(
    recipe: Recipe, progress: Progress, data: Mapping[str, TaskData], stages: Stages | None = None
) -> Pipeline | EmbeddingRun:
    """The stages of a run in their order: those of tasks, whose files are read, or of sentence embeddings."""
    if recipe.embeddings is None:
        return Pipeline(recipe, progress, data, stages)
    return EmbeddingRun(recipe, progress, stages)


def teach_tasks(recipe: Recipe, progress: Progress) -> Scores:
    """Runs the stages of a recipe up to its task teachers: the trimmed teacher, fine-tuned on gold labels.

    Leaves ``teachers/NAME/`` (of the first seed, plain transformers folders with cards) and ``stages/`` in the
    recipe's ``out``; `run` and `transfer_tasks` reuse them. Returns the scores of each task by language and seed.
    Example: ``teach_tasks(recipe, Progress())["pos"]["tr"][0]["accuracy"]`` is 76.7.
    """
    pipeline = _pipeline(recipe, progress)
    with held_folder(recipe.out, [f"teachers/{task.name}" for task in recipe.tasks]):
        return pipeline.teach()


def transfer_tasks(recipe: Recipe, progress: Progress) -> Scores:
    """Runs the stages of a recipe up to its task students, without baselines, measurements of speed and a report.

    Leaves ``student/``, ``tasks/NAME/`` (of the first seed, plain transformers folders with cards) and
    ``stages/``. Returns scores as `teach_tasks` does.
    """
    _check_alone(recipe)
    pipeline = _pipeline(recipe, progress)
    with held_folder(recipe.out, ["student", *(f"tasks/{task.name}" for task in recipe.tasks)]):
        return pipeline.transfer()


def prepare() -> None:
    """Settings of the process that every training wants."""
    torch.set_num_threads(
        min(torch.get_num_threads(), available())
    )  # torch counts the cores of a container's host
    keep_freed_memory()
    disable_progress_bar()  # of transformers: ours says more


def _publish_recipe(recipe: Recipe, progress: Progress) -> None:
    """All values of the recipe beside its results, unless a recipe of the user's own is there."""
    if (there := foreign(recipe.out / "recipe.yaml")) is None:
        publish_files(recipe.out, {"recipe.yaml": recipe.text()})
    else:
        progress.say(f"{there} stays as it is: bistil did not write it, or it was changed since.")


def check_tested(recipe: Recipe) -> None:
    """Raises BistilError where a task has no test file, without which there is nothing to report."""
    for index, task in enumerate(recipe.tasks):
        if not task.test:
            raise BistilError(
                f"Recipe {recipe.name}: tasks.{index}.test is missing. Give the labelled test file of a language, "
                "or learn the task alone with `bistil transfer`."
            )


def _check_alone(recipe: Recipe) -> None:
    """Raises BistilError where there are several students, of which only a run says which one is published."""
    if recipe.students:
        raise BistilError(
            f"Recipe {recipe.name} has several students, which `bistil run` makes. Here give one of them as "
            "student, and leave out students and choose."
        )


def _pipeline(recipe: Recipe, progress: Progress) -> Pipeline:
    _check_tasks(recipe)
    _start(recipe)
    return Pipeline(recipe, progress, _read(recipe))


def _check_tasks(recipe: Recipe) -> None:
    if not recipe.tasks:
        raise BistilError(
            f"Recipe {recipe.name} has no tasks. Add one, or distill the student alone with `bistil distill`."
        )


def _read(recipe: Recipe) -> dict[str, TaskData]:
    return {task.name: TaskData.read(task) for task in recipe.tasks}


def _start(recipe: Recipe) -> None:
    """What comes before the first stage."""
    if processes() > 1:
        raise BistilError(
            "Only `bistil distill` runs on several processes. Start it that way first, then this command."
        )
    recipe.check_files()
    prepare()
