"""The stages of a recipe without running one: the pipeline itself lists them, to stages that are only noted."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from bistil.corpora import text
from bistil.corpora.formats import is_packed
from bistil.errors import BistilError
from bistil.models import teachers
from bistil.models.shapes import StudentShape
from bistil.pipeline.baselines import TITLES
from bistil.pipeline.embeddingrun import EmbeddingRun
from bistil.pipeline.runs import check_tested, pipeline_of
from bistil.pipeline.stages import StageFolder, Stages
from bistil.pipeline.taskdata import TaskData, kind_of, length_of
from bistil.planning.known import known_config
from bistil.progress import Progress, Stage
from bistil.recipe.embeddings import Embeddings
from bistil.recipe.parts import Task as TaskRecipe
from bistil.recipe.recipe import Recipe


@dataclass(frozen=True)
class Step:
    """A stage that a run would make, or finds made: its kind, title, inputs, size if it says one, and task."""

    name: str
    title: str
    inputs: Mapping[str, Any]
    total: int | None
    task: str
    folder: StageFolder

    @property
    def reused(self) -> bool:
        """Whether an earlier run made it."""
        return self.folder.path.exists()


@dataclass(frozen=True)
class Walk:
    """The steps of a recipe, what it reads, and in words what is not there and so not planned.

    ``recipe`` is the recipe without what is not there; ``texts`` are those that sentence embeddings are tested on,
    none where a test is not there; ``teacher`` is a folder with the teacher's configuration. ``students`` are by
    the fingerprint of the initial student's stage, the first of the recipe in front.
    """

    recipe: Recipe
    students: Mapping[str, StudentShape]
    steps: tuple[Step, ...]
    data: Mapping[str, TaskData]
    texts: Sequence[str]
    teacher: Path
    notes: tuple[str, ...]


class _Noted(Stages):
    """Takes note of stages and makes none."""

    def __init__(self, root: Path) -> None:
        self.root, self.steps = root, dict[str, Step]()

    def make(
        self,
        name: str,
        title: str,
        inputs: Mapping[str, Any],
        build: Callable[[Path, Stage], None],
        total: int | None = None,
        unit: str = "",
        together: bool = False,
        task: str = "",
    ) -> StageFolder:
        """The folder in which the stage is or would be."""
        folder, _ = self.folder(name, inputs)
        self.steps.setdefault(folder.fingerprint, Step(name, title, inputs, total, task, folder))
        return folder


@contextmanager
def walk(recipe: Recipe, root: Path | None = None, stand_ins: bool = True) -> Iterator[Walk]:
    """The steps of a run of the recipe, whose stages lie in ``root``, by default in ``stages`` of its ``out``.

    With ``stand_ins`` text, labelled files and models that are not there are no error: an empty file stands in for
    them inside the block, and a note says so. Raises BistilError for a recipe that could not run.
    """
    if recipe.embeddings is None and not recipe.tasks:
        raise BistilError(f"Recipe {recipe.name} has no tasks. Add one: `bistil run` needs it, too.")
    check_tested(recipe)
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w", encoding="utf-8") as nowhere:
        notes: list[str] = []
        there = _with_stand_ins(recipe, Path(folder), notes) if stand_ins else recipe
        data = {task.name: _data(task, notes) for task in there.tasks}
        stages = _Noted(recipe.out / "stages" if root is None else root)
        texts: tuple[str, ...] = ()
        pipeline = pipeline_of(there, Progress(nowhere), data, stages)
        pipeline.make()
        if isinstance(pipeline, EmbeddingRun):
            each = [pipeline.student]
            if there.embeddings == recipe.embeddings:
                texts = tuple(chain(*(test.texts for test in pipeline.tests.values())))
        else:
            each = [pipeline.each[name] for name in there.each()]
        if any(step.name == "shape" and not step.reused for step in stages.steps.values()):
            notes.append("A budget's shape is chosen when it runs; the plan is of what operations would choose.")
        students = {one.undistilled.fingerprint: one.shape for one in each}
        steps = tuple(stages.steps.values())
        yield Walk(there, students, steps, data, texts, pipeline.students.teacher, tuple(notes))


def _with_stand_ins(recipe: Recipe, folder: Path, notes: list[str]) -> Recipe:
    changes: dict[str, Any] = {"baselines": [], "choose": None}  # which are made depends on scores
    if recipe.choose is not None:
        notes.append(
            "Students are made from the smallest up, and those behind the first that is good enough are not; this "
            "is the plan of all."
        )
    for role in recipe.baselines:
        if role in TITLES or _located(role, recipe.out) is not None:
            changes["baselines"].append(role)
        else:
            notes.append(f"The baseline {role} is not available here; it is not in the plan.")
    if _located(recipe.teacher, recipe.out) is None:
        changes["teacher"] = _shape_alone(recipe, folder / "teacher")
        notes.append(f"The teacher {recipe.teacher} is not available here; its shape is known.")
    values = recipe.model_dump(mode="json") | changes
    targets = values["target"] if isinstance(values["target"], list) else [values["target"]]
    named = [f"target.{index}" for index in range(len(targets))] if targets is values["target"] else ["target"]
    sides = {"source": values["source"], **dict(zip(named, targets, strict=True))}
    parts = [(f"{side}.text", part, "text") for side, part in sides.items()]
    further = {"multilingual": values["multilingual"], "vocabulary.further": values["vocabulary"]["further"]}
    parts += [(f"{key}.{code}", own, code) for key, own in further.items() for code in own]
    for number, (field, holder, key) in enumerate(parts):
        try:
            if any(is_packed(file.path) for file in text.files(holder[key])):
                notes.append(f"{field} is packed: what reads it is planned by its packed bytes, and takes longer.")
        except BistilError:
            stand_in = folder / f"{number}.txt"
            stand_in.touch()
            holder[key] = str(stand_in)
            notes.append(f"{field} is not there yet.")
    deltas = [part["delta"] for part in sides.values() if part["delta"] is not None]
    if absent := [delta for delta in deltas if not (Path(delta) / "sparse_delta.safetensors").is_file()]:
        for part in sides.values():
            part["delta"] = None
        notes.append(f"The language deltas are not in the plan: {absent[0]} is not there yet.")
    if recipe.embeddings is not None:
        values["embeddings"] = _tests(recipe.embeddings, folder / "test.tsv", notes)
    return Recipe.model_validate(values)


def _tests(embeddings: Embeddings, stand_in: Path, notes: list[str]) -> dict[str, Any]:
    """The tests of sentence embeddings, with one of a single pair for each that lacks a file."""
    missing = dict.fromkeys(field for field, path in embeddings.files() if not path.is_file())
    if missing:
        stand_in.write_text("sentence1\tsentence2\n.\t.\n", encoding="utf-8")
        notes.append(f"{', '.join(missing)} not there yet; what scoring costs is not known.")
    there = {name for name in embeddings.test if embeddings.has(name)}
    return {
        "test": {name: files if name in there else stand_in for name, files in embeddings.test.items()},
        "train": {name: file for name, file in embeddings.train.items() if name in there},
    }


def _located(name: str, out: Path) -> Path | None:
    try:
        return teachers.locate(name, out)
    except BistilError:
        if Path(name).is_dir() or name.startswith("bundled:"):
            raise  # there, but no teacher
        return None


def _shape_alone(recipe: Recipe, folder: Path) -> str:
    config = known_config(recipe.teacher)
    if config is None:
        teachers.locate(recipe.teacher, recipe.out)  # says why not
        raise BistilError(f"The teacher {recipe.teacher} is not available.")
    config.save_pretrained(folder)
    (folder / "model.safetensors").touch()
    return str(folder)


def _data(task: TaskRecipe, notes: list[str]) -> TaskData:
    further = {"test": task.test, "unlabelled": task.unlabelled}
    by_language = {f"{field}.{code}": path for field, files in further.items() for code, path in files.items()}
    paths = {"train": task.train, "validation": task.validation, **by_language}
    missing = [field for field, path in paths.items() if path is not None and not path.is_file()]
    if not missing:
        return TaskData.read(task)
    notes.append(f"{task.name}: {', '.join(missing)} not there yet; its cost is not known.")
    return TaskData(kind_of(task)(("",)), length_of(task), [], [], {code: [] for code in task.test}, "", {})
