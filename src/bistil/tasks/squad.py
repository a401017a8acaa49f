"""Questions on texts that hold their answers, read as SQuAD, XQuAD and MLQA have them, or from rows."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bistil.corpora.strict import parse_json, read_text, whole
from bistil.errors import BistilError
from bistil.tasks.rows import ROWS, read_rows


class Answer(NamedTuple):
    """A piece of a context, and the character of it at which the piece begins: ``Answer("Denver", 177)``."""

    text: str
    start: int


@dataclass(frozen=True)
class Question:
    """A question, the context to look in, and what may be answered: () for nothing, None when unlabelled."""

    question: str
    context: str
    answers: tuple[Answer, ...] | None = None
    id: str | None = None
    language: str | None = None
    source: str = "the text given"

    @property
    def text(self) -> str:
        """The question and its context, joined by " / "."""
        return f"{self.question} / {self.context}"

    @property
    def gold(self) -> tuple[str, ...] | None:
        """The texts of all acceptable answers, ("",) where nothing answers the question."""
        if self.answers is None:
            return None
        return tuple(dict.fromkeys(answer.text for answer in self.answers)) or ("",)

    def renamed(self, labels: Mapping[str, str]) -> "Question":
        """The same question: answers are no labels of a set."""
        return self


def read_questions(path: Path, labelled: bool = True) -> list[Question]:
    """The questions of a .json file: ``{"data": [{"paragraphs": [{"context": …, "qas": [{"id": …, …}]}]}]}``.

    Or of rows, .jsonl or .parquet: ``{"question": …, "context": …, "answers": {"text": ["Denver"], "answer_start":
    [177]}}``, the answers also as a list of ``{"text": …, "answer_start": …}``, null where unlabelled.

    A question with ``answers`` that are empty, or with ``is_impossible``, has no answer; one without ``answers``
    is unlabelled. Raises BistilError, with the question's id or the row, where an answer is not in the context at
    its ``answer_start``. Without ``labelled`` answers are not read.
    """
    suffix = path.suffix.lower()
    if suffix in ROWS:
        questions = [question_of(row, source, labelled) for source, row in read_rows(path)]
    elif suffix == ".json":
        questions = [one for found in paragraphs(path) for one in questions_of(*found, path, labelled)]
    else:
        raise BistilError(
            f"{path}: questions are read from .json, as SQuAD has it, or rows (.jsonl, .parquet), not from "
            f"{path.suffix!r}."
        )
    if not questions:
        raise BistilError(f"{path} holds no questions. Give a file with at least one.")
    return questions


def parse_question(line: str) -> Question:
    """An unlabelled question from a JSON object: ``{"question": "…", "context": "…"}``, and an ``id`` if given."""
    where = "the line given"
    try:
        row = parse_json(line, where)
    except BistilError as error:
        raise BistilError(f'{error} Give {{"question": "…", "context": "…"}}.') from error
    return question_of(row, where)


def question_of(row: Mapping[str, Any], source: str, labelled: bool = False) -> Question:
    """The question of a row with ``question`` and ``context``, and its answers if ``labelled``."""
    for name in ("question", "context"):
        if isinstance(row, dict) and name not in row:
            present = ", ".join(map(repr, row)) or "none"
            raise BistilError(f"{source}: there is no field {name!r}; there are {present}. Rename the one meant.")
    question, context = (whole(field(row, name, str, source), source) for name in ("question", "context"))
    answers = _answers(_listed(row, source), context, source) if labelled else None
    return Question(question, context, answers, None if row.get("id") is None else str(row["id"]), source=source)


def _listed(row: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    """The row with its answers as a list of objects, as SQuAD's files have them, and without them if null."""
    answers = row.get("answers")
    if answers is None:
        return {name: value for name, value in row.items() if name != "answers"}
    if isinstance(answers, Mapping):
        texts, starts = (field(answers, name, list, f"{source}, answers") for name in ("text", "answer_start"))
        if len(texts) != len(starts):
            raise BistilError(
                f"{source}, answers: 'text' has {len(texts)} entries and 'answer_start' {len(starts)}. Give a "
                "start for each text."
            )
        answers = [{"text": text, "answer_start": at} for text, at in zip(texts, starts, strict=True)]
    return {**row, "answers": answers}


