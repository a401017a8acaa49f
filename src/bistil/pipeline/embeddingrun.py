"""A run of sentence embeddings: a teacher becomes a student, which is scored, exported, measured and published."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from bistil.errors import BistilError
from bistil.evaluation.embeddings import EmbeddingTest
from bistil.evaluation.itemscores import ItemScore, difference
from bistil.exporting.card import card
from bistil.files import publish, read_json
from bistil.hub import CARD
from bistil.models.teachers import origin
from bistil.pipeline import cardfacts, deployment, summary
from bistil.pipeline.embeddingstages import EmbeddingStages
from bistil.pipeline.onestudent import OneStudent
from bistil.pipeline.stages import StageFolder, Stages
from bistil.pipeline.studentstages import StudentStages
from bistil.progress import Progress
from bistil.recipe.parts import Export
from bistil.recipe.recipe import Recipe

# of a model what `EmbeddingStages` found, one for each seed
Found = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Made:
    """The stages of a run: students by seed, scores by role, ONNX files, and what the models cost."""

    distilled: Sequence[StageFolder]
    evaluated: Mapping[str, Sequence[StageFolder]]
    deployed: deployment.ByModel
    efficiency: StageFolder


class EmbeddingRun:
    """The stages of a recipe with ``embeddings`` in their order; ``stages`` keeps them, or only lists them."""

    def __init__(self, recipe: Recipe, progress: Progress, stages: Stages | None = None) -> None:
        self.recipe, self.students = recipe, StudentStages(recipe, progress, stages=stages)
        if recipe.embeddings is None or self.students.pooling is None:
            raise BistilError(f"Recipe {recipe.name} has no embeddings. Give test files (embeddings.test).")
        self._own = EmbeddingStages(recipe.embeddings, self.students, self.students.pooling)

    @cached_property
    def vocabulary(self) -> StageFolder:
        """The trimmed teacher."""
        return self.students.vocabulary()

    @cached_property
    def student(self) -> OneStudent:
        """The stages of the student."""
        return OneStudent("", self.students, self.vocabulary, {})

    @property
    def tests(self) -> Mapping[str, EmbeddingTest]:
        """What the models are scored on, by name."""
        return self._own.tests

    def make(self) -> Made:
        """All stages."""
        recipe, student = self.recipe, self.student
        distilled = [student.distilled(seed) for seed in recipe.seeds]
        evaluated = {
            "teacher": [self._own.teacher()],
            "student": [
                self._own.evaluated("student", made, seed)
                for seed, made in zip(recipe.seeds, distilled, strict=True)
            ],
        }
        if "layer_drop" in recipe.baselines:
            who = "student without general distillation"
            evaluated["layer_drop"] = [self._own.evaluated(who, student.undistilled)]
        deployed = {} if recipe.export is None else self._deploy(recipe.export)
        efficiency = self._own.measured(distilled[0], deployed, recipe.targets[0].language)
        return Made(distilled, evaluated, deployed, efficiency)

    def run(self) -> dict[str, Any]:
        """All stages, and the student published. Returns the report."""
        recipe, student, made = self.recipe, self.student, self.make()
        first, deployed = made.distilled[0], made.deployed
        found = {
            role: [read_json(one.path / "evaluation.json") for one in own] for role, own in made.evaluated.items()
        }
        costs = read_json(made.efficiency.path / "efficiency.json")
        forms = [role for role in costs if role not in made.evaluated]
        distillation = [read_json(one.path / "distillation.json") for one in made.distilled]
        vocabulary = read_json(self.vocabulary.path / "vocabulary.json")
        report = {
            **summary.opening(
                recipe,
                origin(recipe.teacher, self.students.teacher),
                student.shape,
                vocabulary,
                distillation,
            ),
            "models": [
                {"role": role, **_said(role, bool(forms)), **costs["student" if role == "layer_drop" else role]}
                for role in (*made.evaluated, *forms)
            ],
            "tasks": [],
            "embeddings": self._scores({**found, **deployment.scores(deployed)}),
            "comparison": summary.compared(costs, forms),
            **({"problems": self._problems(deployed)} if recipe.export is not None else {}),
            **summary.closing(recipe, [one.manifest for one in self.students.stages.used], bool(forms)),
        } | cardfacts.vectors(first.path / "student")
        place = recipe.out / "student"
        if deployed:
            own, *_ = deployed["student"]
            publish(first.path / "student", place, {CARD: card(report, exported=own.report)})
            own.publish(place)
        else:
            publish(first.path / "student", place, {CARD: card(report)})
        return report

    def _deploy(self, settings: Export) -> dict[str, list[deployment.Deployed]]:
        """The ONNX files of the student, and of its rival that needs no distillation."""
        return {
            "student": [
                self._own.exported("student", self.student.distilled(seed), "student", settings, seed)
                for seed in self.recipe.seeds
            ],
            "trimmed": [self._own.exported("trimmed teacher", self.vocabulary, "model", settings, held=False)],
        }

    def _problems(self, deployed: deployment.ByModel) -> list[dict[str, Any]]:
        seeds = self.recipe.seeds
        return [
            problem
            for who, own in deployed.items()
            for problem in deployment.problems("", {who: own}, seeds[: len(own)])
        ]

    def _scores(self, found: Mapping[str, Found]) -> list[dict[str, Any]]:
        """Of each test, in the form of a report's task, the scores and differences; its name is the language."""
        return [
            {
                "name": name,
                "metric": test.metric,
                "tests": {name: {"examples": len(test)}},
                "scores": {
                    role: {name: [seed[name]["scores"][test.metric] for seed in own]}
                    for role, own in found.items()
                },
                "comparisons": {name: _compared({role: _items(own, name) for role, own in found.items()})},
            }
            for name, test in self._own.tests.items()
        ]


def _items(found: Found, test: str) -> list[ItemScore]:
    return [ItemScore.of(seed[test]["items"]) for seed in found]


def _compared(items: Mapping[str, Sequence[ItemScore]]) -> dict[str, dict[str, dict[str, float]]]:
    """Every model against the teacher, and the student against every other."""
    return {
        role: {
            "against_teacher": asdict(difference(own, items["teacher"])),
            "student_against": asdict(difference(items["student"], own)),
        }
        for role, own in items.items()
        if role != "teacher"
    }


def _said(role: str, deployed: bool) -> dict[str, str]:
    """A model's title; here nothing is a task teacher."""
    found = summary.said(role, {"student": ""}, deployed)
    return {**found, "title": found["title"].replace("Task teacher", "Teacher")}
