"""What a task model says of a text, with character offsets into it. Pure: no model, no file.

Offsets count characters from 0 as Python does, the end is not included: ``result.text[word.start : word.end]`` is
``word.text``. Probabilities are from 0 to 1.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice

from bistil.runtime.tables import aligned

_MOST_SHOWN = 100  # lines; the others are in the fields
_LONGEST_SHOWN = 60  # characters


@dataclass(frozen=True)
class Word:
    """A word and its tag: ``Word("kedi", 7, 11, "NOUN", 0.98)``."""

    text: str
    start: int
    end: int
    tag: str
    probability: float


@dataclass(frozen=True)
class ParsedWord:
    """A word and its relation to its head, the number of a word counted from 1, or 0 for the root.

    Example: ``ParsedWord("kedi", 7, 11, 3, "nsubj", 0.93)``. The probability is that of head and relation.
    """

    text: str
    start: int
    end: int
    head: int
    relation: str
    probability: float


@dataclass(frozen=True)
class Entity:
    """A named entity: ``Entity("Mavi Nil", 3, 11, "LOC", 0.91)``; the probability is the mean of its words'."""

    text: str
    start: int
    end: int
    type: str
    probability: float


@dataclass(frozen=True, repr=False)
class TaggedText:
    """A text and its words, each with a tag."""

    text: str
    words: tuple[Word, ...]

    def __repr__(self) -> str:
        return _lines(
            f"TaggedText({_short(self.text)})", ((word.text, word.tag, word.probability) for word in self.words)
        )

    def _repr_html_(self) -> str:
        return _table(("word", "tag", "probability"), ((w.text, w.tag, w.probability) for w in self.words))


@dataclass(frozen=True, repr=False)
class ParsedText:
    """A text and its words, each with its head and its relation to it."""

    text: str
    words: tuple[ParsedWord, ...]

    def __repr__(self) -> str:
        return _lines(f"ParsedText({_short(self.text)})", self._rows())

    def _repr_html_(self) -> str:
        return _table(("", "word", "head", "", "relation", "probability"), self._rows())

    def _rows(self) -> Iterable[Sequence[str | int | float]]:
        for number, word in enumerate(self.words, start=1):
            head = self.words[word.head - 1].text if word.head else ""
            yield number, word.text, word.head, head, word.relation, word.probability


@dataclass(frozen=True, repr=False)
class EntityText:
    """A text, the entities in it, and its words with their IOB2 tags."""

    text: str
    entities: tuple[Entity, ...]
    words: tuple[Word, ...]

    def __repr__(self) -> str:
        rows = ((one.text, one.type, f"{one.start}:{one.end}", one.probability) for one in self.entities)
        return _lines(f"EntityText({_short(self.text)})", rows)

    def _repr_html_(self) -> str:
        return _marked(self.text, [(one.start, one.end, one.type) for one in self.entities])


@dataclass(frozen=True, repr=False)
class Label:
    """A text, or a pair of texts, with its most probable label, and the probability of every label.

    ``probabilities`` begin with the most probable: ``{"food": 0.93, "object": 0.07}``.
    """

    text: str
    label: str
    probability: float
    probabilities: Mapping[str, float]
    text_pair: str | None = None

    def __repr__(self) -> str:
        pair = "" if self.text_pair is None else f", text_pair={_short(self.text_pair)}"
        return f"Label({self.label!r}, {self.probability:.4f}, text={_short(self.text)}{pair})"

    def _repr_html_(self) -> str:
        texts = [self.text] if self.text_pair is None else [self.text, self.text_pair]
        return "".join(_marked(text, []) for text in texts) + _table(
            ("label", "probability"), self.probabilities.items()
        )


@dataclass(frozen=True, repr=False)
class Answer:
    """The answer to a question, and where in the context it stands; "" and None where there is none.

    Example: ``Answer("Where?", "In the garden.", "the garden", 3, 13, 0.83)``.
    """

    question: str
    context: str
    text: str
    start: int | None
    end: int | None
    probability: float

    def __repr__(self) -> str:
        place = "" if self.start is None else f", start={self.start}, end={self.end}"
        return f"Answer({self.text!r}, {self.probability:.4f}{place}, question={_short(self.question)})"

    def _repr_html_(self) -> str:
        found = [] if self.start is None or self.end is None else [(self.start, self.end, "")]
        return f"{_marked(self.question, [])}{_marked(self.context, found)}<p>{self.probability:.4f}</p>"


Result = TaggedText | ParsedText | EntityText | Label | Answer


def _short(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…")


def _lines(heading: str, rows: Iterable[Sequence[str | int | float]]) -> str:
    """The heading, and a line for each row."""
    rows = iter(rows)
    shown = [[_cell(value) for value in row] for row in islice(rows, _MOST_SHOWN)]
    left = sum(1 for _ in rows)
    more = [f"… and {left:,} more"] if left else []
    return "\n".join([heading, *(f"  {line}" for line in [*aligned(shown), *more])])


def _cell(value: str | int | float) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    # a line break would break the table, and an escape sequence a terminal
    return "".join(one if ord(one) >= 32 and not 127 <= ord(one) < 160 else repr(one)[1:-1] for one in str(value))


def _table(names: Sequence[str], rows: Iterable[Sequence[str | int | float]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = (
        "".join(f'<td dir="auto" style="text-align: start">{escape(_cell(value))}</td>' for value in row)
        for row in rows
    )
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in body)}</table>"


def _marked(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    """A paragraph in its own direction, with spans of characters marked and named."""
    parts, position = [], 0
    for start, end, name in spans:
        label = f" <small><bdi>{escape(name)}</bdi></small>" if name else ""
        parts += [escape(text[position:start]), f"<mark>{escape(text[start:end])}{label}</mark>"]
        position = end
    return f'<p dir="auto">{"".join(parts)}{escape(text[position:])}</p>'
