"""A recipe becomes stages, and stages become a report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from bistil.errors import BistilError
from bistil.exporting.card import card
from bistil.files import foreign, publish, publish_files, read_json
from bistil.hub import CARD
from bistil.launch import process_index, processes
from bistil.models.teachers import origin
from bistil.pipeline import costs, deployment
from bistil.pipeline.baselines import AS_THE_STUDENT, Baselines
from bistil.pipeline.outfolder import held_folder
from bistil.pipeline.stages import StageFolder, Stages
from bistil.pipeline.studentstages import StudentStages
from bistil.pipeline.summary import summarise
from bistil.pipeline.taskdata import TaskData
from bistil.pipeline.taskstages import Context, Outcome, TaskStages
from bistil.progress import Progress
from bistil.recipe.parts import Export
from bistil.recipe.parts import Task as TaskRecipe
from bistil.recipe.recipe import Recipe
from bistil.report import REPORT, write_report
from bistil.report.answer import answer
from bistil.runtime.shown import InFolder
from bistil.training.allocator import keep_freed_memory

# what general distillation leaves beside the student
DISTILLED = ("student.txt", "distillation.json", "loss.svg")
# by task and language (and "validation"), one set of scores in per cent a seed
Scores = dict[str, dict[str, list[dict[str, float]]]]


@dataclass(frozen=True, repr=False)
class Run(InFolder):
    """What a run left behind: its folder, and the report as plain values."""

    output_dir: Path
    report: dict[str, Any]

    def _facts(self) -> Iterator[tuple[str, str]]:
        found = answer(self.report)
        yield "result", found.sentence
        yield from (("missing", problem) for problem in found.problems)
        yield "report", str(self.output_dir / "report.html")
        for task in self.report["tasks"]:
            yield "model", str(self.output_dir / "tasks" / task["name"])


def distill(recipe: Recipe, progress: Progress) -> StageFolder:
    """Runs the stages of a recipe up to general distillation; tasks are left alone.

    Leaves ``student/`` (of the first seed, a plain transformers folder), ``student.txt`` (what in it came from
    where), ``distillation.json``, ``loss.svg`` and ``stages/`` in the recipe's ``out``. Under `torchrun` all
    processes train together. Returns the stage of the first seed.
    """
    recipe.check_files()
    with held_folder(recipe.out, ["student", *DISTILLED]):
        found = distilled(recipe, progress)
        if not process_index():
            publish(found.student.path / "student", recipe.out / "student")
            publish_files(recipe.out, found.files)
            _publish_recipe(recipe, progress)
    return found.student


@dataclass(frozen=True)
class Distillation:
    """The student's stage of the first seed, the teacher layers that it keeps, and the files of `DISTILLED`."""

    student: StageFolder
    layers: tuple[int, ...]
    files: Mapping[str, Path]


def distilled(recipe: Recipe, progress: Progress) -> Distillation:
    """Runs the stages of a recipe up to general distillation, and publishes nothing."""
    prepare()
    made = StudentStages(recipe, progress)
    vocabulary = made.vocabulary()
    undistilled = made.undistilled(vocabulary)
    first, *_ = [
        made.distilled(vocabulary, undistilled, seed, _title(recipe, "General distillation", seed))
        for seed in recipe.seeds
    ]
    left = {"student.txt": undistilled, "distillation.json": first, "loss.svg": first}
    return Distillation(first, made.layers, {name: stage.path / name for name, stage in left.items()})


def run(recipe: Recipe, progress: Progress) -> Run:
    """Runs every stage of a recipe that is not there yet, then writes the report and the models.

    Leaves ``report.html``, ``report.md``, ``report.json``, ``recipe.yaml``, ``student/``, ``tasks/NAME/`` (of the
    first seed, each with a model card) and ``stages/`` in the recipe's ``out``.
    """
    check_tested(recipe)
    pipeline, tasks = _pipeline(recipe, progress), [f"tasks/{task.name}" for task in recipe.tasks]
    with held_folder(recipe.out, ["student", *tasks, *REPORT]):
        return pipeline.run()


def teach_tasks(recipe: Recipe, progress: Progress) -> Scores:
    """Runs the stages of a recipe up to its task teachers: the trimmed teacher, fine-tuned on gold labels.

    Leaves ``teachers/NAME/`` (of the first seed, plain transformers folders) and ``stages/`` in the recipe's
    ``out``; `run` and `transfer_tasks` reuse them. Returns the scores of each task by language and seed. Example:
    ``teach_tasks(recipe, Progress())["pos"]["tr"][0]["accuracy"]`` is 76.7.
    """
    pipeline = _pipeline(recipe, progress)
    with held_folder(recipe.out, [f"teachers/{task.name}" for task in recipe.tasks]):
        return pipeline.teach()


