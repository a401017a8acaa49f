"""The shape of a recipe's student: given, or chosen for its budget in a stage of its own."""

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from bistil.exporting.graph import fits
from bistil.files import read_json, write_json
from bistil.models import teachers
from bistil.models.families import indispensable_layers
from bistil.models.shapes import Shape, StudentShape
from bistil.models.students import kept_layers
from bistil.models.width import check_width
from bistil.pipeline.budgets import met, within_operations, within_parameters, within_time
from bistil.pipeline.encoders import load_tokenizer
from bistil.pipeline.shapetimes import Engine
from bistil.pipeline.stages import StageFolder, Stages
from bistil.pipeline.taskdata import length_of
from bistil.progress import Stage
from bistil.recipe.recipe import Recipe
from bistil.runtime.positions import most_tokens

_FILE = "shape.json"


class Shaping:
    """Says the layers and widths of a recipe's student; those that cannot be had are a BistilError.

    ``say`` prints what is odd about a choice.
    """

    def __init__(self, recipe: Recipe, teacher: Path, say: Callable[[str], None]) -> None:
        self._recipe, self._student, self._say = recipe, recipe.student, say
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
        Every run that goes on with a choice which missed its budget says so.
        """
        if self._given is not None:
            return None
        student, engine, tokens = self._student, self._engine, self._tokens
        budget = student.budget or 1.0

        def build(folder: Path, stage: Stage) -> None:
            config = teachers.read_config(vocabulary.path / "model")
            if student.budget_of == "parameters":
                shape, share = within_parameters(config, budget)
                measured = {}
            else:
                measured = {"engine": engine if fits(Shape(config).bytes) else "torch"}
                shape, share = within_time(config, load_tokenizer(vocabulary), budget, tokens=tokens, **measured)
            write_json(folder / _FILE, {**asdict(shape), "share": share, **measured})
            stage.note(self.said(StageFolder(folder, "")) or "")

        inputs = {"vocabulary": vocabulary, "budget": budget, "budget_of": student.budget_of}
        if student.budget_of == "time":
            inputs |= {"engine": engine, "tokens": tokens}
        made = stages.make("shape", "Choosing the student's shape", inputs, build)
        if student.budget_of == "time" and (file := made.path / _FILE).exists():
            share = read_json(file)["share"]
            if not met(share, budget):
                self._say(
                    f"warning: the student takes {share:.2f} of the trimmed teacher's time, and {budget:g} was "
                    f"allowed. If other programs kept this machine busy while it was measured, delete {made.path} "
                    "and run again; or say which layers to keep."
                )
        return made

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
        shape, found = self.of(chosen), read_json(chosen.path / _FILE)
        what = (
            f"{len(shape.layers)} layers, {found['share']:.2f} of the trimmed teacher's {self._student.budget_of}"
        )
        if self._student.budget_of == "parameters":
            return what
        instead = ""
        if found["engine"] != self._engine:
            instead = ", because the trimmed teacher is too large for an ONNX file"
        return f"{what} for a text of {self._tokens} tokens ({found['engine']}{instead})"

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
