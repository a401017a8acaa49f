"""Named-entity recognition with IOB2 tags."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Self

from bistil.corpora.strict import whole
from bistil.errors import BistilError
from bistil.runtime.results import Entity, EntityText
from bistil.tasks.iob2 import OUTSIDE, TaggedSentence, has_tags, read_lines, read_rows_of_words, sentence_of
from bistil.tasks.rows import ROWS, columns
from bistil.tasks.task import Prediction, gold_of
from bistil.tasks.words import Sentence, WordLabelling, check_words, is_iob2, split_words, tagged

# Other models end an entity with E- or L-, and tag one of a single word S- or U- (BIOES, BILOU).
_ENTITY = re.compile(r"([BIELSU])-(.+)")


class NamedEntities(WordLabelling):
    """Entities as spans of words, scored by the spans and types that are exactly right."""

    kind = "ner"
    title = "named-entity"
    returns = EntityText
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
        sentences: list[Sentence] = list(
            read_rows_of_words(path, labelled=labelled) if rows else read_lines(path, labelled=labelled)
        )
        if not sentences:
            raise BistilError(f"{path} holds no sentences. Give a file with at least one.")
        check_words(sentences, path)
        return sentences

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether most lines of the first sentences have a word and a tag, or a number, a word and a tag.

        The others are for `read` to name.
        """
        return has_tags(path)

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

    def for_student(
        self, lines: Sequence[str], train: Sequence[Sentence], model: Any, tokenizer: Any, wanted: int
    ) -> list[Sentence]:
        """The lines in which the model finds an entity: many without make a student miss them."""
        sentences = super().for_student(lines, train, model, tokenizer, wanted)
        tagged = zip(sentences, self.predict(model, tokenizer, sentences), strict=True)
        return [sentence for sentence, found in tagged if spans(found.labels)]

    def check(self, examples: Sequence[Sentence]) -> None:
        """Raise where a sentence is unlabelled or has an entity of a type that the training data did not have."""
        known = dict.fromkeys(label[2:] for label in self.labels if _ENTITY.fullmatch(label))
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

    def of_tokens(self, row: Mapping[str, Any], source: str) -> Sentence:
        """A row with ``tokens``."""
        return sentence_of(row, source, labelled=False)

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

    An I- tag that continues no entity of its type begins one, as in the CoNLL 2003 evaluation and in seqeval, and
    so does an E- or L- tag; a label of another form is outside.
    Example: ``spans(["B-PER", "I-PER", "O", "I-LOC"])`` is ``[(0, 2, "PER"), (3, 4, "LOC")]``.
    """
    found: list[tuple[int, int, str]] = []
    going = ""  # the type of the entity that the next word may continue
    for word, tag in enumerate(tags):
        entity = _ENTITY.fullmatch(tag)
        place, kind = entity.groups() if entity else (OUTSIDE, "")
        if entity and place in "IEL" and kind == going:
            found[-1] = (found[-1][0], word + 1, kind)
        elif entity:
            found.append((word, word + 1, kind))
        going = kind if place in "BI" else ""
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
