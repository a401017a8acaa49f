"""The part of a recipe of sentence embeddings: what the vectors are scored on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from bistil.recipe.parts import Name, Part, UserPath


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | Path) else value


Files = Annotated[tuple[UserPath, ...], BeforeValidator(_listed), Field(min_length=1)]


class Embeddings(Part):
    """The tests of sentence embeddings by name, of the files that `bistil eval` takes.

    Example: ``Embeddings(test={"ntrex": ["ntrex.en.txt", "ntrex.tr.txt"]})``.
    """

    test: dict[Name, Files] = Field(
        min_length=1, description="name: a file or several, with translations, similarity, questions or labels"
    )
    train: dict[Name, UserPath] = Field(
        default_factory=dict, description="test with labels: the labelled texts by whose neighbours it is labelled"
    )

    @model_validator(mode="after")
    def _of_tests(self) -> Self:
        if unknown := sorted(self.train.keys() - self.test.keys()):
            raise ValueError(f"train has {unknown[0]}, which is no test; there are {', '.join(self.test)}")
        if len({name.casefold() for name in self.test}) < len(self.test):
            raise ValueError(f"names of tests must differ from each other, got {', '.join(self.test)}")
        return self

    def has(self, name: str) -> bool:
        """Whether all files of a test are there."""
        paths = (*self.test[name], *(path for test, path in self.train.items() if test == name))
        return all(path.is_file() for path in paths)

    def files(self) -> Iterator[tuple[str, Path]]:
        """All files, each with the field of the recipe that has it: ``("embeddings.train.topics", …)``."""
        for name, paths in self.test.items():
            yield from ((f"embeddings.test.{name}", path) for path in paths)
        yield from ((f"embeddings.train.{name}", path) for name, path in self.train.items())
