"""Part-of-speech tagging with universal tags, from CoNLL-U."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from conllu.exceptions import ParseException
from conllu.parser import parse_line
from transformers import AutoModelForTokenClassification, DataCollatorForTokenClassification

from bistil.errors import BistilError
from bistil.tasks.task import Prediction, Task, logits, max_length, read_text

FIELDS = ("id", "form", "lemma", "upos")
IGNORED = -100  # the label index that the cross-entropy of torch and transformers passes over


@dataclass(frozen=True)
class Example:
    """The words of one sentence, their tags (None when any is missing), and its lines of CoNLL-U."""

    words: tuple[str, ...]
    gold: tuple[str, ...] | None = None
    lines: tuple[str, ...] = ()
    source: str = "the text given"

    @property
    def text(self) -> str:
        """The words, joined by spaces."""
        return " ".join(self.words)


class PartOfSpeech(Task[Example]):
    """One universal tag (UPOS) for each word; a word is labelled at its first piece."""

    kind = "pos"
    head = AutoModelForTokenClassification

    @classmethod
    def read(cls, path: Path) -> list[Example]:
        """The sentences of a CoNLL-U file; multi-word tokens and empty nodes are passed over."""
        if path.suffix.lower() != ".conllu":
            raise BistilError(f"{path}: tags are read from .conllu, not from {path.suffix!r}.")
        examples = [_example(lines, path, first) for first, lines in _blocks(read_text(path))]
        if not examples:
            raise BistilError(f"{path} holds no sentences. Give a file with at least one.")
        return examples

    def features(self, examples: Sequence[Example], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        """One feature a window of whole words; ``labels``: tag indices at first pieces, -100 elsewhere."""
        self.check(examples)
        index = {label: number for number, label in enumerate(self.labels)}
        features = []
        for window in _windows(examples, tokenizer, max_length):
            labels = [IGNORED] * len(window.input_ids)
            tags = examples[window.example].gold or ()
            for word, position in enumerate(window.positions, start=window.first):
                labels[position] = index[tags[word]]
            features.append({**window.inputs(), "labels": labels})
        return features

    def collator(self, tokenizer: Any) -> Any:
        """Pads to the longest of the batch, labels with -100."""
        return DataCollatorForTokenClassification(tokenizer, label_pad_token_id=IGNORED)

    def predict(
        self, model: Any, tokenizer: Any, examples: Sequence[Example], batch_size: int = 32
    ) -> list[Prediction]:
        """The most probable tag of every word; a sentence too long for the model is split between words."""
        windows = _windows(examples, tokenizer, max_length(model, tokenizer))
        outputs = logits(model, tokenizer, [window.inputs() for window in windows], batch_size)
        labels: list[list[str]] = [[] for _ in examples]
        probabilities: list[list[float]] = [[] for _ in examples]
        for window, output in zip(windows, outputs, strict=True):
            best = torch.softmax(output[window.positions], -1).max(-1)
            labels[window.example] += [self.labels[index] for index in best.indices.tolist()]
            probabilities[window.example] += best.values.tolist()
        return [Prediction(tuple(a), tuple(b)) for a, b in zip(labels, probabilities, strict=True)]

    def parse(self, line: str) -> Example:
        """A raw line, split at white space and at the punctuation around words: "Evet!" gives two words."""
        words = [word for chunk in line.split() for word in _split(chunk)]
        rows = []
        position = 0
        for number, word in enumerate(words, start=1):
            position = line.index(word, position) + len(word)
            joined = number < len(words) and not line[position].isspace()
            rows.append("\t".join([str(number), word, *"_" * 7, "SpaceAfter=No" if joined else "_"]))
        return Example(tuple(words), lines=(f"# text = {line.strip()}", *rows))

    def render(self, example: Example, prediction: Prediction) -> str:
        """The sentence's CoNLL-U with the predicted tags as UPOS, all else as it came, and an empty line."""
        tags = iter(prediction.labels)
        lines = []
        for line in example.lines:
            columns = line.split("\t")
            if columns[0].strip().isdecimal():
                columns[3] = next(tags)
            lines.append("\t".join(columns))
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Window:
    """Consecutive whole words of one example as model input; `positions` are those of first pieces."""

    example: int
    first: int
    input_ids: list[int]
    positions: list[int]

    def inputs(self) -> dict[str, list[int]]:
        return {"input_ids": self.input_ids, "attention_mask": [1] * len(self.input_ids)}


def _windows(examples: Sequence[Example], tokenizer: Any, max_length: int) -> list[_Window]:
    """Fill windows with as many whole words as fit; a word longer than a window keeps its beginning."""
    room = max_length - tokenizer.num_special_tokens_to_add()
    windows = []
    for number, words in enumerate(_pieces(examples, tokenizer)):
        start = 0
        while start < len(words):
            ids = [tokenizer.cls_token_id]
            positions: list[int] = []
            for pieces in words[start:]:
                pieces = pieces[:room]
                if len(ids) - 1 + len(pieces) > room:
                    break
                positions.append(len(ids))
                ids += pieces
            windows.append(_Window(number, start, [*ids, tokenizer.sep_token_id], positions))
            start += len(positions)
    return windows


def _pieces(examples: Sequence[Example], tokenizer: Any) -> Iterator[list[list[int]]]:
    """The piece ids of each word of each example; a word that the tokenizer leaves nothing of is unknown."""
    filled = [list(example.words) or [""] for example in examples]
    if not filled:
        return
    encoded = tokenizer(filled, is_split_into_words=True, add_special_tokens=False, verbose=False)
    for number, example in enumerate(examples):
        words: list[list[int]] = [[] for _ in example.words]
        for piece, word in zip(encoded["input_ids"][number], encoded.word_ids(number), strict=True):
            words[word].append(piece)
        yield [pieces or [tokenizer.unk_token_id] for pieces in words]


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Runs of non-empty lines, each with the number of its first line."""
    block: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _example(lines: list[str], path: Path, first: int) -> Example:
    words: list[str] = []
    tags: list[str] = []
    for number, line in enumerate(lines, start=first):
        if line.startswith("#"):
            continue
        source = f"{path}, line {number}"
        columns = line.count("\t") + 1
        if columns != 10:
            raise BistilError(f"{source} has {columns} columns. CoNLL-U has ten, separated by tabs.")
        try:
            token = parse_line(line, FIELDS)
        except ParseException as error:
            raise BistilError(f"{source}: {error}.") from error
        if not isinstance(token["id"], int):
            continue
        if token["id"] != len(words) + 1:
            raise BistilError(
                f"{source}: word {token['id']} comes where word {len(words) + 1} should. "
                "Number words from 1, and put an empty line after each sentence."
            )
        words.append(token["form"])
        tags.append(token["upos"])
    gold = None if "_" in tags else tuple(tags)
    return Example(tuple(words), gold, tuple(lines), f"{path}, sentence at line {first}")


def _split(chunk: str) -> list[str]:
    """Take punctuation and symbols off both ends, a character each: "(Evet!)" → "(", "Evet", "!", ")"."""
    inner = [not unicodedata.category(character).startswith(("P", "S")) for character in chunk]
    if not any(inner):
        return list(chunk)
    start, end = inner.index(True), len(inner) - inner[::-1].index(True)
    return [*chunk[:start], chunk[start:end], *chunk[end:]]
