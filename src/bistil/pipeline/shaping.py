"""The shape of a recipe's student: given, or chosen for its budget in a stage of its own."""

from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from bistil.files import read_json, write_json
from bistil.models import teachers
from bistil.models.families import indispensable_layers
from bistil.models.shapes import StudentShape
from bistil.models.students import kept_layers
from bistil.models.width import check_width
from bistil.pipeline.budgets import within_operations, within_parameters, within_time
from bistil.pipeline.encoders import load_tokenizer
from bistil.pipeline.shapetimes import Engine
from bistil.pipeline.stages import StageFolder, Stages
from bistil.pipeline.taskdata import length_of
from bistil.progress import Stage
from bistil.recipe.recipe import Recipe
from bistil.runtime.positions import most_tokens

_FILE = "shape.json"


class Shaping:
    """Says the layers and widths of a recipe's student; those that cannot be had are a BistilError."""

    def __init__(self, recipe: Recipe, teacher: Path) -> None:
        self._recipe, self._student = recipe, recipe.student
        self._config = config = teachers.read_config(teacher)
        student, self._given = self._student, None
        if student.budget is None:
            layers = kept_layers(
                config.num_hidden_layers, student.layer_reduction, student.layers, indispensable_layers(config)
            )
            check_width(config, student.intermediate_size, student.hidden_size)
            self._given = StudentShape(layers, student.intermediate_size, student.hidden_size)

    @cache  # noqa: B019, lives as long as the run
    def chosen(self, vocabulary: StageFolder, stages: Stages) -> StageFolder | None:
        """The one of the stages that chooses; None where the recipe gives the shape.

        It is its stage by which what comes after knows the student: a plan knows that before anything is chosen.
        """
        if self._given is not None:
            return None
        student, engine, tokens = self._student, self._engine, self._tokens
        budget = student.budget or 1.0

        def build(folder: Path, stage: Stage) -> None:
            config = teachers.read_config(vocabulary.path / "model")
            if student.budget_of == "parameters":
                shape, share = within_parameters(config, budget)
            else:
                tokenizer = load_tokenizer(vocabulary)
                shape, share = within_time(config, tokenizer, budget, engine, tokens)
            write_json(folder / _FILE, {**asdict(shape), "share": share})
            stage.note(self.said(StageFolder(folder, "")) or "")

        inputs = {"vocabulary": vocabulary, "budget": budget, "budget_of": student.budget_of}
        if student.budget_of == "time":
            inputs |= {"engine": engine, "tokens": tokens}
        return stages.make("shape", "Choosing the student's shape", inputs, build)

    @cache  # noqa: B019
    def of(self, chosen: StageFolder | None) -> StudentShape:
        """The shape that the recipe gives, or that a stage chose.

        A plan, in which nothing is chosen yet, gets what would be chosen by operations.
        """
        if self._given is not None:
            return self._given
        if chosen is None or not (file := chosen.path / _FILE).exists():
            return within_operations(self._config, self._student.budget or 1.0, self._tokens)
        found = read_json(file)
        return StudentShape(tuple(found["layers"]), found["intermediate_size"], found["hidden_size"])

    def known_by(self, chosen: StageFolder | None) -> dict[str, Any]:
        """What stands for the shape in the inputs of a stage: itself, or the stage that chose it."""
        return asdict(self.of(None)) if chosen is None else {"shape": chosen}

    def said(self, chosen: StageFolder | None) -> str | None:
        """What a stage chose, in words: ``12 layers, 0.49 of the trimmed teacher's parameters``."""
        if chosen is None:
            return None
        shape, share = self.of(chosen), read_json(chosen.path / _FILE)["share"]
        what = f"{len(shape.layers)} layers, {share:.2f} of the trimmed teacher's {self._student.budget_of}"
        return (
            what
            if self._student.budget_of == "parameters"
            else (f"{what} for a text of {self._tokens} tokens ({self._engine})")
        )

    @property
    def _engine(self) -> Engine:
        """In which the student is deployed."""
        if self._recipe.export is None:
            return "torch"
        return "int8" if self._recipe.export.quantize else "onnx"

    @property
    def _tokens(self) -> int:
        """Of a text by which time is measured; no longer than the teacher takes, to which texts are cut."""
        halves = [length_of(task) // 2 for task in self._recipe.tasks]
        return min(max(self._recipe.distill.sequence_length, *halves, 0), most_tokens(self._config))
