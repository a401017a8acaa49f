"""What each stage computes, reads and keeps: counted, not measured."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bistil.corpora.blocks import HELD_OUT_TOKENS
from bistil.models.shapes import Shape
from bistil.pipeline.stages import StageFolder
from bistil.planning.walk import Step
from bistil.recipe.parts import Task
from bistil.recipe.recipe import Recipe
from bistil.training.losscurve import points
from bistil.training.ticket import Length

_FLOAT = 4  # bytes
_INDEX = 1.1  # bytes of a position in the file of a sparse delta
_GRAPHS = 8  # small ones of two hidden sizes, the teacher's and the student's
_ADAM = 4  # weights, gradients and two moments, each as big as the weights

Kind = Literal["reading", "distilling", "task distilling", "fine-tuning", "evaluating", "saving"]


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
    """How much there is: bytes of text by language, 0 of one that is not there yet, and each task's inputs.

    ``counted`` are those by which the vocabulary is chosen: of a sample of the lines, or of all of them.
    ``unlabelled`` are the examples of each task that its teacher labels, ``tests`` those of each task or, by the
    name "", of sentence embeddings. ``drawn`` are the lines of all targets' text among which a task teacher
    chooses, ``target`` at most how many lines a student learns from, None where one of the texts is not there yet.
    """

    text: Mapping[str, int]
    counted: Mapping[str, int]
    train: Mapping[str, Load]
    unlabelled: Mapping[str, Load]
    drawn: Mapping[str, Load]
    target: Mapping[str, Load | None]
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


@dataclass(frozen=True)
class Kept:
    """The shape of a student, and the teacher's layers that it keeps and matches."""

    shape: Shape
    layers: Sequence[int]


