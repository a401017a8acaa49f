"""The parts of a recipe: languages, vocabulary, student, export, a task."""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PlainSerializer,
    PlainValidator,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationError,
    model_validator,
)

from bistil.errors import BistilError
from bistil.recipe.mistakes import sentence


def _matches(pattern: str, what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {what}")
        return value

    return AfterValidator(check)


def _at_home(path: Path) -> Path:
    found = os.path.expanduser(path)
    if found.startswith("~"):  # as it stays where there is no such user, and would be a folder of that name
        raise ValueError(f"must be a path without {path.parts[0]}, which is the home folder of nobody here")
    return Path(found)


def _layers(value: Any) -> int | tuple[int, ...] | None:
    if value is None:
        return None
    chosen = [value] if isinstance(value, int) else value
    if isinstance(chosen, list | tuple) and chosen and all(type(one) is int and one > 0 for one in chosen):
        if list(chosen) != sorted(set(chosen)):
            raise ValueError("must be ascending, without repeats")
        return value if isinstance(value, int) else tuple(chosen)
    raise ValueError("must be a number of layers, such as 6, or the layers to keep, such as [1, 3, 5]")


def _patterns(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple):
        return value
    raise ValueError("must be a file, glob or folder of text, or a list of such")


def _two(value: Any) -> Any:
    if isinstance(value, str) or not hasattr(value, "__len__") or len(value) != 2:
        raise ValueError("must be two numbers, such as [1, 2]")
    return value


def _plain(layers: int | tuple[int, ...] | None) -> int | list[int] | None:
    return list(layers) if isinstance(layers, tuple) else layers


# A name becomes a folder name, a language code a file name and a key of the report.
Name = Annotated[
    str,
    _matches(r"\w[\w.-]*", "a name of letters, digits, dots, _ and -"),
    _matches(r"(?i)(?!(con|prn|aux|nul|com\d|lpt\d)(\.|$)).*[^.]", "a name that Windows takes for a folder, too"),
]
CODE = r"[A-Za-z]{2,3}([_-]\w+)*"
Code = Annotated[str, _matches(CODE, "a language code such as en")]
Label = Annotated[str, Field(coerce_numbers_to_str=True)]  # in YAML a label such as 0 is a number
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Layers = Annotated[int | tuple[int, ...] | None, PlainValidator(_layers), PlainSerializer(_plain, return_type=Any)]
Share = Annotated[float, Field(gt=0, le=1)]
# As the shell would read it: in a recipe or an override nothing else replaces ~ by the home folder.
UserPath = Annotated[Path, AfterValidator(_at_home)]
BASELINES = ("trimmed", "layer_drop", "source_only", "target_only", "multilingual", "scratch")
License = Annotated[str | None, Field(min_length=1)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_patterns), Field(min_length=1)]

Epochs = Annotated[tuple[PositiveInt, PositiveInt], BeforeValidator(_two)]


def _known_or_model(value: str) -> str:
    """Any other name is a model's; one that nearly is a baseline's is more likely misspelt."""
    close = difflib.get_close_matches(value, BASELINES, n=1, cutoff=0.75)
    if value not in BASELINES and close and not Path(value).is_dir():
        raise ValueError(f"is no baseline (did you mean {close[0]}?)")
    return value


Baseline = Annotated[str, Field(min_length=1), AfterValidator(_known_or_model)]


