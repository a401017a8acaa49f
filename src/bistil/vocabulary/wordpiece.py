"""The WordPiece model inside a tokenizer.json: what it needs to keep, and how it is cut."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from bistil.vocabulary.pieces import symbols
from bistil.vocabulary.select import Ids


class WordPiece:
    """mBERT, DistilmBERT: the longest piece first, from left to right (Wu et al. 2016).

    What is the longest piece in the whole vocabulary is the longest among the kept ones, so that
    a kept piece needs no other.
    """

    def __init__(self, specification: dict[str, Any]) -> None:
        self.model = specification["model"]
        self.vocabulary: dict[str, int] = self.model["vocab"]
        self.unknown = self.vocabulary.get(self.model["unk_token"])

    def required(self, counted: Iterable[int]) -> set[int]:
        """Ids without which text of the pieces `counted` could gain an unknown token.

        They are the single-character pieces of every character that occurs, ``c`` where it starts
        a word and ``##c`` where it continues one. Where the vocabulary lacks one of them, the
        search, which never turns back, could end in front of it: then all of `counted` stays.
        """
        ids = set(counted)
        split = partial(symbols, prefix=self.model["continuing_subword_prefix"])
        needed = {symbol for piece, number in self.vocabulary.items() if number in ids for symbol in split(piece)}
        if needed <= self.vocabulary.keys():
            return {self.vocabulary[symbol] for symbol in needed}
        return ids

    def parts(self, number: int) -> set[int]:
        """None: a piece is found by itself."""
        return set()

    def trim(self, ids: Ids) -> dict[str, Any]:
        """The model with the pieces of `ids` alone."""
        rank = {old: new for new, old in enumerate(ids.tolist())}
        vocabulary = {piece: rank[old] for piece, old in self.vocabulary.items() if old in rank}
        return {**self.model, "vocab": vocabulary}
