"""The stages of a recipe in their order, and what they leave in its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from bistil.exporting.card import card
from bistil.files import publish, read_json
from bistil.hub import CARD
from bistil.models.teachers import origin
from bistil.pipeline import cardfacts, costs, deployment
from bistil.pipeline.baselines import AS_THE_STUDENT, Baselines
from bistil.pipeline.stages import StageFolder, Stages
from bistil.pipeline.studentstages import StudentStages
from bistil.pipeline.summary import summarise
from bistil.pipeline.taskdata import TaskData
from bistil.pipeline.taskstages import Context, Outcome, TaskStages
from bistil.progress import Progress
from bistil.recipe.parts import Export
from bistil.recipe.parts import Task as TaskRecipe
from bistil.recipe.recipe import Recipe

# by task and language (and "validation"), one set of scores in per cent a seed
Scores = dict[str, dict[str, list[dict[str, float]]]]


def titled(recipe: Recipe, title: str, seed: int, task: TaskRecipe | None = None) -> str:
    """What a stage is called, with task and seed where there are several: "Task teacher (pos, seed 1)"."""
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
            model = task.teacher_model(self.recipe.seeds[0], outcomes[0]).path / "model"
            learned = cardfacts.learned(task.recipe, self.data[name], outcomes)
            facts = cardfacts.of_task_teacher(self.recipe, self.students.teacher, model, learned)
            publish(model, self.recipe.out / "teachers" / name, {CARD: card(facts, name)})
            scores[name] = _scores(outcomes)
        return scores

    def transfer(self) -> Scores:
        """All stages up to the task students."""
        scores: Scores = {}
        for name, task in self._tasks().items():
            teachers = [task.teacher(seed) for seed in self.recipe.seeds]
            students = [
                self._student(task, seed, one) for seed, one in zip(self.recipe.seeds, teachers, strict=True)
            ]
            scores[name] = _scores(students)
            model = students[0].model.path / "model"
            learned = cardfacts.learned(task.recipe, self.data[name], students, teachers)
            described = card({**self.of_student(model), "tasks": [learned]}, name)
            publish(model, self.recipe.out / "tasks" / name, {CARD: described})
        self._publish_student()
        return scores

    def _publish_student(self) -> None:
        """The student of the first seed, with its card."""
        student = self.distilled(self.recipe.seeds[0]).path / "student"
        publish(student, self.recipe.out / "student", {CARD: card(self.of_student(student))})

    def of_student(self, model: Path) -> cardfacts.Report:
        """What the card of a student, or of a task model made of it, says of general distillation."""
        tokens = read_json(self.distilled(self.recipe.seeds[0]).path / "distillation.json")["tokens"]
        return cardfacts.of_student(self.recipe, self.students.teacher, model, self.students.layers, tokens)

    def make(self) -> "Made":
        """All stages."""
        baselines = Baselines(self.recipe, self.progress, self.students, self.context, self.data)
        distilled = [self.distilled(seed) for seed in self.recipe.seeds]
        learned = self._learn(baselines)
        deployed = {} if self.recipe.export is None else self._deploy(learned, self.recipe.export)
        first = self.recipe.tasks[0].name
        return Made(distilled, learned, deployed, self._efficiency(learned[first], deployed.get(first, {})))

    def run(self) -> dict[str, Any]:
        """All stages, and their models published. Returns the report."""
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
        return report

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
        title = titled(self.recipe, "General distillation", seed)
        return self.students.distilled(self.vocabulary, self.undistilled, seed, title)

    @cached_property
    def context(self) -> Context:
        """What the tasks share."""
        return Context(
            self.stages,
            self.vocabulary,
            self.undistilled,
            partial(titled, self.recipe),
            tuple(part.language for part in self.recipe.languages),
            self.students.deltas(),
            {part.language: self.students.corpora[part.language] for part in self.recipe.targets},
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
        data, target = self.data[self.recipe.tasks[0].name], self.recipe.targets[0].language
        return costs.measured(self.stages, self.students.teacher, models, deployed, data, target)
