"""What the stages of a recipe take: sizes of text and labelled files, the vocabulary, the shapes of its models."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

import psutil
from transformers import PreTrainedConfig

from bistil.corpora import text
from bistil.files import read_json
from bistil.models import pretrained, teachers
from bistil.models.shapes import Shape
from bistil.pipeline.taskdata import TaskData
from bistil.planning.pace import Pace, measure
from bistil.planning.samples import Samples
from bistil.planning.walk import Step, Walk
from bistil.planning.work import Estimator, Kept, Load, Sizes, Work
from bistil.recipe.recipe import Recipe
from bistil.runtime.positions import most_tokens

_EXAMPLES = 200  # of each labelled file, by which lengths are known
_UNKNOWN = Load(32, 64, 64)  # what fine-tuning is timed on where no file says more
_VOCABULARY = 32_000  # tokens that a language pair needs, where no text says more


@dataclass(frozen=True)
class Estimate:
    """What each stage of a recipe takes, and on what the machine's pace is to be measured.

    ``shapes`` are the trimmed teacher and the first student, ``batch`` is one of the task with most tokens;
    ``vocabulary``, ``guessed`` and ``bare`` are as in `bistil.planning.planned.Plan`.
    """

    recipe: Recipe
    works: tuple[tuple[Step, Work], ...]
    shapes: tuple[PreTrainedConfig, PreTrainedConfig]
    layers: Sequence[int]
    batch: Load
    lines: Sequence[str]
    tokenizer: Any
    opening: float
    vocabulary: int | None
    guessed: bool
    bare: int

    def pace(self) -> Pace:
        """Measured now, for some ten seconds."""
        found = measure(*self.shapes, self.layers, self.recipe.distill, self.batch, self.tokenizer, self.lines)
        return replace(found, opening=self.opening)


def estimate(found: Walk, samples: Samples) -> Estimate:
    """Counts what the stages of a recipe take; nothing is measured but the time to load the tokenizer."""
    recipe, config = found.recipe, teachers.read_config(found.teacher)
    tokenizer, opening = _tokenizer(found.teacher)
    bare = psutil.Process().memory_info().rss
    sample = {language: samples.lines(patterns) for language, patterns in _texts(recipe).items()}
    vocabulary, guessed = _vocabulary(found, tokenizer, samples)
    shape = with_vocabulary(config, vocabulary or min(_VOCABULARY, config.vocab_size))
    students = {
        fingerprint: Kept(Shape(own.config(shape)), own.layers) for fingerprint, own in found.students.items()
    }
    sizes = _sizes(found, tokenizer, sample)
    estimator = Estimator(recipe, Shape(config), Shape(shape), students, sizes)
    works = tuple((step, estimator.work(step)) for step in found.steps)
    batch, lines, first = _typical(found, sizes), _known_lines(sample), next(iter(students.values()))
    shapes = (shape, first.shape.config)
    return Estimate(
        recipe, works, shapes, first.layers, batch, lines, tokenizer, opening, vocabulary, guessed, bare
    )


def with_vocabulary(config: PreTrainedConfig, tokens: int) -> PreTrainedConfig:
    """The configuration of the teacher once it has so many tokens."""
    return type(config).from_dict(config.to_dict() | {"vocab_size": tokens, "pad_token_id": 0})


def _tokenizer(folder: Path) -> tuple[Any, float]:
    """With the seconds that loading it takes; None where only the shape of a teacher is known."""
    has_one = any((folder / name).exists() for name in ("tokenizer.json", "vocab.txt", "vocab.json"))
    return _loaded(folder) if has_one else (None, 0.0)


@lru_cache(maxsize=1)  # one teacher has recipes in many languages
def _loaded(folder: Path) -> tuple[Any, float]:
    started = time.perf_counter()
    return pretrained.tokenizer(folder), time.perf_counter() - started


def _texts(recipe: Recipe) -> Mapping[str, Sequence[str]]:
    own = {part.language: part.text for part in recipe.languages}
    return own | dict(recipe.multilingual) | dict(recipe.vocabulary.further)


def _known_lines(sample: Mapping[str, Sequence[str]]) -> list[str]:
    return [line for lines in sample.values() for line in lines]


def _vocabulary(found: Walk, tokenizer: Any, samples: Samples) -> tuple[int | None, bool]:
    """Tokens that the languages of a recipe need: of the stage if it is there, else guessed from the sample."""
    step = next(step for step in found.steps if step.name == "vocabulary")
    if step.reused:
        return int(read_json(step.folder.path / "vocabulary.json")["after"]), False
    least = found.recipe.vocabulary.min_probability
    texts = [_texts(found.recipe)[code] for code in step.inputs["text"]]
    if tokenizer is not None and not least:
        return len(tokenizer), False
    if tokenizer is None or not all(map(samples.lines, texts)):
        return None, False
    return samples.vocabulary(tokenizer, texts, least), any(map(samples.are_cut, texts))


def _sizes(found: Walk, tokenizer: Any, sample: Mapping[str, Sequence[str]]) -> Sizes:
    recipe = found.recipe
    octets = {
        code: sum(file.path.stat().st_size for file in text.files(patterns)) if sample[code] else 0
        for code, patterns in _texts(recipe).items()
    }
    limit = recipe.vocabulary.sample_lines
    counted = {
        code: min(own, round(own * limit / _lines_in(own, sample[code]))) if own and limit else own
        for code, own in octets.items()
    }
    targets = [part.language for part in recipe.targets]
    shown = [line for code in targets for line in sample[code][:_EXAMPLES]]
    lengths = _lengths(tokenizer, shown)
    per_byte = sum(lengths) / sum(len(line.encode()) for line in shown) if lengths else 0.25
    tasks = {task.name: task for task in recipe.tasks}
    most = most_tokens(teachers.read_config(found.teacher))
    train, unlabelled, drawn, tests = dict[str, Load](), dict[str, Load](), dict[str, Load](), dict[str, Load]()
    target = dict[str, Load | None]()
    if not tasks:
        cut = [
            min(own, most) for own in _lengths(tokenizer, found.texts[:: max(1, len(found.texts) // _EXAMPLES)])
        ]
        tests[""] = Load(len(found.texts), fmean(cut), max(cut)) if cut else Load()
    for name, data in found.data.items():
        if tokenizer is None or not data.train:
            train[name] = unlabelled[name] = drawn[name] = target[name] = tests[name] = Load()
            continue
        task = tasks[name]
        longest = min(data.max_length, most)
        train[name] = _load(data, longest, tokenizer, data.train)
        further = [one for own in data.unlabelled.values() for one in own]
        unlabelled[name] = _load(data, longest, tokenizer, further)
        tested = [_load(data, longest, tokenizer, own) for own in (data.validation, *data.tests.values())]
        inputs = sum(load.inputs for load in tested)
        mean = sum(load.tokens for load in tested) / max(inputs, 1)
        tests[name] = Load(inputs, mean, max(load.longest for load in tested))
        drawn[name] = target[name] = Load()
        wanted = len(data.train) if task.pseudo_labels is None else task.pseudo_labels
        if not wanted or not data.task.reads_lines(data.train):
            continue
        if not all(octets[code] for code in targets):
            target[name] = None
            continue
        cut = [min(length, longest) for length in lengths]
        there = [_lines_in(octets[code], sample[code]) for code in targets]
        learned = Load(sum(min(wanted, own) for own in there), fmean(cut), max(cut))
        target[name] = learned
        if data.task.lines_read > 1:
            read = sum(min(wanted * data.task.lines_read, own) for own in there)
            drawn[name] = replace(learned, inputs=read)
    return Sizes(octets, counted, train, unlabelled, drawn, target, tests, per_byte)


def _lines_in(octets: int, sample: Sequence[str]) -> float:
    """How many lines a text of so many bytes has."""
    return octets * len(sample) / sum(len(line.encode()) + 1 for line in sample)


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
    """A batch of the task that trains on most tokens, or of sentence embeddings."""
    tasks = {task.name: task for task in found.recipe.tasks}
    if not tasks:
        return replace(sizes.tests[""], inputs=found.recipe.distill.batch) if sizes.tests[""].inputs else _UNKNOWN
    name = max(tasks, key=lambda name: sizes.train[name].tokens)
    load = sizes.train[name]
    return replace(load, inputs=tasks[name].batch_size) if load.inputs else _UNKNOWN
