"""Baselines: the alternatives, on the same data and with the same budget."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from bistil.models import teachers
from bistil.pipeline.encoders import as_stage
from bistil.pipeline.onestudent import OneStudent
from bistil.pipeline.stages import StageFolder
from bistil.pipeline.studentstages import StudentStages
from bistil.pipeline.taskdata import TaskData
from bistil.pipeline.taskstages import Context, Outcome, TaskStages
from bistil.progress import Progress
from bistil.recipe.parts import Task as TaskRecipe
from bistil.recipe.recipe import Recipe
from bistil.tasks.heads import check_head

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
    """Makes the baselines of a recipe's student with the stages that its run makes anyway.

    Students are distilled from the task teacher as the student is; a model from scratch and other models are
    fine-tuned on gold labels as the task teacher is.
    """

    def __init__(self, recipe: Recipe, progress: Progress, data: Mapping[str, TaskData]) -> None:
        self._progress, self._data = progress, data
        # a model that is missing or learns no such task is reported before hours are spent on the others
        self._located = {
            role: teachers.locate(role, recipe.out) for role in recipe.baselines if role not in TITLES
        }
        for role, located in self._located.items():
            for own in data.values():
                check_head(own.task, teachers.read_config(located), role)

    def outcome(self, role: str, student: OneStudent, task: TaskRecipe, seed: int, teacher: Outcome) -> Outcome:
        """A baseline's model folder of a task and its scores; ``teacher`` is the run's own of that seed."""
        context, who = student.context, title(role)
        stages = self._stages(task, context)
        match role:
            case "trimmed":
                return replace(teacher, model=self._stages(task, student.shared).teacher_model(seed, teacher))
            case "layer_drop":
                return stages.student(seed, teacher, student.undistilled, student.undistilled, "layer-drop", who)
            case "source_only" | "target_only":
                recipe = student.stages.recipe
                part = recipe.source if role == "source_only" else recipe.targets[0]
                start = self._distilled(student.stages, context, student.undistilled, seed, who, part.language)
                return stages.student(seed, teacher, student.undistilled, start, role, who)
            case "multilingual":
                students, context, undistilled = self._many(student)
                stages = self._stages(task, context)
                start = self._distilled(students, context, undistilled, seed, who)
                teacher = stages.teacher(seed, "teacher of many languages")
                return stages.student(seed, teacher, undistilled, start, role, who)
            case "scratch":
                said = context.title("Training from scratch", seed, None)
                start = student.stages.scratch(context.vocabulary, student.undistilled, seed, said)
                return self._tuned(task, context, start, seed, who)
            case model:
                located = self._located[model]
                own = replace(student.shared, width=teachers.read_config(located).hidden_size)
                return self._tuned(task, own, as_stage(context.stages, model, located), seed, model)

    def _stages(self, task: TaskRecipe, context: Context) -> TaskStages:
        return TaskStages(task, self._data[task.name], context)

    def _distilled(
        self,
        students: StudentStages,
        context: Context,
        undistilled: StageFolder,
        seed: int,
        who: str,
        only: str | None = None,
    ) -> StageFolder:
        said = context.title(f"General distillation: {who}", seed, None)
        return students.distilled(context.vocabulary, undistilled, seed, said, only)

    def _tuned(self, task: TaskRecipe, context: Context, base: StageFolder, seed: int, who: str) -> Outcome:
        stages = self._stages(task, replace(context, vocabulary=base, deltas={}))
        outcome = stages.teacher(seed, who)
        return replace(outcome, model=stages.teacher_model(seed, outcome, who))

    @cache  # noqa: B019, lives as long as the run
    def _many(self, student: OneStudent) -> tuple[StudentStages, Context, StageFolder]:
        """The stages of a student of many languages, with a vocabulary for all of them, and that student."""
        recipe = student.stages.recipe
        students = StudentStages(recipe, self._progress, further=recipe.multilingual, stages=student.stages.stages)
        vocabulary = students.vocabulary()
        undistilled = students.undistilled(vocabulary, chosen=student.chosen)  # of the student's own shape
        return students, replace(student.context, vocabulary=vocabulary), undistilled
