"""Sentences whose words have IOB2 tags, read from lines of words and from rows."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from bistil.corpora.strict import read_text
from bistil.errors import BistilError
from bistil.tasks.rows import check_cells, read_rows, tokens
from bistil.tasks.words import Sentence, blocks

OUTSIDE = "O"
_TAG = re.compile(r"O|[BI]-\S+")
_TAG_COLUMNS = ("ner_tags", "tags", "labels")


@dataclass(frozen=True)
class TaggedSentence(Sentence):
    """A sentence with one IOB2 tag a word; of its lines only the comments are kept."""

    def renamed(self, labels: Mapping[str, str]) -> "TaggedSentence":
        """The sentence with some entity types renamed, or dropped: ``{"DATE": "O"}``."""
        return replace(self, gold=self.gold and tuple(_renamed(tag, labels) for tag in self.gold))


def _renamed(tag: str, labels: Mapping[str, str]) -> str:
    kind = labels.get(tag[2:], tag[2:])
    return OUTSIDE if OUTSIDE in (tag, kind) else f"{tag[:2]}{kind}"


def has_tags(path: Path) -> bool:
    """Whether most lines of the first sentences have a word and a tag, or a number, a word and a tag."""
    lines = [line for _, block in islice(blocks(read_text(path)), 20) for line in block]
    rows = [_Line(0, line).columns for line in lines if not line.startswith(("#", "-DOCSTART-"))]
    ((width, _),) = Counter(map(len, rows)).most_common(1) or [(1, 0)]
    usual = [columns for columns in rows if len(columns) == width]
    if width == 1 or len(usual) < 2 or 2 * len(usual) <= len(rows):
        return False
    places = (-1, 2) if width > 2 else (-1,)
    return any(all(_TAG.fullmatch(columns[at]) for columns in usual) for at in places)


def read_lines(path: Path, *, labelled: bool) -> Iterator[TaggedSentence]:
    """The sentences of a file with a word a line, with their tags unless none are wanted."""
    found = []
    for first, lines in blocks(read_text(path)):
        rows = [_Line(number, line) for number, line in enumerate(lines, start=first)]
        found.append((first, [row for row in rows if not row.text.startswith("-DOCSTART-")]))
    layout = _Layout.of([rows for _, rows in found], labelled)
    for first, rows in found:
        comments, words = layout.parted(rows)
        if not words:
            continue
        pairs = []
        for place, row in enumerate(words):
            source = f"{path}, line {row.number}"
            layout.check(row, words[place - 1] if place else None, source)
            pairs.append(_word_and_tag(row, layout.numbered, labelled, source))
        yield TaggedSentence(
            tuple(word for word, _ in pairs),
            tuple(tag for _, tag in pairs) if labelled else None,
            tuple(row.text for row in comments),
            f"{path}, sentence at line {first}",
        )


class _Line(NamedTuple):
    """A line of a file, and its number."""

    number: int
    text: str

    @property
    def columns(self) -> list[str]:
        """By tabs, or else by spaces, of which a word may have others than these."""
        return self.text.split("\t") if "\t" in self.text else re.split(" +", self.text.strip(" "))

    @property
    def between(self) -> bool:
        """Whether the number is that of a range of words (1-2) or of an empty node (1.1)."""
        return bool(re.fullmatch(r"\d+[-.]\d+", self.columns[0]))


@dataclass(frozen=True)
class _Layout:
    """How the lines of a file are to be read: what most of them have decides for all.

    ``numbered``: the first column counts the words of a sentence. ``width``: the number of columns.
    """

    numbered: bool
    width: int
    labelled: bool

    @classmethod
    def of(cls, sentences: Sequence[Sequence[_Line]], labelled: bool) -> "_Layout":
        """The layout of a file's sentences."""
        plain = [[row for row in rows if not row.text.startswith("#")] for rows in sentences]
        widths = Counter(len(row.columns) for rows in plain for row in rows)
        width = widths.most_common(1)[0][0] if widths else 1 + labelled
        counted = Counter[bool]()
        for rows in plain:
            counted[_counted_up(rows)] += len(rows)  # a sentence of a single 1 says little
        return cls(width >= 2 + labelled and counted[True] > counted[False], width, labelled)

    def parted(self, rows: Sequence[_Line]) -> tuple[list[_Line], list[_Line]]:
        """The comments and the words of a sentence."""
        comments, words = [], []
        for row in rows:
            if row.text.startswith("#") and (self.numbered or not self._is_word(row)):
                comments.append(row)
            elif not (self.numbered and row.between):
                words.append(row)
        return comments, words

    def _is_word(self, row: _Line) -> bool:
        """Whether a line that begins with # is a word: it has as many columns as the others, and a tag."""
        last = row.columns[-1]
        tagged = bool(_TAG.fullmatch(last)) or (not self.labelled and (self.width == 1 or last == "_"))
        return len(row.columns) == self.width and tagged

    def check(self, row: _Line, before: _Line | None, source: str) -> None:
        """Raise where the line of a word has more columns than the file, or not the number that comes next."""
        if len(row.columns) > self.width:
            raise BistilError(
                f"{source} has {len(row.columns)} columns where the file has {self.width}: {row.text!r}. A word "
                "has no blank in it, unless columns are separated by tabs."
            )
        if not self.numbered:
            return
        given = row.columns[0]
        right = (str(int(before.columns[0]) + 1),) if before else ("1", "0")
        if given not in right:
            raise BistilError(
                f"{source}: the first column is {given!r}, but words are numbered in this file, and {right[0]} "
                "comes there. Number the words of every sentence from 1, or of none."
            )


