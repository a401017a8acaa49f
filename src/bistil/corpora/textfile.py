"""One file of unlabelled text."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bistil.corpora import urls
from bistil.corpora.filters import Filters


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
        if self.is_remote:
            digest = urls.fingerprint(self.path)
        else:
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        parts = [digest, *filter(None, [self.column]), *([self.filters.fingerprint] if self.filters else [])]
        return ":".join(parts)
