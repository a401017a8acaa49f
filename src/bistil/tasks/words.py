"""Sentences of words, cut into model inputs between words, and tasks that give each word one label."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForTokenClassification, DataCollatorForTokenClassification

from bistil.errors import BistilError
from bistil.tasks.task import Prediction, Task, logits, max_length

IGNORED = -100  # the label index that the cross-entropy of torch and transformers passes over


@dataclass(frozen=True)
class Sentence:
    """The words of one sentence, a gold label each (None when any is missing), and its lines in the file."""

    words: tuple[str, ...]
    gold: tuple[str, ...] | None = None
    lines: tuple[str, ...] = ()
    source: str = "the text given"

    @property
    def text(self) -> str:
        """The words, joined by spaces."""
        return " ".join(self.words)

    def renamed(self, labels: Mapping[str, str]) -> "Sentence":
        """The sentence with some labels called otherwise: ``{"PROPN": "NOUN"}``."""
        return replace(self, gold=self.gold and tuple(labels.get(label, label) for label in self.gold))


class WordLabelling(Task[Sentence]):
    """One label for each word; a word is labelled at its first piece."""

    head = AutoModelForTokenClassification

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
        return DataCollatorForTokenClassification(tokenizer, label_pad_token_id=IGNORED)

    def reads_lines(self, train: Sequence[Sentence]) -> bool:
        """Yes: a line is cut into words."""
        return True

    def self_labelled(
        self, model: Any, tokenizer: Any, lines: Sequence[str], train: Sequence[Sentence]
    ) -> list[Sentence]:
        """The lines, cut into words, with the model's labels."""
        return self_labelled(self, model, tokenizer, lines)

    def predict(
        self, model: Any, tokenizer: Any, examples: Sequence[Sentence], batch_size: int = 32
    ) -> list[Prediction]:
        """The most probable label of every word; a sentence too long for the model is split between words."""
        cut = windows(examples, tokenizer, max_length(model, tokenizer))
        outputs = logits(model, tokenizer, [window.inputs() for window in cut], batch_size)
        labels: list[list[str]] = [[] for _ in examples]
        probabilities: list[list[float]] = [[] for _ in examples]
        for window, output in zip(cut, outputs, strict=True):
            best = torch.softmax(output[window.starts], -1).max(-1)
            labels[window.example] += [self.labels[index] for index in best.indices.tolist()]
            probabilities[window.example] += best.values.tolist()
        return [Prediction(tuple(a), tuple(b)) for a, b in zip(labels, probabilities, strict=True)]


def self_labelled(task: Task[Sentence], model: Any, tokenizer: Any, lines: Sequence[str]) -> list[Sentence]:
    """Lines of plain text as sentences that have a model's labels; a line that looks like JSON is passed over."""
    sentences = [task.parse(line) for line in lines if not line.startswith("{")]
    predictions = task.predict(model, tokenizer, sentences)
    return [replace(one, gold=found.labels) for one, found in zip(sentences, predictions, strict=True)]


@dataclass(frozen=True)
class Window:
    """Consecutive whole words of one example as model input.

    ``example`` is the number of the example, ``first`` that of the window's first word in it, ``starts`` are the
    positions of the words' first pieces; a word's pieces go on to the next word's start, the last one's to the
    closing special token. Example: of "Evdeki kedi" in pieces Ev·deki·kedi, ``starts`` is [1, 3].
    """

    example: int
    first: int
    input_ids: list[int]
    starts: list[int]

    def inputs(self) -> dict[str, list[int]]:
        """What the model is given."""
        return {"input_ids": self.input_ids, "attention_mask": [1] * len(self.input_ids)}


def windows(examples: Sequence[Sentence], tokenizer: Any, max_length: int) -> list[Window]:
    """Fill windows with as many whole words as fit; a word longer than a window keeps its beginning."""
    room = max_length - tokenizer.num_special_tokens_to_add()
    found = []
    for number, words in enumerate(_pieces(examples, tokenizer)):
        start = 0
        while start < len(words):
            ids = [tokenizer.cls_token_id]
            starts: list[int] = []
            for pieces in words[start:]:
                pieces = pieces[:room]
                if len(ids) - 1 + len(pieces) > room:
                    break
                starts.append(len(ids))
                ids += pieces
            found.append(Window(number, start, [*ids, tokenizer.sep_token_id], starts))
            start += len(starts)
    return found


def _pieces(examples: Sequence[Sentence], tokenizer: Any) -> Iterator[list[list[int]]]:
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


def split_words(line: str) -> list[str]:
    """Words at white space, the punctuation and symbols at their ends apart: "(Evet!)" → "(", "Evet", "!", ")"."""
    return [word for chunk in line.split() for word in _split(chunk)]


def _split(chunk: str) -> list[str]:
    inner = [not unicodedata.category(character).startswith(("P", "S")) for character in chunk]
    if not any(inner):
        return list(chunk)
    start, end = inner.index(True), len(inner) - inner[::-1].index(True)
    return [*chunk[:start], chunk[start:end], *chunk[end:]]


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
