"""`bistil.train`: an encoder learns a task, from labels or from a teacher that learned it."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bistil.api.data import Labelled, by_language, labelled_file
from bistil.api.given import check_apart, folder_of, label_map_of, path_of
from bistil.api.output import DATA, MODEL, RECIPE, SCORES, STAGES, name_of, publish_model
from bistil.errors import BistilError
from bistil.exporting.card import card
from bistil.files import fingerprint_file, read_json
from bistil.hub import CARD
from bistil.models import teachers
from bistil.pipeline.cardfacts import Report, of_fine_tuned
from bistil.pipeline.cardfacts import learned as learned_task
from bistil.pipeline.encoders import as_stage
from bistil.pipeline.outfolder import held_folder
from bistil.pipeline.pipeline import Pipeline
from bistil.pipeline.runs import prepare
from bistil.pipeline.stages import StageFolder, Stages
from bistil.pipeline.taskdata import TaskData, kind_of
from bistil.pipeline.taskstages import Context, Outcome, TaskStages
from bistil.progress import Progress
from bistil.recipe.parts import Part, Seed, Student, validated
from bistil.recipe.parts import Task as TaskRecipe
from bistil.recipe.recipe import Recipe
from bistil.runtime.shown import InFolder
from bistil.tasks.heads import check_head

# in per cent by name, such as {"accuracy": 81.8}, for each language and "validation"
Scores = Mapping[str, Mapping[str, float]]


class _Seeded(Part):
    """The setting of `train` that is no key of a task."""

    seed: Seed


@dataclass(frozen=True, repr=False)
class Trained(InFolder):
    """A task model: its folder, and its scores by language, those of its teacher beside them if it had one.

    Example: ``Trained(Path("out"), "pos", {"tr": {"accuracy": 78.6}}, {"tr": {"accuracy": 78.0}})``.
    """

    output_dir: Path
    task: str
    scores: Scores
    teacher_scores: Scores | None

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "output_dir", str(self.output_dir)
        yield "task", self.task
        for language, scores in self.scores.items():
            yield language, ", ".join(f"{name} {value:.1f}" for name, value in scores.items())
            if self.teacher_scores is not None:
                theirs = self.teacher_scores[language]
                yield "", ", ".join(f"teacher's {name} {value:.1f}" for name, value in theirs.items())


def train(
    model: str | os.PathLike[str],
    *,
    task: str,
    train: Labelled,
    output_dir: str | os.PathLike[str],
    teacher: str | os.PathLike[str] | None = None,
    test: Mapping[str, Labelled] | None = None,
    validation: Labelled | None = None,
    unlabelled: Mapping[str, Labelled] | None = None,
    label_map: Mapping[str, str] | None = None,
    density: float = 0.08,
    epochs: tuple[int, int] = (1, 2),
    seed: int = 0,
    progress: bool | Progress = True,
    **settings: Any,
) -> Trained:
    """Teach an encoder a task by lottery-ticket sparse fine-tuning.

    With a teacher, the trimmed teacher is fine-tuned first and the student learns the task from it, on the
    labelled text and on pseudo-labelled target text (BiStil, Ansell et al. 2023, section 3.2). Without one, any
    encoder is fine-tuned on the labels. A call that was interrupted goes on with the same arguments.

    Args:
        model: what `bistil.distill` returned, or its folder; without a teacher any encoder, as a folder or hub id.
        task: the kind of task: ``classification``, ``ner``, ``pos``, ``parsing``, ``qa`` …
        train: labelled examples in the source language: a file, a list of dicts, or a `datasets.Dataset`.
        output_dir: the folder for the task model, a plain transformers folder with a model card. The work lies
            below, in ``stages``.
        teacher: the one that the student was distilled from.
        test: labelled examples by language, only to score.
        validation: labelled examples in the source language. By default a tenth of the examples is held out.
        unlabelled: further examples by language, source or target, which the teacher labels for the student: the
            only ones in the target language where a task is on pairs of texts or questions.
        label_map: labels to rename in all of these, such as ``{"e": "entailment"}``.
        density: the share of the encoder's parameters that the task may change.
        epochs: over the training examples, with all parameters and then with the sparse ones.
        seed: of the head, order and dropout. The recipe that is left makes the same model only where the student
            was distilled with that seed, too.
        progress: whether to show it.
        **settings: further keys of a task in a recipe, such as ``batch_size`` or ``max_length``.

    Returns:
        The task model's folder and its scores; give it to `bistil.load`.

    Raises:
        BistilError: no such task, a model that is none, no examples, a student of another teacher, or of
            sentence embeddings with one.

    Example:
        ``train(student, teacher="xlm-roberta-base", task="pos", train="en.conllu", test={"tr": "tr.conllu"},
        output_dir="tagger")``
    """
    name, out = path_of(model, "The model"), folder_of(output_dir, "output_dir").absolute()
    whose = None if teacher is None else path_of(teacher, "The teacher")
    labels, shown = label_map_of(label_map), Progress.shown(progress)
    if unlabelled and whose is None:
        raise BistilError(
            "unlabelled examples are labelled by a teacher, and there is none. Give it, or leave them out."
        )

    def files(field: str, given: Mapping[str, Labelled] | None) -> dict[str, Path]:
        return {
            code: labelled_file(data, out / DATA, f"{field}-{code}")
            for code, data in by_language(given, field).items()
        }

    values = {
        "kind": task,
        "train": labelled_file(train, out / DATA, "train"),
        "test": files("test", test),
        "unlabelled": files("unlabelled", unlabelled),
        "validation": None if validation is None else labelled_file(validation, out / DATA, "validation"),
        "label_map": labels,
        "density": density,
        "epochs": epochs,
        **settings,
    }
    recipe = validated(TaskRecipe, values, "train")
    kind_of(recipe)
    seed = validated(_Seeded, {"seed": seed}, "train").seed
    prepare()
    check_apart(name, out, "model")
    with held_folder(out, [*MODEL, SCORES, RECIPE, CARD]):
        further: dict[str, str | Path] = {}
        theirs: Outcome | None = None
        if whose is None:
            learned, report = _fine_tuned(name, recipe, seed, out, shown)
        else:
            distillation = _alone(Path(name), _home(Path(name)))
            if distillation.distill.embeddings:
                raise BistilError(
                    f"{name} is a sentence embedding student, which learns no task from its teacher. "
                    "Leave out the teacher to fine-tune it on the labels."
                )
            _check_teacher(whose, distillation.teacher, Path(name))
            whole = _with_task(distillation, recipe, out)
            learned, theirs, report, shape = _distilled(Path(name), distillation, whole, seed, shown)
            further[RECIPE] = _kept(whole.model_copy(update={"student": shape}), seed)
        scores, teacher_scores = _scores(learned), None if theirs is None else _scores(theirs)
        further[SCORES] = json.dumps({"scores": scores, "teacher_scores": teacher_scores}, indent=1) + "\n"
        further[CARD] = card(report, recipe.name)
        publish_model(learned.model.path / "model", out, further)
    return Trained(out, recipe.kind, scores, teacher_scores)


def _fine_tuned(
    model: str, recipe: TaskRecipe, seed: int, out: Path, progress: Progress
) -> tuple[Outcome, Report]:
    """An encoder that learned the task from its labels, and what its card says."""
    with progress.stage("Fetching the model"):
        located = teachers.locate(model, out)
    data = TaskData.read(recipe)
    check_head(data.task, config := teachers.read_config(located), model)
    stages = Stages(out / STAGES, progress)
    base = as_stage(stages, model, located)
    context = Context(stages, base, _title, ("",), {}, {}, config.hidden_size)
    task = TaskStages(recipe, data, context)
    outcome = task.taught(seed, "task model")
    made = task.teacher_model(seed, outcome, "task model")
    known = learned_task(recipe, data, [outcome])
    report = of_fine_tuned(model, located, made.path / "model", name_of(out), known, recipe)
    return replace(outcome, model=made), {**report, "seeds": [seed]}


def _with_task(distillation: Recipe, task: TaskRecipe, out: Path) -> Recipe:
    """The recipe of a student's distillation with a task, to run into another folder."""
    changes = {
        "name": name_of(out),
        "tasks": [task.model_dump(mode="json")],
        "baselines": [],
        "multilingual": {},  # the text of a baseline
        "seeds": distillation.seeds[:1],  # that of the student that was published
        "out": out,
    }
    recipe = Recipe.checked({**distillation.model_dump(mode="json"), **changes}, where="train")
    recipe.check_files()
    return recipe


