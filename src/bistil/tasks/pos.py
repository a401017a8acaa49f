"""Part-of-speech tagging, from CoNLL-U or rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from bistil.errors import BistilError
from bistil.tasks.rows import ROWS, columns
from bistil.tasks.task import Prediction, gold_of
from bistil.tasks.treebank import SUFFIXES, UPOS, XPOS, filled, from_row, raw_lines, read_treebank
from bistil.tasks.words import Sentence, WordLabelling, is_iob2

_UNIVERSAL = "ADJ, ADP, ADV, AUX, CCONJ, DET, INTJ, NOUN, NUM, PART, PRON, PROPN, PUNCT, SCONJ, SYM, VERB, X"


class PartOfSpeech(WordLabelling):
    """One universal tag (UPOS) for each word."""

    kind = "pos"
    title = "part-of-speech"
    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES
    guessed_from: ClassVar[tuple[str, ...]] = (".conllu",)
    column: ClassVar[int] = UPOS

    @classmethod
    def read(cls, path: Path, *, labelled: bool = True) -> list[Sentence]:
        """The sentences of a CoNLL-U file, or of rows (.jsonl, .parquet) with ``tokens`` and ``upos`` or ``xpos``.

        Multi-word tokens and empty nodes of CoNLL-U are passed over.
        """
        sentences = read_treebank(path, [cls.column] if labelled else [])
        return [Sentence(one.words, one.column(cls.column), one.lines, one.source) for one in sentences]

    @classmethod
    def columns(cls, path: Path) -> tuple[str, ...]:
        """Those of rows."""
        return columns(path) if path.suffix.lower() in ROWS else ()

    @classmethod
    def fits(cls, architecture: str, labels: Sequence[str]) -> bool:
        """Whether a model labels tokens, and not with IOB2 tags."""
        return architecture.endswith("ForTokenClassification") and not any(map(is_iob2, labels))

    @classmethod
    def from_examples(cls, train: Sequence[Sentence]) -> Self:
        """The task whose labels are those of the training examples; a tag that is not universal is an error."""
        for example in train if cls.column == UPOS else ():
            if unknown := set(gold_of(example)).difference(_UNIVERSAL.split(", ")):
                raise BistilError(
                    f"{example.source}: {min(unknown)!r} is not one of the universal tags, {_UNIVERSAL}. Correct "
                    "it, map it (label_map, init --map CONJ=CCONJ), or put tags of another set into column 5 and "
                    "take the kind xpos."
                )
        return super().from_examples(train)

    def parse(self, line: str) -> Sentence:
        """A raw line, split at white space and at the punctuation around words: "Evet!" gives two words."""
        words, lines = raw_lines(line)
        return Sentence(words, lines=lines, plain=line)

    def of_tokens(self, row: Mapping[str, Any], source: str) -> Sentence:
        """A row with ``tokens``."""
        one = from_row(row, source)
        return Sentence(one.words, None, one.lines, source)

    def render(self, example: Sentence, prediction: Prediction) -> str:
        """The sentence's CoNLL-U with the predicted tags in their column, all else as it came."""

        def fill(word: int, columns: list[str]) -> None:
            columns[self.column] = prediction.labels[word]

        return filled(example.lines, fill)


class LanguageSpecificPartOfSpeech(PartOfSpeech):
    """One tag of the treebank's own tag set (XPOS) for each word."""

    kind = "xpos"
    guessed_from = ()
    column = XPOS

    @classmethod
    def fits(cls, architecture: str, labels: Sequence[str]) -> bool:
        """Never: tags of an unknown set are taken for `PartOfSpeech`."""
        return False
