"""The plan of a recipe: its stages with what each takes, and how long here and on a graphics card."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import psutil
from transformers import PreTrainedConfig

from bistil.corpora import text
from bistil.errors import BistilError
from bistil.files import read_json
from bistil.models import pretrained, teachers
from bistil.models.families import indispensable_layers, most_tokens
from bistil.models.students import kept_layers
from bistil.pipeline.taskdata import TaskData
from bistil.planning.known import GPU_SHARE, GPUS
from bistil.planning.pace import Pace, measure
from bistil.planning.walk import Step, Walk, walk
from bistil.planning.work import Estimator, Load, Shape, Sizes, Work, student_of
from bistil.recipe.recipe import Recipe
from bistil.training.allocator import keep_freed_memory
from bistil.training.devices import unused
from bistil.vocabulary.count import count_tokens

LINES = 5_000  # of each text, by which tokens are counted and reading is timed
_EXAMPLES = 200  # of each labelled file, by which lengths are known
_UNKNOWN = Load(32, 64, 64)  # what fine-tuning is timed on where no file says more
_VOCABULARY = 32_000  # tokens that a language pair needs, where no text says more
_DISK_RATE = 2e8  # bytes a second that a stage writes
_GRAPH = 10.0  # seconds in which torch traces a model for ONNX, which depend little on its size
_START = 18.0  # seconds in which a model is loaded here, and in a process of its own that imports torch first


@dataclass(frozen=True)
class Planned:
    """One stage: what it takes, whether it is reused, and seconds here and on the card; None: not known."""

    title: str
    reused: bool
    work: Work
    seconds: float | None
    gpu_seconds: float | None


@dataclass(frozen=True)
class Plan:
    """The stages of a run in their order, what the machine does in a second, and what could not be planned.

    ``vocabulary`` is counted on the first lines of the text where ``guessed``; the whole text usually has more.
    ``bare`` is the memory of the process with nothing but the tokenizer; the totals leave out what is not known.
    """

    stages: tuple[Planned, ...]
    pace: Pace
    vocabulary: int | None
    guessed: bool
    bare: int
    gpu: str | None
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Of the stages that are not reused."""
        return sum(stage.seconds or 0 for stage in self._new)

    @property
    def gpu_seconds(self) -> float:
        """The same on the graphics card."""
        return sum(stage.gpu_seconds or 0 for stage in self._new)

    @property
    def flops(self) -> float:
        """Operations of the stages that are not reused."""
        return sum(stage.work.flops or 0 for stage in self._new)

    @property
    def memory(self) -> float:
        """The peak of the new stages, with the bare process."""
        return self.bare + max((stage.work.memory for stage in self._new), default=0)

    @property
    def disk(self) -> float:
        """Bytes that the new stages leave."""
        return sum(stage.work.disk for stage in self._new)

    @property
    def _new(self) -> list[Planned]:
        return [stage for stage in self.stages if not stage.reused]


def plan(recipe: Recipe, gpu: str | None = None) -> Plan:
    """What `bistil.run` of the recipe would do; the machine's pace is measured for some ten seconds.

    ``gpu`` names a card, see `bistil.planning.known.GPUS`. Files that are not there yet are noted, not missed.
    Example: ``plan(Recipe.load("recipe.yaml"), "a100").seconds`` is 2140.0.
    """
    gpu = gpu and gpu.lower()
    if gpu and gpu not in GPUS:
        raise BistilError(f"There is no GPU {gpu!r} in the list. Choose from {', '.join(GPUS)}.")
    keep_freed_memory()
    with walk(recipe) as found:
        config = teachers.read_config(found.teacher)
        started = time.perf_counter()
        tokenizer = _tokenizer(found.teacher)
        opening = time.perf_counter() - started
        bare = psutil.Process().memory_info().rss
        sample = {language: _sample(patterns) for language, patterns in _texts(found.recipe).items()}
        vocabulary, guessed = _vocabulary(found, tokenizer, sample)
        shape = with_vocabulary(config, vocabulary or min(_VOCABULARY, config.vocab_size))
        layers = kept_layers(
            config.num_hidden_layers,
            recipe.student.layer_reduction,
            recipe.student.layers,
            indispensable_layers(config),
        )
        student = student_of(shape, recipe, len(layers))
        sizes = _sizes(found, tokenizer, sample)
        estimator = Estimator(found.recipe, Shape(config), Shape(shape), Shape(student), layers[-1], sizes)
        works = [(step, estimator.work(step)) for step in found.steps]
        measured = measure(
            shape, student, layers, recipe.distill, _typical(found, sizes), tokenizer, _known_lines(sample)
        )
        pace = replace(measured, opening=opening)
    stages = tuple(_planned(step, work, pace, gpu) for step, work in works)
    return Plan(stages, pace, vocabulary, guessed, bare, gpu, (*found.notes, *unused()))


def seconds(work: Work, pace: Pace) -> float | None:
    """How long a stage takes at a pace; None where its operations or the pace are not known.

    Example: 2e12 operations of fine-tuning at 1e11 a second take 20 seconds, and writing 2e8 bytes one more.
    """
    rates = {
        "distilling": pace.distilling,
        "task distilling": pace.task_distilling,
        "fine-tuning": pace.fine_tuning,
        "evaluating": pace.evaluating,
    }
    if work.flops is None or (work.kind == "reading" and not (work.text and pace.reading)):
        return None
    computing = work.flops / rates[work.kind] if work.flops else 0.0
    reading = work.text / pace.reading if pace.reading and work.text else 0.0
    starting = work.openings * pace.opening + work.processes * _START + work.graphs * _GRAPH
    return computing + reading + work.disk / _DISK_RATE + starting


