"""One file of unlabelled text."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bistil.corpora import urls
from bistil.corpora.filters import Filters
from bistil.files import fingerprint_input


@dataclass(frozen=True, order=True)
class TextFile:
    """A file, the column that holds its text where it is a table, and the filters that its lines pass, if any.

    The path is a `Path`, or one of universal-pathlib, which reads like it, for what lies in a store.
    """

    path: Path
    column: str = ""
    filters: Filters | None = None

    @property
    def is_remote(self) -> bool:
        """Whether it lies in a store."""
        return not isinstance(self.path, Path)

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the bytes, or what a store says of the file; with the column and the filters."""
        digest = urls.fingerprint(self.path) if self.is_remote else fingerprint_input(self.path)
        parts = [digest, *filter(None, [self.column]), *([self.filters.fingerprint] if self.filters else [])]
        return ":".join(parts)