def transfer_tasks(recipe: Recipe, progress: Progress) -> Scores:
    """Runs the stages of a recipe up to its task students, without baselines, measurements of speed and a report.

    Leaves ``student/``, ``tasks/NAME/`` (of the first seed, plain transformers folders) and ``stages/``. Returns
    scores as `teach_tasks` does.
    """
    pipeline = _pipeline(recipe, progress)
    with held_folder(recipe.out, ["student", *(f"tasks/{task.name}" for task in recipe.tasks)]):
        return pipeline.transfer()


def prepare() -> None:
    """Settings of the process that every training wants."""
    keep_freed_memory()
    disable_progress_bar()  # of transformers: ours says more


def _title(recipe: Recipe, title: str, seed: int, task: TaskRecipe | None = None) -> str:
    parts = [task.name] if task is not None and len(recipe.tasks) > 1 else []
    parts += [f"seed {seed}"] if len(recipe.seeds) > 1 else []
    return f"{title} ({', '.join(parts)})" if parts else title


def _scores(outcomes: Sequence[Outcome]) -> dict[str, list[dict[str, float]]]:
    found = [outcome.scores for outcome in outcomes]
    return {language: [one[language]["scores"] for one in found] for language in found[0]}


@dataclass(frozen=True)
class Made:
    """The stages of a run: distilled students, task models and their ONNX files by task and role, measurements."""

    distilled: Sequence[StageFolder]
    learned: Mapping[str, Mapping[str, Sequence[Outcome]]]
    deployed: Mapping[str, deployment.ByModel]
    costs: StageFolder


