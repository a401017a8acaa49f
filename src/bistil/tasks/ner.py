"""Named-entity recognition with IOB2 tags."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, Self

from bistil.corpora.strict import whole
from bistil.errors import BistilError
from bistil.runtime.results import Entity, EntityText
from bistil.tasks.rows import ROWS, columns, read_rows, tokens
from bistil.tasks.task import Prediction, gold_of, read_text
from bistil.tasks.words import Sentence, WordLabelling, blocks, check_words, is_iob2, split_words, tagged

OUTSIDE = "O"
_TAG = re.compile(r"O|[BI]-\S+")
_TAG_COLUMNS = ("ner_tags", "tags", "labels")


@dataclass(frozen=True)
class TaggedSentence(Sentence):
    """A sentence with one IOB2 tag a word; of its lines only the comments are kept."""

    def renamed(self, labels: Mapping[str, str]) -> "TaggedSentence":
        """The sentence with some entity types renamed, or dropped: ``{"DATE": "O"}``."""
        return replace(self, gold=self.gold and tuple(_renamed(tag, labels) for tag in self.gold))


class NamedEntities(WordLabelling):
    """Entities as spans of words, scored by the spans and types that are exactly right."""

    kind = "ner"
    title = "named-entity"
    suffixes = (".iob2", ".conll", ".bio", ".txt", ".tsv", *ROWS)
    guessed_from = (".iob2", ".conll", ".bio")
    metric = "f1"
    metric_title = "F1"
    lines_read = 4  # most have no entity
    unmarked = OUTSIDE

    @classmethod
    def read(cls, path: Path, *, labelled: bool = True) -> list[Sentence]:
        """The sentences of a file with a word a line and an empty line after each sentence, or of rows.

        A line holds the word first and its tag last (CoNLL 2003, MasakhaNER), or a number, the word and its tag
        (Universal NER); columns are separated by tabs, or else by spaces. Rows (.jsonl, .parquet) have ``tokens``
        and ``ner_tags`` (or ``tags``). Tags are IOB2.
        """
        suffix = path.suffix.lower()
        if suffix in (".csv", ".json") or (suffix == ".tsv" and not labelled and not cls.recognises(path)):
            raise BistilError(
                f"{path}: entities are read from lines with a word and its tag (.iob2, .conll, .bio, .txt) or "
                f"rows (.jsonl, .parquet), not from {suffix!r}. For new text give .txt, a text a line."
            )
        rows = suffix in ROWS
        sentences: list[Sentence] = list((_from_rows if rows else _from_lines)(path, labelled=labelled))
        if not sentences:
            raise BistilError(f"{path} holds no sentences. Give a file with at least one.")
        check_words(sentences, path)
        return sentences

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether most lines of the first sentences have a word and a tag, or a number, a word and a tag.

        The others are for `read` to name.
        """
        lines = [line for _, block in islice(blocks(read_text(path)), 20) for line in block]
        rows = [_Line(0, line).columns for line in lines if not line.startswith(("#", "-DOCSTART-"))]
        ((width, _),) = Counter(map(len, rows)).most_common(1) or [(1, 0)]
        usual = [columns for columns in rows if len(columns) == width]
        if width == 1 or len(usual) < 2 or 2 * len(usual) <= len(rows):
            return False
        places = (-1, 2) if width > 2 else (-1,)
        return any(all(_TAG.fullmatch(columns[at]) for columns in usual) for at in places)

    @classmethod
    def columns(cls, path: Path) -> tuple[str, ...]:
        """Those of rows; lines of words and tags have none."""
        return columns(path) if path.suffix.lower() in ROWS else ()

    @classmethod
    def fits(cls, architecture: str, labels: Sequence[str]) -> bool:
        """Whether a model labels tokens with IOB2 tags."""
        return architecture.endswith("ForTokenClassification") and any(map(is_iob2, labels))

    @classmethod
    def from_examples(cls, train: Sequence[Sentence]) -> Self:
        """The task with both tags, beginning and inside, of every type in the training examples."""
        types = sorted({tag[2:] for example in train for tag in gold_of(example) if tag != OUTSIDE})
        if not types:
            raise BistilError(f"The {len(train)} training sentences hold no entity. Give some that do.")
        return cls((OUTSIDE, *(f"{place}-{kind}" for kind in types for place in "BI")))

    def self_labelled(
        self, model: Any, tokenizer: Any, lines: Sequence[str], train: Sequence[Sentence]
    ) -> list[Sentence]:
        """The lines in which the model finds an entity, with its labels: many without make a student miss them."""
        found = super().self_labelled(model, tokenizer, lines, train)
        return [sentence for sentence in found if any(tag != OUTSIDE for tag in gold_of(sentence))]

    def check(self, examples: Sequence[Sentence]) -> None:
        """Raise where a sentence is unlabelled or has an entity of a type that the training data did not have."""
        known = dict.fromkeys(label[2:] for label in self.labels if label != OUTSIDE)
        for example in examples:
            for tag in gold_of(example):
                if tag != OUTSIDE and tag[2:] not in known:
                    raise BistilError(
                        f"{example.source}: entities of the type {tag[2:]!r} do not occur in the training data, "
                        f"which has {', '.join(known)}. Correct it, map it (label_map, --map {tag[2:]}=O), "
                        "or train with examples of it."
                    )

    def score(self, gold: Sequence[Sentence], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Precision, recall and F1 of entities over all sentences, in per cent; see `spans`."""
        row = _counted(self._spans(gold, predictions))
        return {"f1": row["f1"], "precision": row["precision"], "recall": row["recall"]}

    def contributions(
        self, gold: Sequence[Sentence], predictions: Sequence[Prediction]
    ) -> list[tuple[float, float]]:
        """Twice the right entities, and those expected and predicted together: F1 is the ratio of their sums."""
        pairs = [
            (set(spans(gold_of(example))), set(spans(found.labels)))
            for example, found in zip(gold, predictions, strict=True)
        ]
        return [(2 * len(there & found), len(there) + len(found)) for there, found in pairs]

    def per_label(
        self, gold: Sequence[Sentence], predictions: Sequence[Prediction]
    ) -> dict[str, dict[str, float]]:
        """The same for each type of entity, and how many there are."""
        both = self._spans(gold, predictions)
        types = sorted({kind for side in both for *_, kind in side})
        return {kind: _counted((_of_type(both[0], kind), _of_type(both[1], kind))) for kind in types}

    def _spans(
        self, gold: Sequence[Sentence], predictions: Sequence[Prediction]
    ) -> tuple[set[tuple[int, int, int, str]], set[tuple[int, int, int, str]]]:
        """The entities of all sentences that are expected, and those that are predicted."""
        self._paired(gold, predictions)  # checks
        tags = [gold_of(example) for example in gold], [prediction.labels for prediction in predictions]
        expected, predicted = (
            {(number, *span) for number, one in enumerate(side) for span in spans(one)} for side in tags
        )
        return expected, predicted

    def parse(self, line: str) -> Sentence:
        """A raw line, split at white space and at the punctuation around words."""
        return TaggedSentence(tuple(split_words(whole(line, "the line given"))), plain=line)

    def parse_row(self, row: Mapping[str, Any], source: str = "the row given") -> Sentence:
        """A row with ``tokens``."""
        return _from_row(row, source, labelled=False)

    def result(self, example: Sentence, prediction: Prediction) -> EntityText:
        """The entities and the words, with offsets."""
        found = tagged(example, prediction)
        entities = []
        for first, after, kind in spans(prediction.labels):
            start, end = found.words[first].start, found.words[after - 1].end
            probability = fmean(word.probability for word in found.words[first:after])
            entities.append(Entity(found.text[start:end], start, end, kind, probability))
        return EntityText(found.text, tuple(entities), found.words)

    def render(self, example: Sentence, prediction: Prediction) -> str:
        """A word and its tag a line, separated by a tab, after the sentence's comments; an empty line follows."""
        tagged = (f"{word}\t{tag}" for word, tag in zip(example.words, prediction.labels, strict=True))
        return "\n".join([*example.lines, *tagged]) + "\n"


def spans(tags: Iterable[str]) -> list[tuple[int, int, str]]:
    """The entities of a tagged sentence: first word, word after the last, type.

    An I- tag that continues no entity of its type begins one, as in the CoNLL 2003 evaluation and in seqeval.
    Example: ``spans(["B-PER", "I-PER", "O", "I-LOC"])`` is ``[(0, 2, "PER"), (3, 4, "LOC")]``.
    """
    found: list[tuple[int, int, str]] = []
    for word, tag in enumerate(tags):
        if tag == OUTSIDE:
            continue
        kind = tag[2:]
        if tag.startswith("I-") and found and found[-1][1:] == (word, kind):
            found[-1] = (found[-1][0], word + 1, kind)
        else:
            found.append((word, word + 1, kind))
    return found


def _counted(both: tuple[set[Any], set[Any]]) -> dict[str, float]:
    expected, predicted = both
    right = len(expected & predicted)
    return {
        "precision": 100 * right / max(len(predicted), 1),
        "recall": 100 * right / max(len(expected), 1),
        "f1": 200 * right / max(len(expected) + len(predicted), 1),
        "support": len(expected),
    }


def _of_type(entities: set[tuple[int, int, int, str]], kind: str) -> set[tuple[int, int, int, str]]:
    return {entity for entity in entities if entity[-1] == kind}


def _renamed(tag: str, labels: Mapping[str, str]) -> str:
    kind = labels.get(tag[2:], tag[2:])
    return OUTSIDE if OUTSIDE in (tag, kind) else f"{tag[:2]}{kind}"


def _from_lines(path: Path, *, labelled: bool) -> Iterator[TaggedSentence]:
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


def _from_rows(path: Path, *, labelled: bool) -> Iterator[TaggedSentence]:
    for source, row in read_rows(path):
        yield _from_row(row, source, labelled=labelled)


def _from_row(row: Mapping[str, Any], source: str, *, labelled: bool) -> TaggedSentence:
    words = tokens(row, source)
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
