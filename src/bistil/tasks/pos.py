"""Part-of-speech tagging, from CoNLL-U."""

from pathlib import Path
from typing import ClassVar

from bistil.tasks.task import Prediction
from bistil.tasks.treebank import UPOS, XPOS, filled, raw_lines, read_treebank
from bistil.tasks.words import Sentence, WordLabelling


class PartOfSpeech(WordLabelling):
    """One universal tag (UPOS) for each word."""

    kind = "pos"
    column: ClassVar[int] = UPOS

    @classmethod
    def read(cls, path: Path, *, labelled: bool = True) -> list[Sentence]:
        """The sentences of a CoNLL-U file; multi-word tokens and empty nodes are passed over."""
        return [Sentence(one.words, one.column(cls.column), one.lines, one.source) for one in read_treebank(path)]

    def parse(self, line: str) -> Sentence:
        """A raw line, split at white space and at the punctuation around words: "Evet!" gives two words."""
        words, lines = raw_lines(line)
        return Sentence(words, lines=lines)

    def render(self, example: Sentence, prediction: Prediction) -> str:
        """The sentence's CoNLL-U with the predicted tags in their column, all else as it came."""

        def fill(word: int, columns: list[str]) -> None:
            columns[self.column] = prediction.labels[word]

        return filled(example.lines, fill)


class LanguageSpecificPartOfSpeech(PartOfSpeech):
    """One tag of the treebank's own tag set (XPOS) for each word."""

    kind = "xpos"
    column = XPOS
