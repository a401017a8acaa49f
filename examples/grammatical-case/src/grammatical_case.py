"""Grammatical case: for each word of a treebank the case that its features name, "_" where it has none."""

from collections.abc import Sequence
from pathlib import Path

from bistil.tasks import PartOfSpeech
from bistil.tasks.treebank import read_treebank
from bistil.tasks.words import Sentence

FEATURES = 5  # the column of CoNLL-U, counted from 0


class GrammaticalCase(PartOfSpeech):
    """One case for each word, such as ``Case=Loc``."""

    kind = "case"
    title = "grammatical-case"
    guessed_from = ()  # a .conllu file is taken to be for POS tagging: say --kind case
    column = FEATURES  # which predictions replace
    unmarked = "_"

    @classmethod
    def read(cls, path: Path, *, labelled: bool = True) -> list[Sentence]:
        """The sentences of a CoNLL-U file with the case of each word."""
        return [
            Sentence(one.words, tuple(map(_case, one.rows)) if labelled else None, one.lines, one.source)
            for one in read_treebank(path)
        ]


def _case(row: Sequence[str]) -> str:
    return next((feature for feature in row[FEATURES].split("|") if feature.startswith("Case=")), "_")