def paragraphs(path: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The paragraphs of a .json file, each with where it stands: ``FILE, data[3].paragraphs[0]``."""
    text = read_text(path)
    document = parse_json(text, str(path)) if text.strip() else {"data": []}
    for article, at in _items(document, "data", str(path)):
        yield from _items(article, "paragraphs", at)


def questions_of(
    paragraph: Mapping[str, Any], within: str, path: Path, labelled: bool = True
) -> Iterator[Question]:
    """The questions of a paragraph that stands there in a .json file."""
    context = field(paragraph, "context", str, within)
    for entry, where in _items(paragraph, "qas", within):
        identity = str(field(entry, "id", str | int, where))
        source = f"{path}, question {identity}"
        asked = field(entry, "question", str, source)
        answers = _answers(entry, context, source) if labelled else None
        yield Question(asked, context, answers, identity, source=source)


def _answers(entry: Mapping[str, Any], context: str, source: str) -> tuple[Answer, ...] | None:
    """The acceptable answers, () where nothing answers the question, None where it is unlabelled."""
    if entry.get("is_impossible"):
        return ()
    if "answers" not in entry:
        return None
    answers = []
    for answer, at in _items(entry, "answers", source):
        text, start = field(answer, "text", str, at), _start(answer, at)
        found = context[max(0, start) :][: len(text)]
        if not text or start < 0 or found != text:
            raise BistilError(
                f"{at}: the answer {text!r} should stand at character {start} of the context, where {found!r} "
                "stands. Correct answer_start, which counts characters from 0, or leave the question out."
            )
        answers.append(Answer(text, start))
    return tuple(answers)


def _start(answer: Any, where: str) -> int:
    """The number of a character; some files have it as text."""
    start = field(answer, "answer_start", int | str, where)
    if isinstance(start, str):
        if not re.fullmatch("[0-9]{1,18}", start):
            raise BistilError(f"{where}: 'answer_start' must be a whole number, not {_shown(start)}.")
        start = int(start)
    return start


def _items(holder: Any, name: str, where: str) -> list[tuple[Any, str]]:
    """The entries of a list in a JSON object, each with where it stands: ``FILE, data[3].paragraphs[0]``."""
    dot = "." if where.endswith("]") else ", "
    return [
        (entry, f"{where}{dot}{name}[{number}]") for number, entry in enumerate(field(holder, name, list, where))
    ]


def field(holder: Any, name: str, kind: Any, where: str) -> Any:
    """What a JSON object has under a name, if it is of a kind; raises BistilError for anything else."""
    if not isinstance(holder, dict):
        raise BistilError(f"{where} is {_shown(holder)}. Give an object with {name!r}, as SQuAD's files have it.")
    if name not in holder:
        present = ", ".join(map(repr, holder)) or "none"
        raise BistilError(
            f"{where}: there is no field {name!r}; there are {present}. SQuAD's files have 'data', in it "
            "'paragraphs' with 'context' and 'qas', in these 'id', 'question' and 'answers' with 'text' and "
            "'answer_start'."
        )
    if not isinstance(value := holder[name], kind) or isinstance(value, bool):
        wanted = {str: "text", list: "a list"}.get(kind, "text or a whole number")
        raise BistilError(f"{where}: {name!r} must be {wanted}, not {_shown(value)}.")
    return value


def _shown(value: Any) -> str:
    """For example ``the list [1, 2]``; long values are cut."""
    if value is None:
        return "null"
    return f"the {type(value).__name__} {textwrap.shorten(json.dumps(value, ensure_ascii=False, default=str), 60)}"
