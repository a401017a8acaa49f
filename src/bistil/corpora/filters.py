"""Filters of text: lines in another language, and lines that nearly repeat an earlier one."""

from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from bistil.errors import BistilError, naming_extras

WINDOW = 32_768  # lines that the next one is compared with, which takes some 90 MB
_PERMUTATIONS, _SHINGLE = 64, 5
_SURE = 0.5
_VERSION = 1  # to be raised when the same filters drop other lines

Signatures = npt.NDArray[np.uint32]


@dataclass(frozen=True, order=True)
class Filters:
    """Which lines of a text are dropped.

    With ``language``, a code, those that py3langid takes for another language with a probability of at least a
    half. With ``near_duplicates``, a share above 0, those whose sets of 5-grams of characters are at least so
    similar (Jaccard, estimated by MinHash) to that of one of the 32,768 lines that were kept last.
    A language that is not known raises `BistilError`, as does a missing library.

    Example: ``Filters("tr", 0.8)``.
    """

    language: str = ""
    near_duplicates: float = 0.0

    def __post_init__(self) -> None:
        if self.language and self.code not in _identifier().labels:
            raise BistilError(
                f"filters.language: {self.language} is none of the languages that can be told "
                f"({', '.join(sorted(_identifier().labels))}). Leave out filters.language."
            )

    @property
    def code(self) -> str:
        """The language without script and region: ``zh`` of zh-Hans."""
        return self.language.replace("_", "-").partition("-")[0].lower()

    @property
    def fingerprint(self) -> str:
        """For a fingerprint: what lines are dropped depends on this."""
        return f"filters {_VERSION} {self.code} {self.near_duplicates}"


@dataclass(frozen=True)
class Tally:
    """Lines that were kept, and that each filter dropped."""

    kept: int = 0
    other_language: int = 0
    near_duplicates: int = 0

    def __str__(self) -> str:
        dropped = (
            (self.other_language, "in another language"),
            (self.near_duplicates, "near-duplicates"),
        )
        return " and ".join(f"{count:,} {what}" for count, what in dropped if count) or "none"


class Filter:
    """Filters at work on one stream of lines: says of each line whether it is kept, and counts them.

    ``tally`` and ``seen`` are those of an earlier one whose work this one takes up.
    """

    def __init__(self, filters: Filters, tally: Tally | None = None, seen: Signatures | None = None) -> None:
        self.tally = tally or Tally()
        self._code = filters.code
        self._near = _Window(filters.near_duplicates, self.tally.kept, seen) if filters.near_duplicates else None

    def keeps(self, line: str) -> bool:
        """Whether a line passes; it is then one of those that later ones are compared with."""
        before = self.tally
        if self._code and not _is_in(line, self._code):
            self.tally = Tally(before.kept, before.other_language + 1, before.near_duplicates)
        elif self._near is not None and not self._near.adds(line):
            self.tally = Tally(before.kept, before.other_language, before.near_duplicates + 1)
        else:
            self.tally = Tally(before.kept + 1, before.other_language, before.near_duplicates)
            return True
        return False

    def seen(self, kept: int) -> Signatures:
        """The signatures [lines, 64] with which a line was compared when so many had been kept."""
        return _none() if self._near is None else self._near.at(kept)


class _Window:
    """The MinHash signatures of the last lines, in an LSH index; some older ones are remembered outside of it."""

    def __init__(self, threshold: float, added: int, seen: Signatures | None) -> None:
        with naming_extras("filters.near_duplicates"):
            from datasketch import MinHash, MinHashLSH
        self._threshold, self._new = threshold, MinHash(num_perm=_PERMUTATIONS)
        self._index = MinHashLSH(threshold=threshold, num_perm=_PERMUTATIONS)
        # As many again may have been read ahead of the place that is asked for.
        self._signatures: deque[Any] = deque(maxlen=2 * WINDOW)
        self._added = added - (0 if seen is None else len(seen))
        for values in _none() if seen is None else seen:
            signature = self._new.copy()
            signature.hashvalues = values.copy()
            self._insert(signature)

    def adds(self, line: str) -> bool:
        signature = self._new.copy()
        grams = range(max(1, len(line) - _SHINGLE + 1))
        signature.update_batch(sorted({line[start : start + _SHINGLE].encode() for start in grams}))
        first = self._added - len(self._signatures)
        if any(
            self._signatures[number - first].jaccard(signature) >= self._threshold
            for number in self._index.query(signature)
        ):
            return False
        self._insert(signature)
        return True

    def _insert(self, signature: Any) -> None:
        self._index.insert(self._added, signature)
        self._signatures.append(signature)
        self._added += 1
        if (old := self._added - 1 - WINDOW) in self._index:
            self._index.remove(old)

    def at(self, kept: int) -> Signatures:
        end = len(self._signatures) - (self._added - kept)
        own = [one.hashvalues for one in islice(self._signatures, max(0, end - WINDOW), end)]
        return np.stack(own) if own else _none()


def _none() -> Signatures:
    return np.zeros((0, _PERMUTATIONS), dtype=np.uint32)


def _is_in(line: str, code: str) -> bool:
    found, probability = _identifier().classify(line)
    return bool(found == code or probability < _SURE)


@lru_cache(maxsize=1)
def _identifier() -> Any:
    with naming_extras("filters.language"):
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
