"""The Unigram model inside a tokenizer.json: what it needs to keep, and how it is cut."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from bistil.vocabulary.pieces import covering, required_always
from bistil.vocabulary.select import Ids


class Unigram:
    """XLM-R, mDeBERTa, multilingual-E5: the most probable segmentation (Kudo 2018)."""

    def __init__(self, specification: dict[str, Any]) -> None:
        self.model = specification["model"]
        self.unknown: int | None = self.model["unk_id"]
        self.always = required_always(specification)

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Piece to id."""
        return {piece: number for number, (piece, _) in enumerate(self.model["vocab"])}

    def required(self, counted: Iterable[int]) -> set[int]:
        """Ids without which text of the pieces `counted` could gain an unknown token.

        They are ``▁``, the single-character piece of every character that occurs, all bytes of a byte-level
        model or of one with byte fallback, and the piece of the lowest score: the unknown token's score is
        10 below it (as the `tokenizers` library has it), so that the best segmentation of a text stays
        the best whenever all its pieces are kept. A character that has no piece of its own keeps
        all the pieces that cover it in the text.
        """
        kept = {self.vocabulary[piece] for piece in self.always & self.vocabulary.keys()}
        kept.add(int(np.argmin([score for _, score in self.model["vocab"]])))
        return kept.union(*map(self.parts, counted))

    def parts(self, number: int) -> set[int]:
        """The single-character pieces of a piece: without one, its character could be unknown instead."""
        return covering(self.model["vocab"][number][0], self.vocabulary)

    def trim(self, ids: Ids) -> dict[str, Any]:
        """The model with the pieces of `ids` alone, in their order and with their scores."""
        kept = ids[ids < len(self.vocabulary)]  # ids beyond are added tokens, which are not the model's
        return {
            **self.model,
            "vocab": [self.model["vocab"][number] for number in kept.tolist()],
            "unk_id": None if self.unknown is None else int(np.searchsorted(kept, self.unknown)),
        }