class Estimator:
    """Counts what the steps of a recipe take, one after the other.

    ``whole`` is the teacher before it is trimmed, ``teacher`` after that; ``students`` are by the fingerprint of
    the stage that makes them. Baselines are of the first one's shape.
    """

    def __init__(
        self, recipe: Recipe, whole: Shape, teacher: Shape, students: Mapping[str, Kept], sizes: Sizes
    ) -> None:
        self._recipe, self._whole, self._teacher, self._sizes = recipe, whole, teacher, sizes
        self._students, self._first = dict(students), next(iter(students.values()))
        self._tasks = {task.name: task for task in recipe.tasks}
        self._shapes: dict[str, Shape] = {}  # of task models, by their fingerprints

    def work(self, step: Step) -> Work:
        """What a step takes."""
        match step.name:
            case "vocabulary":
                return self._vocabulary(step)
            case "blocks":
                size = self._octets(step, self._sizes.text)
                kept = _FLOAT * size * self._sizes.tokens_per_byte
                return Work("reading", text=size, memory=kept, disk=kept)
            case "distill":
                return self._distill(step)
            case "scratch":
                return self._scratch(step)
            case "task-teacher":
                return self._fine_tune(step)
            case "evaluation" | "embeddings-evaluation":
                return self._evaluate(step)
            case "efficiency" | "embeddings-efficiency":
                return self._measure(step)
            case "shape":
                measured = step.inputs["budget_of"] == "time" and step.inputs["engine"] != "torch"
                return Work("saving", memory=2 * self._teacher.bytes, graphs=_GRAPHS if measured else 0)
            case "undistilled":
                student = self._shapes[step.folder.fingerprint] = self._kept(step.folder).shape
                return Work("saving", memory=self._teacher.bytes + student.bytes, disk=student.bytes)
            case "task-teacher-model":
                shape = self._shape(step, step.inputs["teacher"])
                return Work("saving", memory=shape.bytes, disk=shape.bytes)
            case "other":
                return Work("saving", memory=self._teacher.bytes, disk=self._teacher.bytes)
            case "export" | "embeddings-export":
                return self._export(step)
            case _:
                return self._distill_task(step)

    def _shape(self, step: Step, model: StageFolder | Mapping[str, str]) -> Shape:
        """That of the model that a step makes something of, which has it, too; no stage made the teacher."""
        if isinstance(model, Mapping):
            return self._whole
        return self._shapes.setdefault(step.folder.fingerprint, self._shapes.get(model.fingerprint, self._teacher))

    def _kept(self, made: StageFolder) -> Kept:
        """What the student is of a stage that makes one; that of a baseline has no name."""
        return self._students.get(made.fingerprint, self._first)

    def _octets(self, step: Step, text: Mapping[str, int]) -> int:
        """Bytes of the texts that a step reads; 0 where not all are there yet."""
        sizes = [text[language] for language in step.inputs["text"]]
        return sum(sizes) if all(sizes) else 0

    def _vocabulary(self, step: Step) -> Work:
        size = self._octets(step, self._sizes.counted)
        memory = 2 * self._whole.bytes + self._teacher.bytes  # the file and the model, and what is cut out of it
        return Work("reading", text=size, memory=memory, disk=self._teacher.bytes, openings=6)

    def _distill(self, step: Step) -> Work:
        settings, tokens = self._recipe.distill, step.total or 0
        kept = self._students[step.folder.fingerprint] = self._kept(step.inputs["student"])
        self._shapes[step.folder.fingerprint] = kept.shape
        teacher = self._teacher.forward(settings.sequence_length, kept.layers[-1])
        student = kept.shape.forward(settings.sequence_length)
        flops = tokens * (teacher + 3 * student)
        flops += (points(tokens) + 1) * 2 * HELD_OUT_TOKENS * (teacher + student)
        states = settings.batch * settings.sequence_length * kept.shape.activations(settings.sequence_length)
        return Work(
            "distilling",
            tokens,
            flops,
            memory=self._teacher.bytes + _ADAM * kept.shape.bytes + states,
            disk=kept.shape.bytes,
        )

    def _scratch(self, step: Step) -> Work:
        settings, tokens, student = self._recipe.distill, step.total or 0, self._first.shape
        config = student.config
        head = 2 * config.hidden_size * (config.vocab_size + config.hidden_size)
        flops = 3 * tokens * (student.forward(settings.sequence_length) + head)
        states = settings.batch * settings.sequence_length * student.activations(settings.sequence_length)
        states += settings.batch * settings.sequence_length * config.vocab_size * 3 * _FLOAT  # the head's outputs
        return Work("fine-tuning", tokens, flops, memory=_ADAM * student.bytes + states, disk=student.bytes)

    def _fine_tune(self, step: Step) -> Work:
        """On gold labels: the trimmed teacher, a student's shape from scratch, or another model."""
        task, load = self._tasks[step.task], self._sizes.train[step.task]
        base = step.inputs["vocabulary"].path.name.rsplit("-", 1)[0]
        shape = self._shapes[step.folder.fingerprint] = self._first.shape if base == "scratch" else self._teacher
        passed = _epochs(task, task.epochs, load) * load.tokens
        # without dropout of attention only DeBERTa keeps its probabilities
        kept = shape.config.model_type == "deberta-v2"
        states = task.batch_size * load.longest * shape.activations(load.longest, attention=kept)
        known = load.inputs and base != "other"
        return Work(
            "fine-tuning",
            passed or None,
            3 * passed * shape.forward(load.length) if known else None,
            memory=(_ADAM + 1) * shape.bytes + states,
            disk=task.density * shape.bytes * (_FLOAT + _INDEX) / _FLOAT,
        )

    def _distill_task(self, step: Step) -> Work:
        """Task distillation, on labelled source text, on examples without labels and on plain target text."""
        task, sizes = self._tasks[step.task], self._sizes
        train, drawn, target = sizes.train[step.task], sizes.drawn[step.task], sizes.target[step.task]
        known, loads = train.inputs and target is not None, (train, sizes.unlabelled[step.task], target or Load())
        teacher, student = self._teacher, self._kept(step.inputs["student"]).shape
        self._shapes[step.folder.fingerprint] = student
        epochs = _epochs(task, task.student_epochs or task.epochs, *loads)
        flops = drawn.tokens * teacher.forward(drawn.length)
        for load in loads:
            each = teacher.forward(load.length) + 3 * student.forward(load.length)
            flops += epochs * load.tokens * each
        longest = max(load.longest for load in loads)
        states = task.batch_size * longest * student.activations(longest)
        return Work(
            "task distilling",
            epochs * sum(load.tokens for load in loads) if known else None,
            flops if known else None,
            memory=2 * teacher.bytes + (_ADAM + 1) * student.bytes + states,
            disk=student.bytes * (1 + (task.student_density or task.density) * (_FLOAT + _INDEX) / _FLOAT),
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
        load = next(iter(self._sizes.tests.values()))
        made = [one.fingerprint if isinstance(one, StageFolder) else one for one in step.inputs.values()]
        own = [one for one in made if isinstance(one, str) and one in self._shapes]
        weights = [self._whole, *(self._shapes[one] for one in own)]
        exports = step.inputs.get("exports", {})  # of students also in float32
        shapes = [
            *weights,
            *(self._shapes[one] for one in exports.values()),
            *(self._shapes[one] for who, one in exports.items() if who != "trimmed"),
        ]
        texts = 5 * (96 + 20) + 4 * 64 + 2 * 96
        flops = sum(texts * load.length * shape.forward(load.length) for shape in shapes)
        memory = sum(shape.bytes for shape in shapes)
        return Work("evaluating", flops=flops if load.inputs else None, memory=memory, processes=len(weights))
