"""What each stage computes, reads and keeps: counted, not measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from bistil.corpora.blocks import HELD_OUT_TOKENS
from bistil.models.families import family, without_dropout
from bistil.models.flops import forward_flops
from bistil.pipeline.stages import StageFolder
from bistil.planning.walk import Step
from bistil.recipe.parts import Task
from bistil.recipe.recipe import Recipe
from bistil.training.losscurve import points
from bistil.training.ticket import Length

_FLOAT = 4  # bytes
_INDEX = 1.1  # bytes of a position in the file of a sparse delta
_ADAM = 4  # weights, gradients and two moments, each as big as the weights

Kind = Literal["reading", "distilling", "task distilling", "fine-tuning", "evaluating", "saving"]


@dataclass(frozen=True)
class Shape:
    """An encoder without its numbers; ``config.vocab_size`` counts the tokens that are kept."""

    config: PreTrainedConfig

    @cached_property
    def encoder(self) -> PreTrainedModel:
        """The modules, on the meta device."""
        with torch.device("meta"):
            model: PreTrainedModel = AutoModel.from_config(self.config)
        return model

    @property
    def bytes(self) -> int:
        """Of the weights."""
        return _FLOAT * self.encoder.num_parameters()

    def forward(self, length: float, layers: int | None = None) -> float:
        """Operations for one token of inputs of some length; a backward pass takes twice as many."""
        return forward_flops(self.encoder, round(length), layers)

    def activations(self, length: float) -> float:
        """Bytes that training keeps for each token, in float32 (Korthikanti et al. 2022, equation 1)."""
        hidden, heads = self.config.hidden_size, self.config.num_attention_heads
        return 2 * self.config.num_hidden_layers * (34 * hidden + 5 * heads * length)


def student_of(teacher: PreTrainedConfig, recipe: Recipe, layers: int) -> PreTrainedConfig:
    """The configuration of a student with so many of the teacher's layers, narrower where the recipe says so."""
    values = teacher.to_dict() | without_dropout(teacher) | {"num_hidden_layers": layers}
    if values.get("layer_types"):
        values["layer_types"] = values["layer_types"][:layers]
    if (hidden := recipe.student.hidden_size) is not None:
        values["num_attention_heads"] = hidden * teacher.num_attention_heads // teacher.hidden_size
        values["hidden_size"] = hidden
    if (inner := recipe.student.intermediate_size) is not None:
        values[family(teacher).inner_size] = inner
    return type(teacher).from_dict(values)


@dataclass(frozen=True)
class Load:
    """Model inputs: how many there are, and how many tokens one has, in the mean and at most."""

    inputs: float = 0
    length: float = 0
    longest: float = 0

    @property
    def tokens(self) -> float:
        """Of all inputs."""
        return self.inputs * self.length


@dataclass(frozen=True)
class Sizes:
    """How much there is: bytes of text by language, and each task's inputs.

    ``labelled`` are the lines of all targets' text that a task teacher labels, ``target`` at most how many of them
    become training examples.
    """

    text: Mapping[str, int]
    train: Mapping[str, Load]
    labelled: Mapping[str, Load]
    target: Mapping[str, Load]
    tests: Mapping[str, Load]
    tokens_per_byte: float


def _epochs(task: Task, epochs: tuple[int, int], *loads: Load) -> float:
    """Epochs over all inputs of the loads, both phases together; 0 where the number of inputs is not known."""
    steps = sum(math.ceil(load.inputs / task.batch_size) for load in loads)
    return sum(Length(own, task.min_steps).steps(steps) for own in epochs) / steps if steps else 0.0


@dataclass(frozen=True)
class Work:
    """What one stage takes; None where it is not known. ``text`` is bytes that are tokenised.

    ``memory`` is the peak beside that of the bare process, ``disk`` what stays behind; ``processes`` are started,
    the teacher's tokenizer is loaded, rebuilt or compared ``openings`` times, and ``graphs`` are traced for ONNX.
    """

    kind: Kind
    tokens: float | None = None
    flops: float | None = 0.0
    text: float = 0.0
    memory: float = 0.0
    disk: float = 0.0
    processes: int = 0
    openings: int = 0
    graphs: int = 0


