"""A matrix: languages × students with tasks or embeddings, which stands for a recipe of each of them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Discriminator, Field, PositiveFloat, PositiveInt, Tag, model_validator

from bistil.errors import BistilError
from bistil.recipe.distill import Distill
from bistil.recipe.embeddings import Embeddings
from bistil.recipe.parts import (
    Baseline,
    Code,
    Export,
    Filters,
    Language,
    Name,
    Part,
    Patterns,
    Seed,
    Student,
    Task,
    UserPath,
    Vocabulary,
)
from bistil.recipe.recipe import Recipe, checked_values, read_values

PLACE = "{language}"
Tests = Annotated[
    Annotated[dict[Code, UserPath], Tag("<by language>")]
    | Annotated[str, AfterValidator(os.path.expanduser), Tag("<one>")],
    Discriminator(lambda value: "<one>" if isinstance(value, str) else "<by language>"),
]


class MatrixTask(Task):
    """A task with the test files of all languages: by language, or as one path with ``{language}`` in it."""

    test: Tests = Field(  # type: ignore[assignment]
        description="language: labelled test file, or one path with {language} in it"
    )

    def tests(self, codes: Sequence[str]) -> dict[str, Path]:
        """The test files of those languages that have one; of a path where no file is, all that there could be."""
        if isinstance(self.test, dict):
            return {code: path for code, path in self.test.items() if code in codes}
        paths = {code: Path(self.test.replace(PLACE, code)) for code in codes}
        return {code: path for code, path in paths.items() if path.is_file()} or paths


class MatrixEmbeddings(Embeddings):
    """The tests of sentence embeddings in all languages: paths with ``{language}`` in them, or without, for all.

    Example: ``MatrixEmbeddings(test={"ntrex": ["ntrex.en.txt", "ntrex.{language}.txt"]})``.
    """

    @model_validator(mode="after")
    def _by_language(self) -> Self:
        if not self._names_by_language(self.test):
            raise ValueError(f"embeddings.test has no path with {PLACE}, and so none of the languages is tested")
        return self

    def of(self, code: str, codes: Sequence[str]) -> Embeddings | None:
        """Those of one of some languages: without tests whose files are there, but not for this one.

        None where what is left is for all languages alike.
        """
        found = {one: self._in(one) for one in codes}
        kept = [
            name for name in self.test if found[code].has(name) or not any(own.has(name) for own in found.values())
        ]
        if not self._names_by_language(kept):
            return None
        own = found[code]
        return Embeddings(
            test={name: own.test[name] for name in kept},
            train={name: path for name, path in own.train.items() if name in kept},
        )

    def _names_by_language(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if any(PLACE in str(path) for path in self.test[name])]

    def _in(self, code: str) -> Embeddings:
        def own(path: Path) -> Path:
            return Path(str(path).replace(PLACE, code))

        return Embeddings(
            test={name: tuple(map(own, paths)) for name, paths in self.test.items()},
            train={name: own(path) for name, path in self.train.items()},
        )


class Resources(Part):
    """What a machine sets aside for one stage while it is made."""

    cpus: PositiveInt = Field(default=1, description="processors, and threads, of a stage")
    gpus: float = Field(
        default=0.0, ge=0, description="GPUs of a stage that trains or evaluates; 0.5: two share one"
    )
    memory_gb: PositiveFloat | None = Field(
        default=None, description="memory of a stage, counted by Ray alone; null: not counted"
    )
    processes: PositiveInt = Field(
        default=1, description="processes of a general distillation, each with those cpus and gpus"
    )

    @model_validator(mode="after")
    def _shared(self) -> Self:
        if self.gpus % 1 and (self.gpus > 1 or self.processes > 1):
            raise ValueError(
                f"resources.gpus is {self.gpus:g}, and only below 1, with one process, can it be a part of a GPU; "
                "give a whole number"
            )
        return self


class Matrix(Part):
    """Languages × students: one recipe of each, with all tasks that are tested there, or sentence embeddings.

    Paths are relative to the working directory. Example: ``Matrix.load("africa.yaml").recipes()["sw/half"].out``
    is ``Path("runs/africa/sw/half")``.
    """

    name: Name = Field(description="name of the experiment")
    teacher: str = Field(
        default="bundled:multilingual-e5-small",
        description="a model id of the hub, a local folder, or bundled:NAME",
    )
    source: Language = Field(description="the language that has labels")
    languages: dict[Code, Patterns] = Field(min_length=1, description="language: its unlabelled text")
    students: dict[Name, Student] = Field(
        default={"half": Student()}, min_length=1, description="name: layers and width that it keeps"
    )
    tasks: tuple[MatrixTask, ...] = Field(default=(), description="learned in the source language")
    embeddings: MatrixEmbeddings | None = Field(
        default=None, description="or what sentence embedding models are scored on"
    )
    share_teachers: bool = Field(
        default=False,
        description="one vocabulary for all languages, so that each task teacher is trained once for all",
    )
    filters: Filters | None = Field(default=None, description="lines of the text that are dropped; null: none")
    vocabulary: Vocabulary = Field(default_factory=Vocabulary, description="tokens kept")
    distill: Distill = Field(default_factory=Distill, description="general distillation of each student")
    baselines: tuple[Baseline, ...] = Field(default=(), description="what to compare each student with")
    export: Export | None = Field(default=None, description="ONNX files of each student; null: none")
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1, description="one run of the tasks for each")
    resources: Resources = Field(default_factory=Resources, description="what one stage takes")
    out: UserPath = Field(description="folder for the summary, and a folder of each language and student")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (code := self.source.language) in self.languages:
            raise ValueError(f"languages has {code}, which is the source; give languages to transfer to")
        if "multilingual" in self.baselines:  # its text is in no key of a matrix
            raise ValueError("the baseline multilingual is for recipes; leave it out")
        if bool(self.tasks) == (self.embeddings is not None):
            raise ValueError("tasks and embeddings are two kinds of matrix; give just one of them")
        if (batch := self.distill.batch) % (parts := self.resources.processes):
            raise ValueError(
                f"distill.batch_size is {batch}, which the {parts} processes of resources cannot share equally; "
                f"make it a multiple of {parts}"
            )
        if self.share_teachers and self.vocabulary.further:
            raise ValueError("share_teachers and vocabulary.further are for the same; leave one out")
        for index, task in enumerate(self.tasks):
            if isinstance(task.test, str) and PLACE not in task.test:
                raise ValueError(
                    f"tasks.{index}.test is one path without {PLACE}; give that, or a path by language"
                )
            known = [self.source.language, *self.languages]
            for field, files in (("test", task.test), ("unlabelled", task.unlabelled)):
                if isinstance(files, dict) and (odd := [code for code in files if code not in known]):
                    raise ValueError(f"tasks.{index}.{field} has {odd[0]}, which is not in languages")
        return self

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Self:
        """Read a YAML file; `overrides` are as of `Recipe.load`.

        Raises BistilError for a missing or malformed file, an unknown key, a wrong value, or a language that no
        task tests.
        """
        values = read_values(path)
        if "target" in values and "languages" not in values:
            raise BistilError(f"{path} is a recipe, not a matrix of many languages. `bistil run` makes it.")
        matrix = cls.checked(values, overrides, f"Matrix {path}")
        matrix.recipes()  # what is wrong with one of them is said now
        return matrix

    @classmethod
    def checked(cls, values: dict[str, Any], overrides: Sequence[str] = (), where: str = "Matrix") -> Self:
        """A matrix of plain values, as `Recipe.checked` makes a recipe."""
        return checked_values(cls, values, overrides, where)

    def recipes(self) -> dict[str, Recipe]:
        """The recipe of each language and student, by ``LANGUAGE/STUDENT``, the first languages in front."""
        return {
            f"{code}/{name}": Recipe.checked(values, (), f"Matrix {self.name}, {code}/{name}")
            for code in self.languages
            for name, values in self._values(code)
        }

    def _values(self, code: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The values of a language's recipes, by the names of the students."""
        codes = (self.source.language, *self.languages)
        found = [(task, task.tests(codes)) for task in self.tasks]
        tasks = [(task, {one: tests[one] for one in (codes[0], code) if one in tests}) for task, tests in found]
        embeddings = None if self.embeddings is None else self.embeddings.of(code, codes[1:])
        if embeddings is None and not any(code in tests for _, tests in tasks):
            what = "task" if self.embeddings is None else "test of embeddings"
            raise BistilError(
                f"Matrix {self.name}: no {what} has a test file in {code}. Give one, or leave {code} out of "
                "languages."
            )
        shared = {*Recipe.model_fields} - {"students", "tasks", "embeddings", "out"}
        own = self.model_dump(mode="json", include=shared)
        if self.share_teachers:
            own["vocabulary"]["further"] = {other: text for other, text in self.languages.items() if other != code}
        for name, student in self.students.items():
            yield (
                name,
                {
                    **own,
                    "name": f"{self.name}-{code}-{name}",
                    "target": {"language": code, "text": self.languages[code]},
                    "student": student.model_dump(mode="json"),
                    "embeddings": embeddings and embeddings.model_dump(mode="json"),
                    "tasks": [
                        {
                            **task.model_dump(mode="json"),
                            "test": {one: str(path) for one, path in tests.items()},
                            "unlabelled": {
                                one: str(path)
                                for one, path in task.unlabelled.items()
                                if one in (self.source.language, code)
                            },
                        }
                        for task, tests in tasks
                        if code in tests
                    ],
                    "out": str(self.out / code / name),
                },
            )
