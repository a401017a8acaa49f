"""A recipe: one YAML file that says everything about one experiment."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PlainSerializer,
    PlainValidator,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from bistil.errors import BistilError
from bistil.files import write_whole
from bistil.recipe.mistakes import sentence
from bistil.recipe.renamed import with_new_keys, with_new_parts
from bistil.recipe.settings import assign, parse, typed


def _matches(pattern: str, what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {what}")
        return value

    return AfterValidator(check)


def _layers(value: Any) -> int | tuple[int, ...] | None:
    if value is None:
        return None
    chosen = [value] if isinstance(value, int) else value
    if isinstance(chosen, list | tuple) and chosen and all(type(one) is int and one > 0 for one in chosen):
        if list(chosen) != sorted(set(chosen)):
            raise ValueError("must be ascending, without repeats")
        return value if isinstance(value, int) else tuple(chosen)
    raise ValueError("must be a number of layers, such as 6, or the layers to keep, such as [1, 3, 5]")


def _plain(layers: int | tuple[int, ...] | None) -> int | list[int] | None:
    return list(layers) if isinstance(layers, tuple) else layers


# A name becomes a folder name, a language code a file name and a key of the report.
Name = Annotated[
    str,
    _matches(r"\w[\w.-]*", "a name of letters, digits, dots, _ and -"),
    _matches(r"(?i)(?!(con|prn|aux|nul|com\d|lpt\d)(\.|$)).*[^.]", "a name that Windows takes for a folder, too"),
]
Code = Annotated[str, _matches(r"[A-Za-z]{2,3}([_-]\w+)*", "a language code such as en")]
Label = Annotated[str, Field(coerce_numbers_to_str=True)]  # in YAML a label such as 0 is a number
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Layers = Annotated[int | tuple[int, ...] | None, PlainValidator(_layers), PlainSerializer(_plain, return_type=Any)]
Share = Annotated[float, Field(gt=0, le=1)]
BASELINES = ("trimmed", "layer_drop", "source_only", "target_only", "multilingual", "scratch")
Patterns = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    Field(min_length=1),
]


def _known_or_model(value: str) -> str:
    """Any other name is a model's; one that nearly is a baseline's is more likely misspelt."""
    close = difflib.get_close_matches(value, BASELINES, n=1, cutoff=0.75)
    if value not in BASELINES and close and not Path(value).is_dir():
        raise ValueError(f"is no baseline (did you mean {close[0]}?)")
    return value


Baseline = Annotated[str, Field(min_length=1), AfterValidator(_known_or_model)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


P = TypeVar("P", bound=_Part)


def validated(part: type[P], values: Mapping[str, Any], where: str) -> P:
    """A recipe or a part of one, of plain values; a BistilError that begins with `where` says what is wrong."""
    try:
        return part.model_validate(values)
    except ValidationError as error:
        # A misspelt key is also a missing one: the unknown key tells more.
        first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        raise BistilError(f"{where}: {sentence(first, part)}") from error


class Language(_Part):
    """A language and its unlabelled text."""

    language: Code = Field(description="language code, for example en")
    text: Patterns = Field(description="unlabelled text, a sentence or paragraph a line: files, globs, folders")
    delta: Path | None = Field(default=None, description="a language delta for the teacher, from `bistil adapt`")


class Vocabulary(_Part):
    """Which tokens of the teacher are kept."""

    min_probability: float = Field(
        default=1e-6,
        ge=0,
        le=1,
        description="keep a token with at least this share of either language's text; 0: keep all",
    )


class Student(_Part):
    """Which layers and what width of the teacher the student keeps; `layers` goes before `layer_reduction`."""

    layer_reduction: PositiveInt = Field(
        default=2, description="keep a half, a third … of the teacher's layers, the first, the last and between"
    )
    layers: Layers = Field(
        default=None,
        description="or how many to keep, or which of the teacher's, counted from 1; null: by layer_reduction",
    )
    intermediate_size: PositiveInt | None = Field(
        default=None, description="width inside the feed-forward; null: the teacher's"
    )
    hidden_size: PositiveInt | None = Field(
        default=None, description="width of hidden states, a multiple of the head width; null: the teacher's"
    )


class Distill(_Part):
    """General distillation: the student learns the teacher's states on unlabelled text."""

    tokens: PositiveInt = Field(default=1_000_000, description="how long to distill; more is better and slower")
    sequence_length: int = Field(default=64, ge=8, description="tokens in a block of text")
    batch_size: PositiveInt = Field(default=8, description="blocks in a batch")
    learning_rate: PositiveFloat = Field(default=1e-3, description="peak learning rate, decays to 0")
    attention: Literal["mse", "kl", "relations", "none"] = Field(
        default="mse", description="loss on attention probabilities (mse, kl), or on MiniLMv2's relations, or none"
    )
    hidden_weight: NonNegativeFloat = Field(default=1.0, description="what the loss on hidden states counts")
    attention_weight: NonNegativeFloat = Field(default=1.0, description="what the loss on attention counts")
    matched_layers: Literal["all", "last"] = Field(
        default="all", description="layers whose states are matched to the teacher's: all, or the last"
    )
    mlm_probability: float = Field(
        default=0.15, ge=0, lt=1, description="share of the input tokens that are masked"
    )
    freeze_embeddings: bool = Field(default=False, description="leave the token embeddings as the teacher's")
    temperature: PositiveFloat | None = Field(
        default=None, description="draw languages by tokens^(1/temperature); null: all equally, in turn"
    )
    stream: bool = Field(default=False, description="tokenise while training, for text larger than the disk")
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="further transformers.TrainingArguments, such as report_to"
    )

    @field_validator("arguments")
    @classmethod
    def _truths(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """What no field says the type of: true and false, for `no` is a language, and numbers such as 1e-8."""
        return {name: typed(value) for name, value in arguments.items()}

    @model_validator(mode="after")
    def _matches_something(self) -> Self:
        if not self.hidden_weight and (not self.attention_weight or self.attention == "none"):
            raise ValueError("nothing of the teacher is matched: give hidden_weight or attention_weight")
        if self.stream and self.temperature is not None:
            raise ValueError("streamed languages take turns: leave out temperature, or stream")
        return self


class Task(_Part):
    """A task: labelled files, and how teacher and student learn it by sparse fine-tuning."""

    kind: Name = Field(description="what is learned, such as classification, ner, parsing, pos or qa")
    name: Name = Field(description="the task's name, a folder under OUT/tasks")
    train: Path = Field(description="labelled training file in the source language")
    validation: Path | None = Field(default=None, description="null: every 10th training example is held out")
    test: dict[Code, Path] = Field(default_factory=dict, description="language: labelled test file")
    label_map: dict[Label, Label] = Field(
        default_factory=dict,
        description="labels to rename in every file, such as {e: entailment}, or for entities {DATE: O}",
    )
    density: Share = Field(default=0.08, description="share of the encoder's parameters that a task may change")
    epochs: tuple[PositiveInt, PositiveInt] = Field(
        default=(1, 2), description="epochs with all parameters, then with the sparse ones"
    )
    student_epochs: tuple[PositiveInt, PositiveInt] | None = Field(
        default=None, description="epochs of the student, where it needs more; null: as epochs"
    )
    min_steps: NonNegativeInt = Field(
        default=200, description="at least so many steps in each of the two phases, however few the examples"
    )
    batch_size: PositiveInt = Field(default=8, description="examples in a batch")
    teacher_learning_rate: PositiveFloat = Field(
        default=3e-4, description="peak learning rate of the task teacher"
    )
    student_learning_rate: PositiveFloat = Field(
        default=5e-4, description="peak learning rate of the task student"
    )
    pseudo_labels: NonNegativeInt | None = Field(
        default=None,
        description="lines of target text that the task teacher labels for the student (entities: at most so "
        "many, that have one); null: as many as there are training examples, 0: none, as in BiStil",
    )
    max_length: int | None = Field(
        default=None, ge=8, description="longest input in tokens; null: the task's default, 128, of qa 384"
    )
    max_train_samples: PositiveInt | None = Field(
        default=None, description="use only the first so many training examples; null: all"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        """A task without a name has that of its kind."""
        if not isinstance(values, dict) or "kind" not in values or values.get("name") is not None:
            return values
        return {**values, "name": values["kind"]}


class Recipe(_Part):
    """One experiment: a teacher, two languages, tasks. Paths are relative to the working directory.

    Example: ``Recipe.load("basque.yaml", ["distill.tokens=1_000_000"]).tasks[0].density`` is 0.08.
    """

    name: Name = Field(description="name of the experiment")
    teacher: str = Field(
        default="bundled:multilingual-e5-small",
        description="a model id of the hub, a local folder, or bundled:NAME",
    )
    source: Language = Field(description="the language that has labels")
    target: Language = Field(description="the language to transfer to, without labels")
    vocabulary: Vocabulary = Field(default_factory=Vocabulary, description="tokens kept")
    student: Student = Field(default_factory=Student, description="layers kept")
    distill: Distill = Field(default_factory=Distill, description="general distillation, on unlabelled text")
    tasks: tuple[Task, ...] = Field(default=(), description="learned in the source language")
    baselines: tuple[Baseline, ...] = Field(
        default=("layer_drop",), description=f"what to compare with: {', '.join(BASELINES)}, or any model"
    )
    multilingual: dict[Code, Patterns] = Field(
        default_factory=dict, description="text of further languages, for the baseline multilingual"
    )
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1, description="one run of the tasks for each")
    out: Path = Field(description="folder for the report and the models")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        pair = (self.source.language, self.target.language)
        if pair[0].casefold() == pair[1].casefold():
            raise ValueError(f"source and target are both {pair[0]}; they must be two languages")
        names = [task.name for task in self.tasks]
        for label, values in (("seeds", self.seeds), ("task names", names), ("baselines", self.baselines)):
            # in folders of Windows and macOS Pos is pos
            if len({str(value).casefold() for value in values}) < len(values):
                raise ValueError(f"{label} must differ from each other, got {', '.join(map(str, values))}")
        if ("multilingual" in self.baselines) != bool(self.multilingual):
            raise ValueError("the baseline multilingual and text of further languages (multilingual) go together")
        if self.multilingual and self.source.delta is not None:
            raise ValueError("language deltas are for two languages; leave out the baseline multilingual")
        if both := sorted({*pair} & self.multilingual.keys()):
            raise ValueError(f"multilingual has {both[0]}, which is source or target; give further languages")
        if (self.source.delta is None) != (self.target.delta is None):
            raise ValueError("only one of source and target has a delta; give both or neither")
        for index, task in enumerate(self.tasks):
            for language in task.test:
                if language not in pair:
                    raise ValueError(
                        f"tasks.{index}.test has {language}; the student only knows {pair[0]} and {pair[1]}"
                    )
        return self

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Self:
        """Read a YAML file; `overrides` are ``dotted.key=YAML value``, ``tasks.0.density=0.1`` for lists.

        Raises BistilError for a missing or malformed file, an unknown key or a wrong value.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise BistilError(f"Cannot read recipe {path}: {reason}. `bistil init` writes one.") from error
        values = parse(text, str(path))
        if not isinstance(values, dict):
            raise BistilError(f"Recipe {path} has no keys. `bistil init` writes one to start from.")
        return cls.checked(values, overrides, f"Recipe {path}")

    @classmethod
    def checked(cls, values: dict[str, Any], overrides: Sequence[str] = (), where: str = "Recipe") -> Self:
        """A recipe of plain values; an error begins with `where`."""
        values = with_new_keys(values, where)
        for text in overrides:
            assign(values, with_new_parts(text))
        return validated(cls, values, where)

    def override(self, overrides: Sequence[str]) -> Self:
        """The same recipe with some values changed, as in `load`."""
        return self.checked(self.model_dump(mode="json"), overrides, f"Recipe {self.name}")

    def save(self, path: str | Path) -> None:
        """Write all values as YAML, whole or not at all."""
        write_whole(Path(path), self.text())

    def text(self) -> str:
        """All values as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def check_files(self) -> None:
        """Raise BistilError, naming the field, where an input file is missing, empty, or would be overwritten."""
        from bistil.corpora.text import files  # it brings pyarrow, which a recipe alone needs not

        further = [(f"multilingual.{language}", patterns) for language, patterns in self.multilingual.items()]
        for field, patterns in (("source.text", self.source.text), ("target.text", self.target.text), *further):
            try:
                found = files(patterns)
            except BistilError as error:
                raise BistilError(f"{field}: {error}") from error
            for file in found:
                self._check_apart(field, file.path)
            if not any(file.path.stat().st_size for file in found):
                raise BistilError(f"{field}: {', '.join(patterns)} is empty. Give text in that language.")
        for field, delta in (("source.delta", self.source.delta), ("target.delta", self.target.delta)):
            if delta is not None and not (delta / "sparse_delta.safetensors").is_file():
                raise BistilError(
                    f"{field}: {delta} holds no sparse delta. Give a folder that `bistil adapt` wrote."
                )
            elif delta is not None:
                self._check_apart(field, delta)
        for role, name in (("teacher", self.teacher), *(("baselines", name) for name in self.baselines)):
            if (folder := Path(name).expanduser()).is_dir():
                self._check_apart(role, folder)
        for field, path in self._task_files():
            self._check_apart(field, path)
            if not path.is_file():
                raise BistilError(f"{field}: there is no file {path} (looked in {Path.cwd()}).")
            if not path.stat().st_size:
                raise BistilError(f"{field}: {path} is empty. Give a file with labelled examples.")

    def _check_apart(self, field: str, path: Path) -> None:
        """An input must not lie in a folder that the run replaces."""
        tasks = [self.out / kind / task.name for kind in ("tasks", "teachers") for task in self.tasks]
        for folder in filter(Path.exists, [self.out / "student", *tasks]):
            if any(one.exists() and one.samefile(folder) for one in (path, *path.resolve().parents)):
                raise BistilError(
                    f"{field}: {path} lies in {folder}, which this run replaces. "
                    "Move it elsewhere, or choose another folder (out)."
                )

    def _task_files(self) -> Iterator[tuple[str, Path]]:
        for index, task in enumerate(self.tasks):
            yield f"tasks.{index}.train", task.train
            if task.validation is not None:
                yield f"tasks.{index}.validation", task.validation
            for language, path in task.test.items():
                yield f"tasks.{index}.test.{language}", path
