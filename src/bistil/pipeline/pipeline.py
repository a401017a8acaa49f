"""The stages of a recipe in their order, and what they leave in its folder."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from typing import Any

from bistil.errors import BistilError
from bistil.evaluation.significance import compare
from bistil.exporting.card import card
from bistil.files import publish, read_json
from bistil.hub import CARD
from bistil.models.teachers import origin, read_config
from bistil.pipeline import cardfacts, costs, deployment
from bistil.pipeline.baselines import AS_THE_STUDENT, Baselines
from bistil.pipeline.choice import Drop, chosen, judged, unfinished
from bistil.pipeline.made import Made
from bistil.pipeline.onestudent import OneStudent, named
from bistil.pipeline.stages import StageFolder, Stages
from bistil.pipeline.studentstages import StudentStages
from bistil.pipeline.summary import summarise
from bistil.pipeline.taskdata import TaskData
from bistil.pipeline.taskstages import Outcome, TaskStages
from bistil.progress import Progress
from bistil.recipe.parts import Export
from bistil.recipe.recipe import Recipe
from bistil.tasks.heads import check_head

WEB = "web"  # the folder in OUT with the page for browsers
# by task and language (and "validation"), one set of scores in per cent a seed
Scores = dict[str, dict[str, list[dict[str, float]]]]
Learned = dict[str, dict[str, list[Outcome]]]  # by task and role, one a seed


def _scores(outcomes: Sequence[Outcome]) -> dict[str, list[dict[str, float]]]:
    found = [outcome.scores for outcome in outcomes]
    return {language: [one[language]["scores"] for one in found] for language in found[0]}


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
        (first, alone), *others = recipe.each().items()
        with named(first):
            self.students = StudentStages(alone, progress, labelled, stages=stages)
        self._shaped = {first: self.students}
        for name, other in others:
            with named(name):
                self._shaped[name] = self.students.having(other)
        for own in data.values():
            check_head(own.task, read_config(self.students.teacher), recipe.teacher)
        self.stages = self.students.stages

    def teach(self) -> Scores:
        """All stages up to the task teachers."""
        scores: Scores = {}
        for name, task in self._tasks().items():
            outcomes = [self._teacher(name, seed) for seed in self.recipe.seeds]
            model = task.teacher_model(self.recipe.seeds[0], outcomes[0]).path / "model"
            learned = cardfacts.learned(task.recipe, self.data[name], outcomes)
            facts = cardfacts.of_task_teacher(self.recipe, self.students.teacher, model, learned)
            publish(model, self.recipe.out / "teachers" / name, {CARD: card(facts, name)})
            scores[name] = _scores(outcomes)
        return scores

    def transfer(self) -> Scores:
        """All stages up to the task students, of a recipe with one student."""
        (one,) = self.each.values()
        scores: Scores = {}
        for task in self.recipe.tasks:
            teachers = [self._teacher(task.name, seed) for seed in self.recipe.seeds]
            students = self._with_task(one, task.name)
            scores[task.name] = _scores(students)
            model = students[0].model.path / "model"
            learned = cardfacts.learned(task, self.data[task.name], students, teachers)
            described = card({**one.facts(model), "tasks": [learned]}, task.name)
            publish(model, self.recipe.out / "tasks" / task.name, {CARD: described})
        student = one.distilled(self.recipe.seeds[0]).path / "student"
        publish(student, self.recipe.out / "student", {CARD: card(one.facts(student))})
        return scores

    def make(self) -> Made:
        """All stages; with a tolerance only those of the students up to the first that is within it."""
        choose, baselines = self.recipe.choose, Baselines(self.recipe, self.progress, self.data)
        published = self.each[next(iter(self._shaped))]
        learned: dict[str, Learned] = {}
        drops: dict[str, Drop] = {}
        if choose is None:
            for name, student in self.each.items():
                for seed in self.recipe.seeds:
                    student.distilled(seed)
                learned[name] = self._learn(
                    student, self.recipe.baselines if student is published else (), baselines
                )
        else:
            for name, student in self.each.items():
                learned[name], drops[name] = self._tried(student, choose.max_drop)
                if drops[name].within(choose.max_drop):
                    break
            while (given_up := unfinished(drops, choose.max_drop, len(self.recipe.seeds))) is not None:
                learned[given_up], drops[given_up] = self._tried(self.each[given_up])
            published = self.each[chosen(drops, choose.max_drop)]
            learned[published.name] = self._learn(published, self.recipe.baselines, baselines)
        students = [self.each[name] for name in learned if name not in drops or drops[name].whole]
        by_role = learned[published.name]
        for other in students:
            if other is not published:
                for task, roles in by_role.items():
                    roles[other.role] = learned[other.name][task]["student"]
        deployed = {} if self.recipe.export is None else self._deploy(students, published, self.recipe.export)
        efficiency = self._efficiency(published, by_role, deployed)
        return Made(published, students, drops, by_role, deployed, efficiency)

    def run(self) -> dict[str, Any]:
        """All stages, and their models published. Returns the report."""
        recipe, out = self.recipe, self.recipe.out
        made = self.make()
        distilled = [made.published.distilled(seed).path for seed in recipe.seeds]
        report = summarise(
            recipe,
            origin(recipe.teacher, self.students.teacher),
            shape=made.published.shape,
            students=made.facts(recipe),
            vocabulary=read_json(self.vocabulary.path / "vocabulary.json"),
            distillation=[read_json(folder / "distillation.json") for folder in distilled],
            costs=made.costs(),
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
            doubts=[
                said
                for name, task in self._tasks().items()
                for teacher in made.learned[name]["teacher"]
                if (said := task.doubt(teacher))
            ],
            data=self.data,
            stages=[folder.manifest for folder in self.stages.used],
        ) | cardfacts.vectors(distilled[0] / "student")
        publish(distilled[0] / "student", out / "student", {CARD: card(report)})
        for name, roles in made.learned.items():
            model, place = roles["student"][0].model.path / "model", out / "tasks" / name
            if name not in made.deployed:
                publish(model, place, {CARD: card(report, name)})
                continue
            own = made.deployed[name]["student"][0]
            publish(model, place, {CARD: card(report, name, own.report)})
            own.publish(place)
        return report | self._web()

    def _web(self) -> dict[str, Any]:
        """A page with the published task models, if one is asked for; that one is not on it ends no run."""
        if self.recipe.export is None or not self.recipe.export.web:
            return {}
        from bistil.exporting.web import write_web

        out = self.recipe.out
        written: list[str] = []
        problems: dict[str, str] = {}
        with self.progress.stage("Writing the page for browsers"):
            for task in self.recipe.tasks:
                try:
                    write_web(out / "tasks" / task.name, task.name, out / WEB, beside=written)
                    written.append(task.name)
                except BistilError as error:
                    problems[task.name] = str(error)
        return {**({"web": WEB} if written else {}), **({"web_problems": problems} if problems else {})}

    @cached_property
    def vocabulary(self) -> StageFolder:
        """The trimmed teacher."""
        return self.students.vocabulary()

    @cached_property
    def each(self) -> dict[str, OneStudent]:
        """The students by name, those that take fewest operations in front."""

        def operations(one: OneStudent) -> float:
            with named(one.name):  # a budget may be too small
                return one.flops

        return {one.name: one for one in sorted(self._students, key=operations)}

    @cached_property
    def _students(self) -> list[OneStudent]:
        """In the order of the recipe; their shapes are not chosen yet."""
        return [OneStudent(name, own, self.vocabulary, self.data) for name, own in self._shaped.items()]

    def _tasks(self) -> dict[str, TaskStages]:
        """What all students share of the tasks; a task teacher needs none of them."""
        shared = self._students[0].shared
        return {task.name: TaskStages(task, self.data[task.name], shared) for task in self.recipe.tasks}

    @cache  # noqa: B019, lives as long as the run
    def _teacher(self, task: str, seed: int) -> Outcome:
        return self._tasks()[task].taught(seed)

    def _with_task(self, student: OneStudent, task: str) -> list[Outcome]:
        return [student.learned(task, seed, self._teacher(task, seed)) for seed in self.recipe.seeds]

    def _learn(self, student: OneStudent, roles: Sequence[str], baselines: Baselines) -> Learned:
        """Task teacher, task student and baselines of some roles, of every task and with every seed."""
        learned: Learned = {}
        for task in self.recipe.tasks:
            outcomes = learned.setdefault(task.name, {"teacher": [], "student": []})
            for seed in self.recipe.seeds:
                teacher = self._teacher(task.name, seed)
                outcomes["teacher"].append(teacher)
                outcomes["student"].append(student.learned(task.name, seed, teacher))
                for role in roles:
                    outcomes.setdefault(role, []).append(baselines.outcome(role, student, task, seed, teacher))
        return learned

    def _tried(self, student: OneStudent, max_drop: float = math.inf) -> tuple[Learned, Drop]:
        """Task after task, seed after seed, and given up where even the near end of an interval is too far off."""
        learned: Learned = {}
        pairs = [(seed, task.name) for seed in self.recipe.seeds for task in self.recipe.tasks]
        for done, (seed, task) in enumerate(pairs, start=1):
            teacher = self._teacher(task, seed)
            outcomes = learned.setdefault(task, {"teacher": [], "student": []})
            outcomes["teacher"].append(teacher)
            outcomes["student"].append(student.learned(task, seed, teacher))
            drop = replace(self._drop(learned), whole=done == len(pairs))
            if drop.least > max_drop:
                break
        return learned, drop

    def _drop(self, learned: Mapping[str, Mapping[str, Sequence[Outcome]]]) -> Drop:
        """How far a student is below the task teacher on the tests that count."""
        source = self.recipe.source.language
        scores = {
            name: [[one.scores for one in roles[role]] for role in ("student", "teacher")]
            for name, roles in learned.items()
        }
        return Drop.of(
            compare(*([seed[language]["contributions"] for seed in own] for own in scores[name]))
            for name in learned
            for language in judged(self.data[name].tests, source)
        )

    def _deploy(
        self, students: Sequence[OneStudent], published: OneStudent, settings: Export
    ) -> dict[str, deployment.ByModel]:
        """The ONNX files of every task's students, and of their rival that needs no distillation.

        The search for what has to stay in float32 takes minutes, and would make a product slower that is none.
        """
        deployed: dict[str, deployment.ByModel] = {}
        for name, task in self._tasks().items():
            teachers = [(seed, self._teacher(name, seed)) for seed in self.recipe.seeds]
            own = {
                "student" if student is published else student.role: [
                    student.exported(name, seed, settings, teacher) for seed, teacher in teachers
                ]
                for student in students
            }
            rivals = [
                task.exported(seed, task.teacher_model(seed, own), settings, "trimmed task teacher", held=False)
                for seed, own in teachers
            ]
            deployed[name] = {**own, "trimmed": rivals}
        return deployed

    def _efficiency(
        self,
        published: OneStudent,
        learned: Mapping[str, Mapping[str, Sequence[Outcome]]],
        deployed: Mapping[str, deployment.ByModel],
    ) -> StageFolder:
        """Size and speed of the first task's models, beside those of the untrimmed teacher.

        Students of one shape and vocabulary cost the same, and are measured once. Of several each has a role of
        its own, so that another choice among the same is not another measurement.
        """
        first, own = self.recipe.tasks[0].name, {"student": published.role}
        models = {
            own.get(role, role): outcomes[0].model
            for role, outcomes in learned[first].items()
            if role != "teacher" and role not in AS_THE_STUDENT
        }
        exports = {own.get(who, who): found for who, found in deployed.get(first, {}).items()}
        data, target = self.data[first], self.recipe.targets[0].language
        return costs.measured(self.stages, self.students.teacher, models, exports, data, target)