class Part(BaseModel):
    """Whatever has keys: unknown ones are an error, and what was read stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)


P = TypeVar("P", bound=Part)


def validated(part: type[P], values: Mapping[str, Any], where: str) -> P:
    """A recipe or a part of one, of plain values; a BistilError that begins with `where` says what is wrong."""
    try:
        return part.model_validate(values)
    except ValidationError as error:
        # A misspelt key is also a missing one: the unknown key tells more.
        first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        raise BistilError(f"{where}: {sentence(first, part)}") from error


class Language(Part):
    """A language and its unlabelled text."""

    language: Code = Field(description="language code, for example en")
    text: Patterns = Field(description="unlabelled text, a sentence or paragraph a line: files, globs, folders")
    delta: UserPath | None = Field(
        default=None, description="a language delta for the teacher, from `bistil adapt`"
    )
    license: License = Field(
        default=None, description="licence of the text, such as CC-BY-SA-4.0, for the model card; null: unknown"
    )


# A tag in angle brackets stands in no file: an error's path leaves it out.
Languages = Annotated[
    Annotated[Language, Tag("<one>")] | Annotated[tuple[Language, ...], Field(min_length=1), Tag("<several>")],
    Discriminator(lambda value: "<several>" if isinstance(value, list | tuple) else "<one>"),
]


class Filters(Part):
    """Which lines of the unlabelled text are dropped, wherever it is read."""

    language: bool = Field(
        default=False, description="drop lines that py3langid takes for another language than that of their text"
    )
    near_duplicates: float | None = Field(
        default=None,
        ge=0.5,
        le=0.9,
        description="drop lines that share this much with one of the 32,768 kept before, such as 0.8; null: none",
    )


class Vocabulary(Part):
    """Which tokens of the teacher are kept."""

    min_probability: float = Field(
        default=1e-6,
        ge=0,
        le=1,
        description="keep a token with at least this share of any language's text; 0: keep all",
    )
    sample_lines: PositiveInt | None = Field(
        default=None, description="count only so many lines of each language, spread over its files; null: all"
    )
    further: dict[Code, Patterns] = Field(
        default_factory=dict,
        description="text of further languages whose tokens are kept too, so that recipes share a task teacher",
    )


class Student(Part):
    """Which layers and what width of the teacher the student keeps.

    `layers` goes before `layer_reduction`, and `budget` before both.
    """

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
    budget: Share | None = Field(
        default=None,
        description="or the share of what the trimmed teacher takes, such as 0.5: layers and widths are chosen",
    )
    budget_of: Literal["time", "parameters"] = Field(
        default="time",
        description="what the budget is a share of: the time for a text here, as the student is exported, or "
        "parameters",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [
            name
            for name in ("layers", "layer_reduction", "intermediate_size", "hidden_size")
            if getattr(self, name) != type(self).model_fields[name].default
        ]
        if self.budget is not None and given:
            raise ValueError(f"budget and {given[0]} are both given: leave out {given[0]}, which budget chooses")
        if self.budget is None and self.budget_of != type(self).model_fields["budget_of"].default:
            raise ValueError("budget_of says what a budget is a share of: give budget, too")
        return self


class Choose(Part):
    """Which of several students is published: the smallest whose scores stay close to the task teacher's.

    Example: with ``max_drop`` 1.0 a student counts that in no task and target language may be more than 1 point
    below, by the 95 % interval of the difference on the test files.
    """

    max_drop: NonNegativeFloat = Field(
        description="points of the metric that a student may lose, interval included"
    )


class Export(Part):
    """The form in which the students of the tasks are deployed."""

    quantize: Literal["int8"] | None = Field(
        default="int8", description="int8: ONNX in float32 and in int8; null: in float32 alone"
    )
    tolerance: NonNegativeFloat = Field(
        default=0.3,
        description="points that int8 may cost the score of a test file; what costs more stays float32",
    )
    web: bool = Field(
        default=False,
        description="also OUT/web, a page on which browsers run the int8 models; it fetches 15 MB from npm once",
    )

    @model_validator(mode="after")
    def _int8_on_the_web(self) -> Self:
        if self.web and self.quantize is None:
            raise ValueError("web is true, but browsers run the int8 files: leave out quantize, or web")
        return self


class Task(Part):
    """A task: labelled files, and how teacher and student learn it by sparse fine-tuning."""

    kind: Name = Field(description="what is learned, such as classification, ner, parsing, pos or qa")
    name: Name = Field(description="the task's name, a folder under OUT/tasks")
    train: UserPath = Field(description="labelled training file in the source language")
    validation: UserPath | None = Field(
        default=None, description="null: a tenth of the training examples is held out"
    )
    test: dict[Code, UserPath] = Field(default_factory=dict, description="language: labelled test file")
    unlabelled: dict[Code, UserPath] = Field(
        default_factory=dict,
        description="language: file like train, labels not needed, which the task teacher labels for the student",
    )
    label_map: dict[Label, Label] = Field(
        default_factory=dict,
        description="labels to rename in every file, such as {e: entailment}, or for entities {DATE: O}",
    )
    density: Share = Field(default=0.08, description="share of the encoder's parameters that a task may change")
    student_density: Share | None = Field(
        default=None, description="share of its parameters that the student may change; null: as density"
    )
    epochs: Epochs = Field(default=(1, 2), description="epochs with all parameters, then with the sparse ones")
    student_epochs: Epochs | None = Field(
        default=None, description="epochs of the student, where it needs more; null: as epochs"
    )
    min_steps: NonNegativeInt = Field(
        default=200, description="at least so many steps in each of the two phases, however few the examples"
    )
    batch_size: PositiveInt = Field(default=8, description="examples in a batch")
    teacher_learning_rate: PositiveFloat | None = Field(
        default=None,
        description="peak learning rate of the task teacher; null: 3e-4, pairs of texts 1e-4, wide teachers 5e-5",
    )
    student_learning_rate: PositiveFloat | None = Field(
        default=None,
        description="peak learning rate of the task student; null: 5e-4, of wide teachers 5e-5",
    )
    pseudo_labels: NonNegativeInt | None = Field(
        default=None,
        description="lines of each target's text that the task teacher labels for the student (entities: at most "
        "so many, that have one; classification: chosen so that each label occurs as often as can be); null: as "
        "many as there are training examples, 0: none, as in BiStil",
    )
    max_length: int | None = Field(
        default=None, ge=8, description="longest input in tokens; null: the task's default, 128, of qa 384"
    )
    max_train_samples: PositiveInt | None = Field(
        default=None, description="use only the first so many training examples; null: all"
    )
    license: License = Field(
        default=None, description="licence of the labelled files, for the model card; null: unknown"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        """A task without a name has that of its kind."""
        if not isinstance(values, dict) or "kind" not in values or values.get("name") is not None:
            return values
        return {**values, "name": values["kind"]}
