"""Tests of sentence embeddings, read from files as people have them; what a file has says which test it is."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bistil.corpora.strict import read_text, whole
from bistil.errors import BistilError
from bistil.evaluation.embeddings import Bitext, EmbeddingTest, Neighbours, Retrieval, Similarity
from bistil.tasks.rows import SUFFIXES, cells, read_rows
from bistil.tasks.squad import field, paragraphs, questions_of

_PAIRS = (("sentence1", "sentence2"), ("source", "target"), ("text", "text_pair"))
_SCORES = ("score", "similarity_score")
_NUMBERING = ("", "id", "idx", "index", "__index_level_0__")  # columns that number the rows; the last of pandas
_TABLES = (".tsv", ".csv")  # whose header may be missing
_FORMS = (
    "Give two files of lines that are each other's translations; a table (.tsv, .csv, .jsonl, .parquet) of two "
    "texts, of two texts and a score, or of 'text' and 'label'; or XQuAD-R's .json."
)
Row = Mapping[str, Any]


def read_test(files: Sequence[Path], train: Path | None = None) -> EmbeddingTest:
    """The test that files hold.

    * Two files of lines, line n the translation of line n, or a table of two columns of text: `Bitext`.
    * A table of two texts and a score: `Similarity`. The columns are ``sentence1``, ``sentence2`` and ``score``,
      or there is no header and the score comes last, as in STSb's files. ``source`` and ``target``, or
      ``text`` and ``text_pair``, are names of two texts, too; a first line without such names is no header.
    * A table with ``text`` and ``label``, and another, ``train``, with the same labels: `Neighbours`.
    * One or more .json files as of XQuAD-R: `Retrieval`, of questions among the sentences of all files; those that
      answer the question of the same id are right in any of them (LAReQA, Roy et al. 2020).

    Raises BistilError, with file and line, for what is none of these, and where there is nothing to score.
    """
    if train is not None:
        return _neighbours(train, _only(files))
    suffixes = {file.suffix.lower() for file in files}
    if suffixes == {".json"}:
        return _retrieval(files)
    if len(files) == 2 and not suffixes & {".json", *SUFFIXES}:
        return _parallel(*files)
    return _pairs(_only(files))


def _only(files: Sequence[Path]) -> Path:
    if len(files) != 1 or files[0].suffix.lower() not in SUFFIXES:
        raise BistilError(f"{' and '.join(map(str, files)) or 'No file'} cannot be scored. {_FORMS}")
    return files[0]


def _parallel(one: Path, other: Path) -> Bitext:
    sides = [read_text(path).removesuffix("\n").split("\n") for path in (one, other)]
    if len(sides[0]) != len(sides[1]):
        raise BistilError(
            f"{one} has {len(sides[0]):,} lines and {other} {len(sides[1]):,}. Give files in which line n is the "
            "translation of line n."
        )
    pairs = []
    for number, pair in enumerate(zip(*sides, strict=True), start=1):
        for path, text in zip((one, other), pair, strict=True):
            if not text.strip() and any(map(str.strip, pair)):
                raise BistilError(f"{path}, line {number} is blank. Give its text, or leave the pair out.")
        if any(map(str.strip, pair)):
            pairs.append(pair)
    if not pairs:
        raise BistilError(f"There is no text in {one} and {other}. Give files with at least one line.")
    ones, others = zip(*pairs, strict=True)
    return Bitext(ones, others)


def _pairs(path: Path) -> Bitext | Similarity:
    """The test of a table with two texts, with or without a score."""
    first: list[str] = []
    second: list[str] = []
    scores: list[float] = []
    named: tuple[str, str] | None = None  # by the first row: those of .jsonl may have theirs in any order
    rows = list(_rows(path))
    for source, row in rows:
        score = next((name for name in _SCORES if name in row), None)
        known = next((pair for pair in _PAIRS if all(name in row for name in pair)), None)
        if known is None and len(row) == 2 and "label" not in row:
            one, other = row
            named = named or (one, other)
            known = named if set(named) == set(row) else None
        if known is None:
            extra = " With 'text' and 'label', name the labelled texts to learn from, too (train)." * (
                "label" in row
            )
            raise BistilError(f"{source}: the columns are {', '.join(map(repr, row))}.{extra} {_FORMS}")
        if score is None and not first:
            _check_further(rows, known, path)
        first.append(_text(row, known[0], source))
        second.append(_text(row, known[1], source))
        if score is not None:
            scores.append(_number(row[score], score, source))
    if not first:
        raise BistilError(f"{path} holds no pairs of texts. Give a file with at least one.")
    if not scores:
        return Bitext(first, second)
    if len(scores) != len(first):  # rows of .jsonl may differ
        raise BistilError(f"{path}: {len(first)} pairs have {len(scores)} scores. Give each a score.")
    return Similarity(first, second, scores)


def _check_further(rows: Sequence[tuple[str, Row]], texts: Sequence[str], path: Path) -> None:
    """Raise where a column beside two texts without a score may be the score by another name, or a label."""
    for name in rows[0][1]:
        numbers = name not in _NUMBERING and all(_is_number(row.get(name)) for _, row in rows)
        if name not in texts and (numbers or name == "label"):
            raise BistilError(
                f"{path}: beside two texts there is a column {name!r}, which is not used. Rename it to 'score' if "
                "it says how alike they are, or leave the column out."
            )


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    """The rows of a table; where it has no header, it is given one."""
    names = _implied(next((found for _, found in cells(path)), [])) if path.suffix.lower() in _TABLES else ()
    if not names:
        yield from _named(path)
        return
    for source, texts in cells(path):
        if len(texts) != len(names):
            raise BistilError(f"{source} has {len(texts)} columns where the first line has {len(names)}.")
        yield source, dict(zip(names, texts, strict=True))


def _named(path: Path) -> Iterator[tuple[str, Row]]:
    """The rows of a table with a header, the names in small letters."""
    for source, row in read_rows(path):
        yield source, {str(name).strip().lower(): value for name, value in row.items()}


def _implied(first: Sequence[str]) -> tuple[str, ...]:
    """What the columns are where the first line is no header: two texts, or two texts and a score."""
    names = {name.strip().lower() for name in first}
    if any(names >= set(pair) for pair in (*_PAIRS, ("text", "label"))):
        return ()
    if len(first) == 3 and _is_number(first[2]):
        return (*_PAIRS[0], _SCORES[0])
    return _PAIRS[0] if len(first) == 2 else ()


def _neighbours(train: Path, test: Path) -> Neighbours:
    columns: list[list[str]] = []
    for path in (train, test):
        rows = list(_named(path))
        for source, row in rows:
            if missing := next((name for name in ("text", "label") if name not in row), None):
                raise BistilError(
                    f"{source}: there is no column {missing!r}; there are {', '.join(map(repr, row))}. Rename the "
                    "one meant."
                )
        if not rows:
            raise BistilError(f"{path} holds no labelled texts. Give a file with at least one.")
        columns.append([_text(row, "text", source) for source, row in rows])
        columns.append([_label(row, source) for source, row in rows])
    known, wanted = (sorted(set(labels)) for labels in columns[1::2])
    if not set(known) & set(wanted):
        raise BistilError(
            f"None of the labels of {test} ({_some(wanted)}) is in {train} ({_some(known)}). Give the same labels "
            "the same names in both."
        )
    return Neighbours(*columns)


def _some(labels: Sequence[str]) -> str:
    return ", ".join([*map(repr, labels[:5]), *(["…"] if len(labels) > 5 else [])])


def _retrieval(files: Sequence[Path]) -> Retrieval:
    questions: list[tuple[str, str]] = []  # what is asked, and the id
    sentences: list[str] = []
    answers: dict[str, set[int]] = {}
    for path in files:
        for paragraph, within in paragraphs(path):
            texts, ends = _sentences(paragraph, within)
            for question in questions_of(paragraph, within, path):
                if not question.answers:
                    continue
                start = question.answers[0].start
                place = next((number for number, end in enumerate(ends) if start < end), None)
                if place is None:
                    raise BistilError(f"{question.source}: no sentence has the answer. Correct 'sentence_breaks'.")
                questions.append((question.question, str(question.id)))
                answers.setdefault(str(question.id), set()).add(len(sentences) + place)
            sentences += texts
    if not questions:
        raise BistilError(f"{files[0]} holds no questions with answers. Give a file with at least one.")
    return Retrieval([asked for asked, _ in questions], sentences, [answers[key] for _, key in questions])


def _sentences(paragraph: Mapping[str, Any], within: str) -> tuple[list[str], list[int]]:
    """The sentences of a paragraph, and the character of its context at which each ends."""
    if isinstance(paragraph, dict) and "sentences" not in paragraph:
        raise BistilError(f"{within} has no 'sentences'. Give XQuAD-R's files, which say where sentences end.")
    texts, breaks = (field(paragraph, name, list, within) for name in ("sentences", "sentence_breaks"))
    if len(texts) != len(breaks):
        raise BistilError(f"{within} has {len(texts)} sentences and {len(breaks)} sentence_breaks. Give as many.")
    for text, span in zip(texts, breaks, strict=True):
        if not isinstance(text, str) or not (
            isinstance(span, list) and len(span) == 2 and all(type(place) is int for place in span)
        ):
            raise BistilError(
                f"{within}: {text!r} with the break {span!r} is no sentence. Give text, and [start, end]."
            )
        whole(text, within)
    return texts, [end for _, end in breaks]


def _text(row: Row, column: str, source: str) -> str:
    text = row[column]
    if not isinstance(text, str) or not text.strip():
        raise BistilError(f"{source}: {column!r} is {text!r}. Give a text.")
    return whole(text, source)


def _label(row: Row, source: str) -> str:
    """A text or, in .jsonl and .parquet, a number."""
    return str(row["label"]) if isinstance(row["label"], int) else _text(row, "label", source).strip()


def _number(value: Any, column: str, source: str) -> float:
    if not _is_number(value):
        raise BistilError(f"{source}: the {column} is {value!r}. Give a number.")
    return float(value)


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False
