"""A recipe: one YAML file that says everything about one experiment."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, model_validator

from bistil.errors import BistilError
from bistil.files import write_whole
from bistil.recipe.distill import Distill
from bistil.recipe.embeddings import Embeddings
from bistil.recipe.parts import (
    BASELINES,
    Baseline,
    Choose,
    Code,
    Export,
    Filters,
    Language,
    Languages,
    Name,
    P,
    Part,
    Patterns,
    Seed,
    Student,
    Task,
    UserPath,
    Vocabulary,
    validated,
)
from bistil.recipe.renamed import with_new_keys, with_new_parts
from bistil.recipe.settings import assign, parse

# Files of a run, below its folder, that a pattern of text can mean; those in `stages` have a folder each.
_OWN_TEXT = ("student.txt", "stages/student/student.txt", "web/README.txt")


class Recipe(Part):
    """One experiment: a teacher, its languages, tasks. Paths are relative to the working directory.

    Example: ``Recipe.load("basque.yaml", ["distill.tokens=1_000_000"]).tasks[0].density`` is 0.08.
    """

    name: Name = Field(description="name of the experiment")
    teacher: str = Field(
        default="bundled:multilingual-e5-small",
        description="a model id of the hub, a local folder, or bundled:NAME",
    )
    source: Language = Field(description="the language that has labels")
    target: Languages = Field(description="the language to transfer to, without labels, or a list of them")
    filters: Filters | None = Field(default=None, description="lines of the text that are dropped; null: none")
    vocabulary: Vocabulary = Field(default_factory=Vocabulary, description="tokens kept")
    student: Student = Field(default_factory=Student, description="layers kept")
    students: dict[Name, Student] = Field(
        default_factory=dict, description="or several by name, the first of which is published"
    )
    choose: Choose | None = Field(
        default=None, description="of several students make the small ones first, up to one that is good enough"
    )
    distill: Distill = Field(default_factory=Distill, description="general distillation, on unlabelled text")
    tasks: tuple[Task, ...] = Field(default=(), description="learned in the source language")
    embeddings: Embeddings | None = Field(
        default=None, description="or what the vectors of a sentence embedding model are scored on"
    )
    baselines: tuple[Baseline, ...] = Field(
        default=("layer_drop",), description=f"what to compare with: {', '.join(BASELINES)}, or any model"
    )
    export: Export | None = Field(
        default=None, description="ONNX files of each task's student, or of the embedding model; null: none"
    )
    multilingual: dict[Code, Patterns] = Field(
        default_factory=dict, description="text of further languages, for the baseline multilingual"
    )
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1, description="one run of the tasks for each")
    out: UserPath = Field(description="folder for the report and the models")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        codes = [part.language for part in self.languages]
        if twice := [code for n, code in enumerate(codes) if code.casefold() in map(str.casefold, codes[:n])]:
            if len(codes) == 2:
                raise ValueError(f"source and target are both {codes[0]}; they must be two languages")
            raise ValueError(f"{twice[0]} is in source and target more than once; each must be another language")
        if self.students and self.student != Student():
            raise ValueError("student and students are both given; leave out student, or put it into students")
        if self.choose is not None and len(self.students) < 2:
            raise ValueError("choose is for several students; list two or more in students, or leave it out")
        names = [task.name for task in self.tasks]
        for label, values in (
            ("seeds", self.seeds),
            ("task names", names),
            ("baselines", self.baselines),
            ("names of students", tuple(self.students)),
        ):
            # in folders of Windows and macOS Pos is pos
            if len({str(value).casefold() for value in values}) < len(values):
                raise ValueError(f"{label} must differ from each other, got {', '.join(map(str, values))}")
        if ("multilingual" in self.baselines) != bool(self.multilingual):
            raise ValueError("the baseline multilingual and text of further languages (multilingual) go together")
        if self.multilingual and self.source.delta is not None:
            raise ValueError("language deltas are for two languages; leave out the baseline multilingual")
        others = {"multilingual": self.multilingual, "vocabulary.further": self.vocabulary.further}
        for field, further in others.items():
            if both := sorted({*codes} & further.keys()):
                raise ValueError(f"{field} has {both[0]}, which is source or target; give further languages")
        with_delta = [part for part in self.languages if part.delta is not None]
        if with_delta and len(codes) > 2:
            raise ValueError("language deltas are for one target; leave them out, or all targets but one")
        if len(with_delta) == 1:
            raise ValueError("only one of source and target has a delta; give both or neither")
        if len(codes) > 2 and "target_only" in self.baselines:
            raise ValueError("the baseline target_only is for one target; leave it out")
        for index, task in enumerate(self.tasks):
            for field, files in (("test", task.test), ("unlabelled", task.unlabelled)):
                if unknown := [language for language in files if language not in codes]:
                    known = f"{', '.join(codes[:-1])} and {codes[-1]}"
                    raise ValueError(f"tasks.{index}.{field} has {unknown[0]}; the student only knows {known}")
        return self

    @model_validator(mode="after")
    def _either_tasks_or_embeddings(self) -> Self:
        if self.embeddings is None:
            return self
        if not self.distill.embeddings:
            raise ValueError("embeddings are tested, but not learned: set distill.embeddings to true")
        if self.tasks:
            raise ValueError("tasks and embeddings are both given: put them into two recipes")
        if self.students:
            raise ValueError("students are several, and embeddings is for one: give student in place of students")
        if others := [role for role in self.baselines if role != "layer_drop"]:
            raise ValueError(f"the baseline {others[0]} is for tasks: with embeddings leave it out")
        if self.export is not None and self.export.web:
            raise ValueError("export.web is a page for tasks: with embeddings leave it out")
        return self

    @property
    def targets(self) -> tuple[Language, ...]:
        """The languages to transfer to, mostly one."""
        return self.target if isinstance(self.target, tuple) else (self.target,)

    @property
    def languages(self) -> tuple[Language, ...]:
        """The source, then the targets."""
        return (self.source, *self.targets)

    def each(self) -> dict[str, Self]:
        """A recipe of each student alone by its name; of one student, which has none, this one by ``""``."""
        if not self.students:
            return {"": self}
        alone: dict[str, Any] = {"students": {}, "choose": None}
        return {name: self.model_copy(update={"student": own, **alone}) for name, own in self.students.items()}

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Self:
        """Read a YAML file; `overrides` are ``dotted.key=YAML value``, ``tasks.0.density=0.1`` for lists.

        Raises BistilError for a missing or malformed file, an unknown key or a wrong value.
        """
        values = read_values(path)
        if "languages" in values and "target" not in values:
            raise BistilError(f"{path} is a matrix of many languages, not a recipe. `bistil fleet` makes it.")
        return cls.checked(values, overrides, f"Recipe {path}")

    @classmethod
    def checked(cls, values: dict[str, Any], overrides: Sequence[str] = (), where: str = "Recipe") -> Self:
        """A recipe of plain values.

        Args:
            values: nested dicts and lists, as in YAML.
            overrides: changes to them, as in `load`.
            where: what an error begins with.
        """
        return checked_values(cls, values, overrides, where)

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
        from bistil.corpora.text import files, would_mean  # it brings pyarrow, which a recipe alone needs not

        sides = list(zip(("source", *self._target_fields()), self.languages, strict=True))
        others = {"multilingual": self.multilingual, "vocabulary.further": self.vocabulary.further}
        further = [(f"{key}.{code}", patterns) for key, own in others.items() for code, patterns in own.items()]
        for field, patterns in (*((f"{side}.text", part.text) for side, part in sides), *further):
            try:
                found = files(patterns)
            except BistilError as error:
                raise BistilError(f"{field}: {error}") from error
            for pattern in patterns:
                if any(would_mean(pattern, self.out / own) for own in _OWN_TEXT):
                    raise BistilError(
                        f"{field}: the text {pattern} holds {self.out}, whose files would be read as text. "
                        "Give text elsewhere, or another folder (out)."
                    )
            for file in found:
                if not file.is_remote:
                    self._check_apart(field, file.path)
            if not any(file.path.stat().st_size for file in found):
                raise BistilError(f"{field}: {', '.join(patterns)} is empty. Give text in that language.")
        for field, delta in ((f"{side}.delta", part.delta) for side, part in sides):
            if delta is not None and not (delta / "sparse_delta.safetensors").is_file():
                raise BistilError(
                    f"{field}: {delta} holds no sparse delta. Give a folder that `bistil adapt` wrote."
                )
            elif delta is not None:
                self._check_apart(field, delta)
        for role, name in (("teacher", self.teacher), *(("baselines", name) for name in self.baselines)):
            if (folder := Path(os.path.expanduser(name))).is_dir():
                self._check_apart(role, folder)
        for field, path in self._test_files():
            self._check_apart(field, path)
            if not path.is_file():
                raise BistilError(f"{field}: there is no file {path} (looked in {Path.cwd()}).")
            if not path.stat().st_size:
                raise BistilError(f"{field}: {path} is empty. Give a file with examples.")

    def _target_fields(self) -> list[str]:
        """How the file calls the targets."""
        if not isinstance(self.target, tuple):
            return ["target"]
        return [f"target.{index}" for index in range(len(self.target))]

    def _check_apart(self, field: str, path: Path) -> None:
        """An input must not lie in a folder that the run replaces."""
        tasks = [self.out / kind / task.name for kind in ("tasks", "teachers") for task in self.tasks]
        for folder in filter(Path.exists, [self.out / "student", *tasks]):
            if any(one.exists() and one.samefile(folder) for one in (path, *path.resolve().parents)):
                raise BistilError(
                    f"{field}: {path} lies in {folder}, which this run replaces. "
                    "Move it elsewhere, or choose another folder (out)."
                )

    def _test_files(self) -> Iterator[tuple[str, Path]]:
        """Those of tasks, to train on, too, and of embeddings."""
        yield from self.embeddings.files() if self.embeddings is not None else ()
        for index, task in enumerate(self.tasks):
            yield f"tasks.{index}.train", task.train
            if task.validation is not None:
                yield f"tasks.{index}.validation", task.validation
            for field, files in (("test", task.test), ("unlabelled", task.unlabelled)):
                for language, path in files.items():
                    yield f"tasks.{index}.{field}.{language}", path


def read_values(path: str | Path) -> dict[str, Any]:
    """The values in a recipe's YAML file; `BistilError` where there are none."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise BistilError(f"Cannot read recipe {path}: {reason}. `bistil init` writes one.") from error
    values = parse(text, str(path))
    if not isinstance(values, dict):
        raise BistilError(f"Recipe {path} has no keys. `bistil init` writes one to start from.")
    return values


def checked_values(part: type[P], values: dict[str, Any], overrides: Sequence[str], where: str) -> P:
    """A recipe, or a matrix of them, of plain values with changes to them."""
    values = with_new_keys(values, where)
    for text in overrides:
        assign(values, with_new_parts(text))
    return validated(part, values, where)
