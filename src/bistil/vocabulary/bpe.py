"""The BPE model inside a tokenizer.json, of characters or of bytes: what it needs to keep, and how it is cut."""

from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from typing import Any

from bistil.vocabulary.pieces import covering, required_always, symbols
from bistil.vocabulary.select import Ids


class Bpe:
    """mmBERT, ModernBERT, EuroBERT: characters or bytes, merged in the order of learning (Sennrich et al. 2016).

    A text goes through the same merges as long as each of them is kept, because fewer others
    are there to come before it.
    """

    def __init__(self, specification: dict[str, Any]) -> None:
        self.model = specification["model"]
        self.vocabulary: dict[str, int] = self.model["vocab"]
        self.pieces = {number: piece for piece, number in self.vocabulary.items()}
        self.unknown = self.vocabulary.get(self.model["unk_token"])
        self.prefix = self.model["continuing_subword_prefix"] or ""
        self.suffix = self.model["end_of_word_suffix"] or ""
        self.always = required_always(specification)

    def required(self, counted: Iterable[int]) -> set[int]:
        """Ids without which text of the pieces `counted` could gain an unknown token.

        They are ``▁``, the single-character piece of every character that occurs, and all bytes
        of a byte-level model or of one with byte fallback.
        """
        kept = {self.vocabulary[piece] for piece in self.always & self.vocabulary.keys()}
        return kept.union(
            *(covering(self.pieces[number], self.vocabulary, self.prefix, self.suffix) for number in counted)
        )

    def parts(self, number: int) -> set[int]:
        """The merge ancestors: every piece on the way from the characters to a piece."""
        return {self.vocabulary[part] for part in self._derivation(self.pieces[number])}

    def trim(self, ids: Ids) -> dict[str, Any]:
        """The model with the pieces of `ids` alone, and the merges among them in their order."""
        rank = {old: new for new, old in enumerate(ids.tolist())}
        vocabulary = {piece: rank[old] for piece, old in self.vocabulary.items() if old in rank}
        merges = [
            [left, right]
            for left, right in self.model["merges"]
            if {left, right, self._merged(left, right)} <= vocabulary.keys()
        ]
        return {**self.model, "vocab": vocabulary, "merges": merges}

    @cached_property
    def _ranks(self) -> dict[tuple[str, str], int]:
        return {(left, right): rank for rank, (left, right) in enumerate(self.model["merges"])}

    def _derivation(self, piece: str) -> set[str]:
        """The pieces that appear while the characters of `piece` are merged, the first pair learned first.

        Several merges can have the same outcome; this finds the one which happens. Empty if
        `piece` is not what they end in: such a piece is an added token, or a word that is looked up whole.
        """
        parts = symbols(piece, self.prefix, self.suffix)
        seen = set(parts)
        while True:
            pairs = [(self._ranks[pair], at) for at, pair in enumerate(pairwise(parts)) if pair in self._ranks]
            if not pairs:
                return seen if parts == [piece] and seen <= self.vocabulary.keys() else set()
            _, at = min(pairs)
            parts[at : at + 2] = [self._merged(parts[at], parts[at + 1])]
            seen.add(parts[at])

    def _merged(self, left: str, right: str) -> str:
        return left + right.removeprefix(self.prefix)
