"""Sentences of words, cut into model inputs between words, and tasks that give each word one label."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import Tokenizer

from bistil.corpora.strict import whole
from bistil.corpora.tokenizers import bare, encodings, frame, named_unless_read, placeholder, room
from bistil.errors import BistilError
from bistil.runtime.arrays import softmax
from bistil.runtime.padding import IGNORED
from bistil.runtime.results import Result, TaggedText, Word
from bistil.tasks.heads import Head
from bistil.tasks.inference import logits, max_length
from bistil.tasks.rows import ROWS, SUFFIXES, columns
from bistil.tasks.task import Prediction, Task

# A word's number in CoNLL-U, or those of a multi-word token.
_NUMBER = re.compile(r"(?:\d+-)?(\d+)")
_JOINER = "\u200d"  # also joins what comes after it

TAKES = "a text, or {'tokens': […]} if it is split into words already"


@dataclass(frozen=True)
class Sentence:
    """The words of one sentence, a gold label each (None when any is missing), and its lines in the file.

    ``plain`` is the text that the words were cut from, where there was one.
    """

    words: tuple[str, ...]
    gold: tuple[str, ...] | None = None
    lines: tuple[str, ...] = ()
    source: str = "the text given"
    plain: str | None = None

    @property
    def text(self) -> str:
        """The words, joined by spaces."""
        return " ".join(self.words)

    def placed(self) -> tuple[str, list[tuple[str, int, int]]]:
        """The text as it was given, and each word with its first character there and the one after its last.

        Words that were given as such are joined as `spaced` says. Example: "Evet !" gives ``("Evet !", [("Evet",
        0, 4), ("!", 5, 6)])``.
        """
        text = self.plain
        if text is None:
            text = "".join(f" {word}" if spaced else word for word, spaced in self.spaced())
        found, end = [], 0
        for word in self.words:
            start = text.index(word, end)
            end = start + len(word)
            found.append((word, start, end))
        return text, found

    def spaced(self) -> list[tuple[str, bool]]:
        """Each word, and whether a space is before it: but for the first, where no line says SpaceAfter=No."""
        joined = {1}
        for cells in (line.split("\t") for line in self.lines):
            number = _NUMBER.fullmatch(cells[0].strip())
            if number and "SpaceAfter=No" in cells[-1].strip().split("|"):
                joined.add(int(number[1]) + 1)
        return [(word, place not in joined) for place, word in enumerate(self.words, start=1)]

    def renamed(self, labels: Mapping[str, str]) -> "Sentence":
        """The sentence with some labels renamed: ``{"PROPN": "NOUN"}``."""
        return replace(self, gold=self.gold and tuple(labels.get(label, label) for label in self.gold))


class SentenceTask(Task[Sentence]):
    """A task on the words of sentences, into which a line of plain text is split."""

    version = 2
    unit = "sentences"
    takes = TAKES
    row: ClassVar[Mapping[str, Any]] = {"tokens": list[str]}

    @classmethod
    def has_texts(cls, path: Path) -> bool:
        """Whether the table has a column ``text`` and none of words."""
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES or (suffix not in ROWS and cls.recognises(path)):
            return False
        return "text" in (names := columns(path)) and "tokens" not in names

    def reads_lines(self, train: Sequence[Sentence]) -> bool:
        """Yes: a line is cut into words."""
        return True

    def parse_row(self, row: Mapping[str, Any], source: str = "the row given") -> Sentence:
        """A row with ``tokens``, or else with ``text``, which is split as a line is."""
        if row.get("text_pair") is not None:
            raise BistilError(
                f"{source} has a 'text_pair', but {self.kind} is of single texts. Give {self.takes}."
            )
        if "tokens" in row or "text" not in row:
            return self.of_tokens(row, source)
        text = row["text"]
        if not isinstance(text, str):
            raise BistilError(f"{source}: 'text' is of the type {type(text).__name__}. Give a text.")
        return replace(self.parse(whole(text, source)), source=source)

    def of_tokens(self, row: Mapping[str, Any], source: str) -> Sentence:
        """An unlabelled sentence from a row with ``tokens``, where the task has such."""
        return super().parse_row(row, source)

    def for_student(
        self, lines: Sequence[str], train: Sequence[Sentence], model: Any, tokenizer: Any, wanted: int
    ) -> list[Sentence]:
        """The lines, cut into words; one that looks like JSON is passed over."""
        return self.with_any_label([self.parse(line) for line in lines if not line.startswith("{")])

    def with_any_label(self, examples: Sequence[Sentence]) -> list[Sentence]:
        """The sentences with the first label at each word."""
        return [replace(one, gold=(self.labels[0],) * len(one.words)) for one in examples]


class WordLabelling(SentenceTask):
    """One label for each word; a word is labelled at its first piece."""

    head = Head("transformers", "AutoModelForTokenClassification")
    outputs: ClassVar[Mapping[str, tuple[str, ...]]] = {"logits": ("tokens", "labels")}
    returns: ClassVar[Any] = TaggedText

    def features(self, examples: Sequence[Sentence], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        """One feature a window of whole words; ``labels``: label indices at first pieces, -100 elsewhere."""
        self.check(examples)
        index = {label: number for number, label in enumerate(self.labels)}
        features = []
        for window in windows(examples, tokenizer, max_length):
            labels = [IGNORED] * len(window.input_ids)
            gold = examples[window.example].gold or ()
            for word, position in enumerate(window.starts, start=window.first):
                labels[position] = index[gold[word]]
            features.append({**window.inputs(), "labels": labels})
        return features

    def collator(self, tokenizer: Any) -> Any:
        """Pads to the longest of the batch, labels with -100."""
        from transformers import DataCollatorForTokenClassification

        return DataCollatorForTokenClassification(tokenizer, label_pad_token_id=IGNORED)

    def predict(
        self, model: Any, tokenizer: Any, examples: Sequence[Sentence], batch_size: int = 32
    ) -> list[Prediction]:
        """The most probable label of every word; a sentence too long for the model is split between words."""
        cut = windows(examples, tokenizer, max_length(model, tokenizer))
        outputs = logits(model, tokenizer, [window.inputs() for window in cut], batch_size)
        labels: list[list[str]] = [[] for _ in examples]
        probabilities: list[list[float]] = [[] for _ in examples]
        for window, output in zip(cut, outputs, strict=True):
            likely = softmax(output[window.starts])
            labels[window.example] += [self.labels[index] for index in likely.argmax(-1)]
            probabilities[window.example] += likely.max(-1).tolist()
        return [Prediction(tuple(a), tuple(b)) for a, b in zip(labels, probabilities, strict=True)]

    def result(self, example: Sentence, prediction: Prediction) -> Result:
        """The words with their labels and offsets."""
        return tagged(example, prediction)


def tagged(example: Sentence, prediction: Prediction) -> TaggedText:
    """The words of a sentence with their labels, and their offsets in the text that was given."""
    text, placed = example.placed()
    found = zip(placed, prediction.labels, prediction.probabilities, strict=True)
    return TaggedText(text, tuple(Word(*place, tag, probability) for place, tag, probability in found))


@dataclass(frozen=True)
class Window:
    """Consecutive whole words of one example as model input.

    ``example`` is the number of the example, ``first`` that of the window's first word in it, ``starts`` are the
    positions of the words' first pieces; a word's pieces go on to the next word's start, the last one's to
    ``end``. Example: of "Evdeki kedi" in pieces <s>·Ev·deki·kedi·</s>, ``starts`` is [1, 3] and ``end`` is 4.
    """

    example: int
    first: int
    input_ids: list[int]
    starts: list[int]
    end: int

    def inputs(self) -> dict[str, list[int]]:
        """What the model is given."""
        return {"input_ids": self.input_ids, "attention_mask": [1] * len(self.input_ids)}


def windows(examples: Sequence[Sentence], tokenizer: Any, max_length: int) -> list[Window]:
    """Fill windows with as many whole words as fit; a word longer than a window keeps its beginning."""
    before, after = frame(tokenizer)
    free = room(max_length, len(before) + len(after))
    found = []
    for number, words in enumerate(_pieces(examples, tokenizer)):
        start = 0
        while start < len(words):
            ids = [*before]
            starts: list[int] = []
            for pieces in words[start : start + free]:
                pieces = pieces[:free]
                if len(ids) - len(before) + len(pieces) > free:
                    break
                starts.append(len(ids))
                ids += pieces
            found.append(Window(number, start, [*ids, *after], starts, len(ids)))
            start += len(starts)
    return found


def _pieces(examples: Sequence[Sentence], tokenizer: Any) -> Iterator[list[list[int]]]:
    """The piece ids of each word of each example, as they are in the plain sentence."""
    backend = bare(tokenizer)
    if _space_matters(backend):
        texts = [[f" {word}" if spaced else word for word, spaced in example.spaced()] for example in examples]
    else:
        texts = [list(example.words) for example in examples]
    with named_unless_read(tokenizer, texts, (example.source for example in examples)):
        for example, encoding in zip(examples, encodings(backend, texts), strict=True):
            words: list[list[int]] = [[] for _ in example.words]
            for piece, word in zip(encoding.ids, encoding.word_ids, strict=True):
                words[word].append(piece)
            yield [
                pieces or [placeholder(tokenizer, text, example.source)]
                for text, pieces in zip(example.words, words, strict=True)
            ]


def _space_matters(backend: Tokenizer) -> bool:
    """Whether a word has other pieces where a space is before it: in ModernBERT, but not in XLM-R or BERT.

    XLM-R's marks the beginning of each text that it is given as if a space were there.
    """
    words = backend.encode(["a", "a"], is_pretokenized=True, add_special_tokens=False)
    return bool(words.ids != backend.encode("a a", add_special_tokens=False).ids)


def split_words(line: str) -> list[str]:
    """Words at white space, the punctuation and symbols at their ends apart: "(Evet!)" → "(", "Evet", "!", ")"."""
    return [word for chunk in line.split() for word in _split(chunk)]


def _split(chunk: str) -> list[str]:
    parts: list[str] = []  # each a character with what belongs to it, so that no emoji is cut apart
    for character in chunk:
        if parts and (_joins(character) or parts[-1].endswith(_JOINER)):
            parts[-1] += character
        else:
            parts.append(character)
    inner = [not unicodedata.category(part[0]).startswith(("P", "S")) for part in parts]
    if not any(inner):
        return parts
    start, end = inner.index(True), len(inner) - inner[::-1].index(True)
    return [*parts[:start], "".join(parts[start:end]), *parts[end:]]


def _joins(character: str) -> bool:
    """Whether a character belongs to the one before it: marks, variation selectors, joiners, skin tones."""
    return unicodedata.category(character) in ("Cf", "Mn", "Me") or "\U0001f3fb" <= character <= "\U0001f3ff"


def is_iob2(label: str) -> bool:
    """Whether a label begins an entity, as those of IOB2 do: ``B-PER``."""
    return label.startswith("B-")


def blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Runs of non-empty lines, each with the number of its first line."""
    block: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def check_words(sentences: Sequence[Any], path: Path) -> None:
    """Raise where the words of a file are withheld, as in treebanks on texts that may not be passed on."""
    if all(word == "_" for sentence in sentences for word in sentence.words):
        raise BistilError(
            f"{path}: every word is '_': they are withheld, as the licence of the text demands. "
            "Get the text and put it in, as the README of the treebank says, or take another."
        )
