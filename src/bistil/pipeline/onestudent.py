"""One student of a recipe, from the teacher's layers to its task models and their ONNX files."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path

from bistil.errors import BistilError
from bistil.files import read_json
from bistil.models import teachers
from bistil.models.shapes import Shape, StudentShape
from bistil.pipeline import cardfacts
from bistil.pipeline.deployment import Deployed
from bistil.pipeline.stages import StageFolder
from bistil.pipeline.studentstages import StudentStages
from bistil.pipeline.taskdata import TaskData
from bistil.pipeline.taskstages import Context, Outcome, TaskStages
from bistil.recipe.parts import Export
from bistil.recipe.parts import Task as TaskRecipe
from bistil.recipe.recipe import Recipe


def titled(
    recipe: Recipe, title: str, seed: int | None = None, task: TaskRecipe | None = None, student: str = ""
) -> str:
    """What a stage is called, with student, task and seed where there are several: "Student (thin, seed 1)"."""
    parts = [student] if student else []
    parts += [task.name] if task is not None and len(recipe.tasks) > 1 else []
    parts += [f"seed {seed}"] if seed is not None and len(recipe.seeds) > 1 else []
    return f"{title} ({', '.join(parts)})" if parts else title


@contextmanager
def named(name: str) -> Iterator[None]:
    """What is wrong with one of several students is said of its place in the recipe, ``students.NAME``."""
    try:
        yield
    except BistilError as error:
        if not name:
            raise
        raise BistilError(str(error).replace("student.", f"students.{name}.")) from error


class OneStudent:
    """The stages of one student; what it shares with others is given, and its name is "" where there are none."""

    def __init__(
        self, name: str, stages: StudentStages, vocabulary: StageFolder, data: Mapping[str, TaskData]
    ) -> None:
        self.name, self.stages, self._vocabulary, self._data = name, stages, vocabulary, data
        self._titled = partial(titled, stages.recipe, student=name)

    @property
    def role(self) -> str:
        """What it is in a report beside the one that is published: ``thin:student``."""
        return f"{self.name}:student" if self.name else "student"

    @property
    def flops(self) -> float:
        """Operations for one token of the recipe's blocks, by the configuration alone."""
        shape = Shape(self.shape.config(teachers.read_config(self.stages.teacher)))
        return shape.forward(self.stages.recipe.distill.sequence_length)

    @property
    def chosen(self) -> StageFolder | None:
        """Where its shape was chosen, if that was for a budget."""
        return self.stages.chosen(self._vocabulary)

    @property
    def shape(self) -> StudentShape:
        """Its layers and widths."""
        return self.stages.shape(self._vocabulary)

    @cached_property
    def undistilled(self) -> StageFolder:
        """The initial student."""
        return self.stages.undistilled(self._vocabulary, self._titled("Making the student"))

    @cache  # noqa: B019, lives as long as the run
    def distilled(self, seed: int) -> StageFolder:
        """The student of a seed after general distillation."""
        title = self._titled("General distillation", seed)
        return self.stages.distilled(self._vocabulary, self.undistilled, seed, title)

    @cached_property
    def shared(self) -> Context:
        """The context of what students have in common, such as task teachers: no title of a stage names one."""
        return replace(self.context, title=partial(titled, self.stages.recipe))

    @cached_property
    def context(self) -> Context:
        """What its tasks share."""
        recipe = self.stages.recipe
        return Context(
            self.stages.stages,
            self._vocabulary,
            self._titled,
            tuple(part.language for part in recipe.languages),
            self.stages.deltas(),
            {part.language: self.stages.corpora[part.language] for part in recipe.targets},
            teachers.read_config(self.stages.teacher).hidden_size,
        )

    @cache  # noqa: B019
    def learned(self, task: str, seed: int, teacher: Outcome) -> Outcome:
        """The student of a seed with a task, distilled from the task teacher."""
        start = self.distilled(seed)
        return self._task(task).student(seed, teacher, self.undistilled, start, "student", "task student")

    def exported(self, task: str, seed: int, settings: Export, teacher: Outcome) -> Deployed:
        """The ONNX files of that."""
        model = self.learned(task, seed, teacher).model
        return self._task(task).exported(seed, model, settings, "task student")

    def facts(self, model: Path) -> cardfacts.Report:
        """What the card of the student, or of a task model made of it, says of general distillation."""
        recipe = self.stages.recipe
        tokens = read_json(self.distilled(recipe.seeds[0]).path / "distillation.json")["tokens"]
        return cardfacts.of_student(recipe, self.stages.teacher, model, self.shape, tokens)

    def _task(self, name: str) -> TaskStages:
        (recipe,) = (task for task in self.stages.recipe.tasks if task.name == name)
        return TaskStages(recipe, self._data[name], self.context)
