"""Baselines: the alternatives, on the same data and with the same budget."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

from bistil.models import teachers
from bistil.pipeline.encoders import as_stage
from bistil.pipeline.stages import StageFolder
from bistil.pipeline.studentstages import StudentStages
from bistil.pipeline.taskdata import TaskData
from bistil.pipeline.taskstages import Context, Outcome, TaskStages
from bistil.progress import Progress
from bistil.recipe.parts import Task as TaskRecipe
from bistil.recipe.recipe import Recipe

TITLES = {
    "trimmed": "Task teacher, trimmed",
    "layer_drop": "Student without general distillation",
    "source_only": "Student distilled on the source language alone",
    "target_only": "Student distilled on the target language alone",
    "multilingual": "Student distilled on many languages",
    "scratch": "Student's shape from scratch",
}
# of the student's shape and vocabulary, and so of its cost
AS_THE_STUDENT = frozenset({"layer_drop", "source_only", "target_only", "scratch"})


def title(role: str) -> str:
    """The title of a baseline in a report; a model's is its name."""
    return TITLES.get(role, role)


class Baselines:
    """Makes the baselines of a recipe with the stages that its run makes anyway.

    Students are distilled from the task teacher as the student is; a model from scratch and other models are
    fine-tuned on gold labels as the task teacher is.
    """

    def __init__(
        self,
        recipe: Recipe,
        progress: Progress,
        students: StudentStages,
        context: Context,
        data: Mapping[str, TaskData],
    ) -> None:
        self._recipe, self._progress, self._students = recipe, progress, students
        self._context, self._data = context, data
        # a model that is missing is reported before hours are spent on the others
        self._located = {
            role: teachers.locate(role, recipe.out) for role in recipe.baselines if role not in TITLES
        }

    def outcome(self, role: str, task: TaskRecipe, seed: int, teacher: Outcome) -> Outcome:
        """A baseline's model folder of a task and its scores; ``teacher`` is the run's own of that seed."""
        stages, who = self._stages(task, self._context), title(role)
        match role:
            case "trimmed":
                return replace(teacher, model=stages.teacher_model(seed, teacher))
            case "layer_drop":
                return stages.student(seed, teacher, self._context.undistilled, "layer-drop", who)
            case "source_only" | "target_only":
                part = self._recipe.source if role == "source_only" else self._recipe.targets[0]
                return stages.student(seed, teacher, self._distilled(seed, who, part.language), role, who)
            case "multilingual":
                students, context = self._many
                start = students.distilled(
                    context.vocabulary,
                    context.undistilled,
                    seed,
                    self._context.title(f"General distillation: {who}", seed, None),
                )
                stages = self._stages(task, context)
                return stages.student(seed, stages.teacher(seed, "teacher of many languages"), start, role, who)
            case "scratch":
                vocabulary, undistilled = self._context.vocabulary, self._context.undistilled
                start = self._students.scratch(
                    vocabulary, undistilled, seed, self._context.title("Training from scratch", seed, None)
                )
                return self._tuned(task, start, seed, who)
            case model:
                return self._tuned(task, self._other(model), seed, model)

    def _stages(self, task: TaskRecipe, context: Context) -> TaskStages:
        return TaskStages(task, self._data[task.name], context)

    def _distilled(self, seed: int, who: str, language: str) -> StageFolder:
        return self._students.distilled(
            self._context.vocabulary,
            self._context.undistilled,
            seed,
            self._context.title(f"General distillation: {who}", seed, None),
            only=language,
        )

    def _tuned(self, task: TaskRecipe, base: StageFolder, seed: int, who: str) -> Outcome:
        stages = self._stages(task, replace(self._context, vocabulary=base, deltas={}))
        outcome = stages.teacher(seed, who)
        return replace(outcome, model=stages.teacher_model(seed, outcome, who))

    @cached_property
    def _many(self) -> tuple[StudentStages, Context]:
        """The stages of a student of many languages, with a vocabulary for all of them."""
        students = StudentStages(
            self._recipe, self._progress, further=self._recipe.multilingual, stages=self._students.stages
        )
        vocabulary = students.vocabulary()
        return students, replace(
            self._context, vocabulary=vocabulary, undistilled=students.undistilled(vocabulary)
        )

    def _other(self, name: str) -> StageFolder:
        return as_stage(self._context.stages, name, self._located[name])