def _counted_up(rows: Sequence[_Line]) -> bool:
    """Whether the words of a sentence are numbered in the first column, from 1 or 0."""
    numbers = [row.columns[0] for row in rows if not row.between]
    return bool(numbers) and any(
        all(number == str(place) for place, number in enumerate(numbers, start)) for start in (1, 0)
    )


def _word_and_tag(row: _Line, numbered: bool, labelled: bool, source: str) -> tuple[str, str]:
    """The word and its tag; O where the file is not labelled."""
    columns = row.columns
    if len(columns) < 1 + labelled + numbered:
        wanted = f"{'a number, ' * numbered}a word{' and a tag' * labelled}"
        raise BistilError(f"{source} has no {'tag' if labelled else 'word'}: {row.text!r}. Give {wanted}.")
    word = columns[numbered]
    if not labelled:
        return word, OUTSIDE
    tag = columns[2] if numbered else columns[-1]
    _check_tag(tag, source)
    return word, tag


def _check_tag(tag: Any, source: str) -> None:
    if not (isinstance(tag, str) and _TAG.fullmatch(tag)):
        raise BistilError(f"{source}: {tag!r} is no IOB2 tag. Tags are O, or B- or I- and a type, such as B-PER.")


def read_rows_of_words(path: Path, *, labelled: bool) -> Iterator[TaggedSentence]:
    """The sentences of a file with a row a sentence: ``tokens`` and ``ner_tags``, ``tags`` or ``labels``."""
    for source, row in read_rows(path):
        yield sentence_of(row, source, labelled=labelled)


def sentence_of(row: Mapping[str, Any], source: str, *, labelled: bool) -> TaggedSentence:
    """The sentence of one row."""
    words = tokens(row, source)
    check_cells(words, "tokens", source)
    if not labelled:
        return TaggedSentence(words, None, (), source)
    tags: Any = next((row[name] for name in _TAG_COLUMNS if name in row), None)
    if not isinstance(tags, list):
        raise BistilError(f"{source}: 'ner_tags' must be a list; there are {', '.join(map(repr, row))}. Give it.")
    for tag in tags:
        _check_tag(tag, source)
    if len(tags) != len(words):
        raise BistilError(f"{source} has {len(words)} tokens and {len(tags)} tags. Give one tag for each token.")
    return TaggedSentence(words, tuple(tags), (), source)