def _planned(step: Step, work: Work, pace: Pace, gpu: str | None) -> Planned:
    there = None
    if gpu is not None:
        rate = GPUS[gpu] * GPU_SHARE
        there = seconds(
            work, replace(pace, distilling=rate, task_distilling=rate, fine_tuning=rate, evaluating=rate)
        )
    return Planned(step.title, step.reused, work, seconds(work, pace), there)


def with_vocabulary(config: PreTrainedConfig, tokens: int) -> PreTrainedConfig:
    """The configuration of the teacher once it has so many tokens."""
    return type(config).from_dict(config.to_dict() | {"vocab_size": tokens, "pad_token_id": 0})


def _tokenizer(folder: Path) -> Any:
    """None where only the shape of a teacher is known."""
    has_one = any((folder / name).exists() for name in ("tokenizer.json", "vocab.txt", "vocab.json"))
    return pretrained.tokenizer(folder) if has_one else None


def _texts(recipe: Recipe) -> Mapping[str, Sequence[str]]:
    own = {part.language: part.text for part in recipe.languages}
    return own | dict(recipe.multilingual) | dict(recipe.vocabulary.further)


def _sample(patterns: Sequence[str]) -> list[str]:
    """Lines from the beginning; none of a text that is not there yet."""
    with contextlib.suppress(BistilError):
        return list(islice(text.lines(text.files(patterns)), LINES))
    return []


def _known_lines(sample: Mapping[str, Sequence[str]]) -> list[str]:
    return [line for lines in sample.values() for line in lines]


def _vocabulary(found: Walk, tokenizer: Any, sample: Mapping[str, Sequence[str]]) -> tuple[int | None, bool]:
    """Tokens that the languages of a recipe need: of the stage if it is there, else guessed from the sample."""
    step = next(step for step in found.steps if step.name == "vocabulary")
    if step.reused:
        return int(read_json(step.folder.path / "vocabulary.json")["after"]), False
    least = found.recipe.vocabulary.min_probability
    texts = [sample[code] for code in step.inputs["text"]]
    if tokenizer is None or not any(texts):
        return None, False
    if not least:
        return len(tokenizer), False
    counts = [count_tokens(tokenizer, iter(lines)) for lines in texts]
    kept = np.any([(own > 0) & (own >= least * own.sum()) for own in counts], axis=0)
    size = int(np.count_nonzero(kept)) + len(tokenizer.all_special_ids)
    return size, any(len(lines) == LINES for lines in texts)


def _sizes(found: Walk, tokenizer: Any, sample: Mapping[str, Sequence[str]]) -> Sizes:
    recipe = found.recipe
    octets = {
        code: sum(file.path.stat().st_size for file in text.files(patterns))
        for code, patterns in _texts(recipe).items()
    }
    targets = [part.language for part in recipe.targets]
    shown = [line for code in targets for line in sample[code][:_EXAMPLES]]
    lengths = _lengths(tokenizer, shown)
    per_byte = sum(lengths) / sum(len(line.encode()) for line in shown) if lengths else 0.25
    tasks = {task.name: task for task in recipe.tasks}
    most = most_tokens(teachers.read_config(found.teacher))
    train, labelled, target, tests = (dict[str, Load](), dict[str, Load](), dict[str, Load](), dict[str, Load]())
    for name, data in found.data.items():
        if tokenizer is None or not data.train:
            train[name] = labelled[name] = target[name] = tests[name] = Load()
            continue
        task = tasks[name]
        longest = min(data.max_length, most)
        train[name] = _load(data, longest, tokenizer, data.train)
        tested = [_load(data, longest, tokenizer, own) for own in (data.validation, *data.tests.values())]
        inputs = sum(load.inputs for load in tested)
        mean = sum(load.tokens for load in tested) / max(inputs, 1)
        tests[name] = Load(inputs, mean, max(load.longest for load in tested))
        labelled[name] = target[name] = Load()
        if data.task.reads_lines(data.train) and lengths:
            wanted = len(data.train) if task.pseudo_labels is None else task.pseudo_labels
            cut = [min(length, longest) for length in lengths]
            there = [_lines_in(octets[code], sample[code]) for code in targets]
            read = sum(min(wanted * data.task.lines_read, own) for own in there)
            labelled[name] = Load(read, fmean(cut), max(cut))
            target[name] = replace(labelled[name], inputs=sum(min(wanted, own) for own in there))
    return Sizes(octets, train, labelled, target, tests, per_byte)


def _lines_in(octets: int, sample: Sequence[str]) -> float:
    """How many lines a text of so many bytes has."""
    return octets * len(sample) / sum(len(line.encode()) + 1 for line in sample) if sample else 0.0


def _lengths(tokenizer: Any, lines: Sequence[str]) -> list[int]:
    if tokenizer is None or not lines:
        return []
    return [len(ids) for ids in tokenizer(list(lines), verbose=False)["input_ids"]]


def _load(data: TaskData, longest: int, tokenizer: Any, examples: Sequence[Any]) -> Load:
    shown = examples[:: max(1, len(examples) // _EXAMPLES)]
    if not shown:
        return Load()
    features = data.task.features(shown, tokenizer, longest)
    lengths = [len(feature["input_ids"]) for feature in features]
    return Load(len(examples) * len(features) / len(shown), fmean(lengths), max(lengths))


def _typical(found: Walk, sizes: Sizes) -> Load:
    """A batch of the task that trains on most tokens."""
    tasks = {task.name: task for task in found.recipe.tasks}
    name = max(tasks, key=lambda name: sizes.train[name].tokens)
    load = sizes.train[name]
    return replace(load, inputs=tasks[name].batch_size) if load.inputs else _UNKNOWN
