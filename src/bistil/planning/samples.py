"""Lines from the beginning of texts, and how often they have each token: by these a plan knows a text."""

import contextlib
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bistil.corpora import text
from bistil.corpora.tokenizers import unused_ids
from bistil.errors import BistilError
from bistil.vocabulary.count import count_tokens
from bistil.vocabulary.select import Rule, select
from bistil.vocabulary.trim import closure, special_ids

LINES = 5_000  # of each text


class Samples:
    """Each text is read, and counted, once, however many recipes have it.

    Example: ``Samples().lines(("text/tr.txt",))[0]`` is its first line.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[str, ...], list[str]] = {}
        self._counts: dict[tuple[Any, tuple[str, ...]], NDArray[np.int64]] = {}
        self._sizes: dict[tuple[Any, tuple[tuple[str, ...], ...], float], int] = {}

    def lines(self, patterns: Sequence[str]) -> list[str]:
        """Lines from the beginning; none of a text that is not there yet."""
        key = tuple(patterns)
        if key not in self._lines:
            self._lines[key] = []
            with contextlib.suppress(BistilError):
                self._lines[key] = list(islice(text.lines(text.files(patterns)), LINES))
        return self._lines[key]

    def are_cut(self, patterns: Sequence[str]) -> bool:
        """Whether the text may have more lines."""
        return len(self.lines(patterns)) == LINES

    def counts(self, tokenizer: Any, patterns: Sequence[str]) -> NDArray[np.int64]:
        """How often the lines have each token, by id; the same tokenizer is the same object."""
        key = tokenizer, tuple(patterns)
        if key not in self._counts:
            self._counts[key] = count_tokens(tokenizer, iter(self.lines(patterns)))
        return self._counts[key]

    def vocabulary(self, tokenizer: Any, texts: Sequence[Sequence[str]], least: float) -> int:
        """How many tokens the lines of the texts need, as they are kept by `bistil.vocabulary.select`."""
        key = tokenizer, tuple(map(tuple, texts)), least
        if key not in self._sizes:
            counts = {str(number): self.counts(tokenizer, patterns) for number, patterns in enumerate(texts)}
            selection = select(
                counts,
                Rule(value=least),
                special=special_ids(tokenizer),
                closure=closure(tokenizer, np.sum([*counts.values()], axis=0)),
                unused=unused_ids(tokenizer),
            )
            self._sizes[key] = len(selection.ids)
        return self._sizes[key]