class Estimator:
    """Counts what the steps of a recipe take, one after the other.

    ``whole`` is the teacher before it is trimmed, ``teacher`` after that; the student matches its layers up to
    ``last_layer``.
    """

    def __init__(
        self, recipe: Recipe, whole: Shape, teacher: Shape, student: Shape, last_layer: int, sizes: Sizes
    ) -> None:
        self._recipe, self._whole, self._teacher, self._student = recipe, whole, teacher, student
        self._last, self._sizes = last_layer, sizes
        self._tasks = {task.name: task for task in recipe.tasks}
        self._shapes: dict[str, Shape] = {}  # of task models, by their fingerprints

    def work(self, step: Step) -> Work:
        """What a step takes."""
        match step.name:
            case "vocabulary":
                return self._vocabulary(step)
            case "blocks":
                size = sum(self._sizes.text[language] for language in step.inputs["text"])
                kept = _FLOAT * size * self._sizes.tokens_per_byte
                return Work("reading", text=size, memory=kept, disk=kept)
            case "distill":
                return self._distill(step)
            case "scratch":
                return self._scratch(step)
            case "task-teacher":
                return self._fine_tune(step)
            case "evaluation":
                return self._evaluate(step)
            case "efficiency":
                return self._measure(step)
            case "undistilled":
                return Work("saving", memory=self._both, disk=self._student.bytes)
            case "task-teacher-model":
                shape = self._shape(step, step.inputs["teacher"])
                return Work("saving", memory=shape.bytes, disk=shape.bytes)
            case "other":
                return Work("saving", memory=self._teacher.bytes, disk=self._teacher.bytes)
            case "export":
                return self._export(step)
            case _:
                return self._distill_task(step)

    def _shape(self, step: Step, model: StageFolder) -> Shape:
        """That of the model that a step makes something of, which has it, too."""
        return self._shapes.setdefault(step.folder.fingerprint, self._shapes.get(model.fingerprint, self._teacher))

    @property
    def _both(self) -> float:
        return self._teacher.bytes + self._student.bytes

    def _vocabulary(self, step: Step) -> Work:
        size = sum(self._sizes.text[language] for language in step.inputs["text"])
        memory = 2 * self._whole.bytes + self._teacher.bytes  # the file and the model, and what is cut out of it
        return Work("reading", text=size, memory=memory, disk=self._teacher.bytes, openings=6)

    def _distill(self, step: Step) -> Work:
        settings, tokens = self._recipe.distill, step.total or 0
        teacher = self._teacher.forward(settings.sequence_length, self._last)
        student = self._student.forward(settings.sequence_length)
        flops = tokens * (teacher + 3 * student)
        flops += (points(tokens) + 1) * 2 * HELD_OUT_TOKENS * (teacher + student)
        states = (
            settings.batch_size * settings.sequence_length * self._student.activations(settings.sequence_length)
        )
        return Work(
            "distilling",
            tokens,
            flops,
            memory=self._teacher.bytes + _ADAM * self._student.bytes + states,
            disk=self._student.bytes,
        )

    def _scratch(self, step: Step) -> Work:
        settings, tokens, config = self._recipe.distill, step.total or 0, self._student.config
        head = 2 * config.hidden_size * (config.vocab_size + config.hidden_size)
        flops = 3 * tokens * (self._student.forward(settings.sequence_length) + head)
        states = (
            settings.batch_size * settings.sequence_length * self._student.activations(settings.sequence_length)
        )
        states += (
            settings.batch_size * settings.sequence_length * config.vocab_size * 3 * _FLOAT
        )  # the head's outputs
        return Work(
            "fine-tuning", tokens, flops, memory=_ADAM * self._student.bytes + states, disk=self._student.bytes
        )

    def _fine_tune(self, step: Step) -> Work:
        """On gold labels: the trimmed teacher, a student's shape from scratch, or another model."""
        task, load = self._tasks[step.task], self._sizes.train[step.task]
        base = step.inputs["vocabulary"].path.name.rsplit("-", 1)[0]
        shape = self._shapes[step.folder.fingerprint] = self._student if base == "scratch" else self._teacher
        passed = _epochs(task, task.epochs, load) * load.tokens
        states = task.batch_size * load.longest * shape.activations(load.longest)
        known = load.inputs and base != "other"
        return Work(
            "fine-tuning",
            passed or None,
            3 * passed * shape.forward(load.length) if known else None,
            memory=(_ADAM + 1) * shape.bytes + states,
            disk=task.density * shape.bytes * (_FLOAT + _INDEX) / _FLOAT,
        )

    def _distill_task(self, step: Step) -> Work:
        """Task distillation, on labelled source text and on plain target text."""
        task, sizes = self._tasks[step.task], self._sizes
        train, labelled, target = (loads[step.task] for loads in (sizes.train, sizes.labelled, sizes.target))
        self._shapes[step.folder.fingerprint] = self._student
        teacher, student = self._teacher, self._student
        epochs = _epochs(task, task.student_epochs or task.epochs, train, target)
        flops = labelled.tokens * teacher.forward(labelled.length)
        for load in (train, target):
            each = teacher.forward(load.length) + 3 * student.forward(load.length)
            flops += epochs * load.tokens * each
        longest = max(train.longest, target.longest)
        states = task.batch_size * longest * student.activations(longest)
        return Work(
            "task distilling",
            epochs * (train.tokens + target.tokens) or None,
            flops if train.inputs else None,
            memory=2 * teacher.bytes + (_ADAM + 1) * student.bytes + states,
            disk=student.bytes * (1 + task.density * (_FLOAT + _INDEX) / _FLOAT),
        )

    def _evaluate(self, step: Step) -> Work:
        load = self._sizes.tests[step.task]
        shape = self._shape(step, step.inputs["model"])
        flops = load.tokens * shape.forward(load.length) if load.inputs else None
        return Work("evaluating", load.tokens or None, flops, memory=2 * shape.bytes)

    def _export(self, step: Step) -> Work:
        """Scored in ONNX once, and in int8, which takes half as long, twice: to compare and to report."""
        load, shape = self._sizes.tests[step.task], self._shape(step, step.inputs["model"])
        flops = 2 * load.tokens * shape.forward(load.length) if load.inputs else None
        disk = shape.bytes * (1 + 1 / _FLOAT)
        return Work("evaluating", load.tokens or None, flops, memory=shape.bytes + disk, disk=disk, graphs=1)

    def _measure(self, step: Step) -> Work:
        """As `bistil.evaluation.efficiency`: five rounds of 96 texts and of 20 alone, and four batches on 64."""
        load = self._sizes.tests[self._recipe.tasks[0].name]
        own = [one for one in step.inputs.values() if isinstance(one, str) and one in self._shapes]
        weights = [self._whole, *(self._shapes[one] for one in own)]
        exports = step.inputs.get("exports", {})  # of the student also in float32
        shapes = [
            *weights,
            *(self._shapes[one] for one in exports.values()),
            *([self._student] if exports else []),
        ]
        texts = 5 * (96 + 20) + 4 * 64 + 2 * 96
        flops = sum(texts * load.length * shape.forward(load.length) for shape in shapes)
        memory = sum(shape.bytes for shape in shapes)
        return Work("evaluating", flops=flops if load.inputs else None, memory=memory, processes=len(weights))