def _kept(recipe: Recipe, seed: int) -> str:
    """The recipe to leave with a task model, which has the task's seed; a recipe has one for the student, too."""
    text, (own,) = recipe.model_copy(update={"seeds": (seed,)}).text(), recipe.seeds
    if own == seed:
        return text
    return (
        f"# Not the same model: its student was distilled with seed {own}, the task was learned with "
        f"seed {seed}.\n"
        f"# A recipe has one seed for both, so that this one distills a student anew, with seed {seed}.\n{text}"
    )


def _alone(student: Path, home: Path) -> Recipe:
    """The recipe of a student of a run's folder; which of several it is, the report says."""
    recipe = Recipe.load(home / RECIPE)
    if not recipe.students:
        return recipe
    try:
        return recipe.each()[read_json(home / "report.json")["students"]["published"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BistilError(
            f"{home / 'report.json'} does not say which of several students {student} is. Run the recipe "
            "again, or leave out the teacher."
        ) from error


def _distilled(
    student: Path, distillation: Recipe, recipe: Recipe, seed: int, progress: Progress
) -> tuple[Outcome, Outcome, Report, Student]:
    """A student that learned a recipe's task from its teacher; that teacher, what the card says, and its shape."""
    (task,) = recipe.tasks
    data = TaskData.read(task)
    finished = ("vocabulary", "shape", "undistilled", "distill")
    stages = Stages(recipe.out / STAGES, progress, _home(student) / STAGES, finished)
    # with the tasks that it was distilled with: a budget's shape was chosen by the length of their texts
    own = recipe.model_copy(update={"tasks": distillation.tasks})
    pipeline = Pipeline(own, progress, {}, stages)
    check_head(data.task, teachers.read_config(pipeline.students.teacher), recipe.teacher)
    (one,) = pipeline.each.values()
    start = one.distilled(recipe.seeds[0])
    _check_unchanged(student, start)
    learning = TaskStages(task, data, one.context)
    theirs = learning.taught(seed)
    ours = learning.student(seed, theirs, one.undistilled, start, "student", "task student")
    report = one.facts(ours.model.path / "model")
    report |= {"recipe": recipe.model_dump(mode="json"), "seeds": [seed]}
    report |= {"tasks": [learned_task(task, data, [ours], [theirs])]}
    return ours, theirs, report, Student(**asdict(one.shape)) if recipe.student.budget else recipe.student


def _home(student: Path) -> Path:
    """The folder with the recipe and the stages of a student: its own, or that of its run."""
    folder = Path(os.path.expanduser(student))
    for home in (folder, folder.parent):
        if (folder / "config.json").is_file() and (home / RECIPE).is_file() and (home / STAGES).is_dir():
            return home
    raise BistilError(
        f"{student} is no student that bistil distilled (no {RECIPE} and {STAGES} with it), so that which of the "
        "teacher's layers it learned from is not known. Distill it first, or leave out the teacher."
    )


def _check_teacher(given: str, own: str, student: Path) -> None:
    if given == own:
        return
    prints = [teachers.fingerprint(teachers.locate(name)) for name in (given, own)]
    if prints[0] != prints[1]:
        raise BistilError(f"{student} was distilled from {own}, not from {given}. Give that one as the teacher.")


def _check_unchanged(student: Path, made: StageFolder) -> None:
    for weights in (made.path / "student").glob("*.safetensors"):
        own = Path(os.path.expanduser(student)) / weights.name
        if not own.is_file() or fingerprint_file(own) != fingerprint_file(weights):
            raise BistilError(
                f"{own} was changed since it was distilled. Distill it again, or leave out the teacher to "
                "fine-tune it as it is."
            )


def _title(title: str, seed: int, task: TaskRecipe | None) -> str:
    return title


def _scores(outcome: Outcome) -> dict[str, dict[str, float]]:
    return {language: found["scores"] for language, found in outcome.scores.items()}
