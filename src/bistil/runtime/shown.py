"""How a result shows itself: lines of text, and in a notebook a table."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from html import escape
from pathlib import Path


class Shown(ABC):
    """A result that is read by people. Classes that derive from it say in ``_facts`` names and values."""

    @abstractmethod
    def _facts(self) -> Iterator[tuple[str, str]]:
        """What is shown, in the order in which it is shown."""

    def __repr__(self) -> str:
        facts = list(self._facts())
        width = max(len(name) for name, _ in facts)
        return "\n".join([type(self).__name__, *(f"  {name:<{width}}  {value}" for name, value in facts)])

    def _repr_html_(self) -> str:
        rows = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self._facts())
        return f"<table><caption>{type(self).__name__}</caption>{''.join(rows)}</table>"


class InFolder(Shown):
    """A result that lies in a folder, and can be given wherever its path can.

    Its ``str`` is the path, as libraries take it that ask for nothing else.
    """

    output_dir: Path

    def __fspath__(self) -> str:
        return os.fspath(self.output_dir)

    def __str__(self) -> str:
        return os.fspath(self.output_dir)