class Pipeline:
    """The stages of a recipe in their order; ``stages`` keeps them, or only lists them."""

    def __init__(
        self, recipe: Recipe, progress: Progress, data: Mapping[str, TaskData], stages: Stages | None = None
    ) -> None:
        self.recipe, self.progress, self.data = recipe, progress, data
        labelled = {recipe.source.language: [example.text for own in data.values() for example in own.train]}
        for own in data.values():
            for language, examples in own.tests.items():
                labelled.setdefault(language, []).extend(example.text for example in examples)
        self.students = StudentStages(recipe, progress, labelled, stages=stages)
        self.stages = self.students.stages

    def teach(self) -> Scores:
        """All stages up to the task teachers."""
        scores: Scores = {}
        for name, task in self._tasks().items():
            outcomes = [task.teacher(seed) for seed in self.recipe.seeds]
            model = task.teacher_model(self.recipe.seeds[0], outcomes[0])
            publish(model.path / "model", self.recipe.out / "teachers" / name)
            scores[name] = _scores(outcomes)
        return scores

    def transfer(self) -> Scores:
        """All stages up to the task students."""
        scores: Scores = {}
        for name, task in self._tasks().items():
            outcomes = [self._student(task, seed, task.teacher(seed)) for seed in self.recipe.seeds]
            scores[name] = _scores(outcomes)
            publish(outcomes[0].model.path / "model", self.recipe.out / "tasks" / name)
        publish(self.distilled(self.recipe.seeds[0]).path / "student", self.recipe.out / "student")
        return scores

    def make(self) -> "Made":
        """All stages."""
        baselines = Baselines(self.recipe, self.progress, self.students, self.context, self.data)
        distilled = [self.distilled(seed) for seed in self.recipe.seeds]
        learned = self._learn(baselines)
        deployed = {} if self.recipe.export is None else self._deploy(learned, self.recipe.export)
        first = self.recipe.tasks[0].name
        return Made(distilled, learned, deployed, self._efficiency(learned[first], deployed.get(first, {})))

    def run(self) -> Run:
        """All stages in order, then what a run leaves behind."""
        recipe, out = self.recipe, self.recipe.out
        made = self.make()
        report = summarise(
            recipe,
            origin(recipe.teacher, self.students.teacher),
            layers=self.students.layers,
            vocabulary=read_json(self.vocabulary.path / "vocabulary.json"),
            distillation=[read_json(folder.path / "distillation.json") for folder in made.distilled],
            costs=read_json(made.costs.path / "efficiency.json"),
            evaluations={
                name: {
                    **{role: [one.scores for one in outcomes] for role, outcomes in roles.items()},
                    **deployment.scores(made.deployed.get(name, {})),
                }
                for name, roles in made.learned.items()
            },
            problems=[
                problem
                for name, own in made.deployed.items()
                for problem in deployment.problems(name, own, recipe.seeds)
            ],
            data={name: (type(data.task), len(data.train), data.tests) for name, data in self.data.items()},
            stages=[folder.manifest for folder in self.stages.used],
        )
        publish(made.distilled[0].path / "student", out / "student", {CARD: card(report)})
        for name, roles in made.learned.items():
            model, place = roles["student"][0].model.path / "model", out / "tasks" / name
            if name not in made.deployed:
                publish(model, place, {CARD: card(report, name)})
                continue
            own = made.deployed[name]["student"][0]
            publish(model, place, {CARD: card(report, name, own.report)})
            own.publish(place)
        _publish_recipe(recipe, self.progress)
        write_report(report, out)
        return Run(out, report)

    @cached_property
    def vocabulary(self) -> StageFolder:
        """The trimmed teacher."""
        return self.students.vocabulary()

    @cached_property
    def undistilled(self) -> StageFolder:
        """The initial student."""
        return self.students.undistilled(self.vocabulary)

    @cache  # noqa: B019, lives as long as the run
    def distilled(self, seed: int) -> StageFolder:
        """The student of a seed after general distillation."""
        title = _title(self.recipe, "General distillation", seed)
        return self.students.distilled(self.vocabulary, self.undistilled, seed, title)

    @cached_property
    def context(self) -> Context:
        """What the tasks share."""
        return Context(
            self.stages,
            self.vocabulary,
            self.undistilled,
            partial(_title, self.recipe),
            (self.recipe.source.language, self.recipe.target.language),
            self.students.deltas(),
            self.students.corpora[self.recipe.target.language],
        )

    def _tasks(self) -> dict[str, TaskStages]:
        return {task.name: TaskStages(task, self.data[task.name], self.context) for task in self.recipe.tasks}

    def _student(self, task: TaskStages, seed: int, teacher: Outcome) -> Outcome:
        return task.student(seed, teacher, self.distilled(seed), "student", "task student")

    def _learn(self, baselines: Baselines) -> dict[str, dict[str, list[Outcome]]]:
        """Task teacher, task student and the baselines asked for, of every task and with every seed."""
        learned: dict[str, dict[str, list[Outcome]]] = {}
        for recipe in self.recipe.tasks:
            task = TaskStages(recipe, self.data[recipe.name], self.context)
            outcomes = learned.setdefault(recipe.name, {"teacher": [], "student": []})
            for seed in self.recipe.seeds:
                teacher = task.teacher(seed)
                outcomes["teacher"].append(teacher)
                outcomes["student"].append(self._student(task, seed, teacher))
                for role in self.recipe.baselines:
                    outcomes.setdefault(role, []).append(baselines.outcome(role, recipe, seed, teacher))
        return learned

    def _deploy(
        self, learned: Mapping[str, Mapping[str, Sequence[Outcome]]], settings: Export
    ) -> dict[str, deployment.ByModel]:
        """The ONNX files of every task's students, and of their rival that needs no distillation.

        The search for what has to stay in float32 takes minutes, and would make a product slower that is none.
        """
        deployed: dict[str, deployment.ByModel] = {}
        for name, task in self._tasks().items():
            students = [
                task.exported(seed, own.model, settings, "task student")
                for seed, own in zip(self.recipe.seeds, learned[name]["student"], strict=True)
            ]
            rivals = [
                task.exported(seed, task.teacher_model(seed, own), settings, "trimmed task teacher", held=False)
                for seed, own in zip(self.recipe.seeds, learned[name]["teacher"], strict=True)
            ]
            deployed[name] = {"student": students, "trimmed": rivals}
        return deployed

    def _efficiency(self, learned: Mapping[str, Sequence[Outcome]], deployed: deployment.ByModel) -> StageFolder:
        """Size and speed of the first task's models, beside those of the untrimmed teacher.

        Students of one shape and vocabulary cost the same, and are measured once.
        """
        models = {
            role: outcomes[0].model
            for role, outcomes in learned.items()
            if role != "teacher" and role not in AS_THE_STUDENT
        }
        data, target = self.data[self.recipe.tasks[0].name], self.recipe.target.language
        return costs.measured(self.stages, self.students.teacher, models, deployed, data, target)


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


def _pipeline(recipe: Recipe, progress: Progress) -> Pipeline:
    if not recipe.tasks:
        raise BistilError(
            f"Recipe {recipe.name} has no tasks. Add one, or distill the student alone with `bistil distill`."
        )
    if processes() > 1:
        raise BistilError(
            "Only `bistil distill` runs on several processes. Start it that way first, then this command."
        )
    recipe.check_files()
    prepare()
    return Pipeline(recipe, progress, {task.name: TaskData.read(task) for task in recipe.tasks})
