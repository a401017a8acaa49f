"""A model that is served: its name, its task, and the facts that are shown."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bistil.api.model import TaskModel, load_task
from bistil.errors import BistilError
from bistil.exporting.examples import examples, takes_pairs
from bistil.exporting.metadata import card_languages
from bistil.tasks import saved

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Served:
    """A task model under a name, with what the page and OpenAPI show of it.

    Example: ``Served.load("pos=runs/tr/tasks/pos").name`` is ``"pos"``.
    """

    name: str
    folder: str
    model: TaskModel
    engine: str
    megabytes: float
    languages: tuple[str, ...]

    @classmethod
    def load(cls, given: str) -> "Served":
        """The model in a folder, called as it is, or NAME of ``NAME=FOLDER``.

        Raises BistilError for a name that an address cannot have, or a folder without a task model.
        """
        name, equals, folder = given.partition("=")
        if not equals:
            name, folder = Path(os.path.expanduser(given)).resolve().name, given
        if not _NAME.fullmatch(name) or not folder:
            raise BistilError(f"{given!r} gives no name for an address. Give NAME=FOLDER, such as pos={folder}.")
        model = load_task(folder, threads=1)  # requests run beside one another, see `Batcher`
        engine = next(iter(saved.engines(model.path)), "torch")
        size = saved.disk_bytes(model.path, engine) / 1e6
        return cls(name, folder, model, engine, round(size, 1), tuple(card_languages(model.path)))

    @property
    def pair(self) -> bool:
        """Whether it classifies pairs of texts."""
        return takes_pairs(self.model.learned)

    @property
    def facts(self) -> dict[str, Any]:
        """What the page shows."""
        return {
            "name": self.name,
            "task": self.model.task,
            "title": self.model.learned.title,
            "labels": list(self.model.labels),
            "languages": list(self.languages),
            "engine": self.engine,
            "megabytes": self.megabytes,
            "pair": self.pair,
            "examples": examples(self.model.learned, self.languages),
        }

    @property
    def _use(self) -> str:
        """What the described requests follow from."""
        return f"{self.model.task}{' of pairs' if self.pair else ''}"

    def reloaded(self) -> "Served":
        """The same from what is in its folder now; BistilError where that is for another use."""
        other = Served.load(f"{self.name}={self.folder}")
        if other._use != self._use:
            raise BistilError(
                f"{self.folder} was for {self._use} and is now for {other._use}. Restart the server to serve it."
            )
        return other


def named(given: Sequence[str]) -> dict[str, Served]:
    """The models by name; BistilError where two have the same."""
    found: dict[str, Served] = {}
    for one in given:
        served = Served.load(one)
        if served.name in found:
            raise BistilError(f"Two models are called {served.name}. Give one another name: NAME={served.folder}.")
        found[served.name] = served
    return found
