"""Masked-language-model corruption that repeats exactly."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

from bistil.corpora.draws import key, uniform
from bistil.corpora.tokenizers import number_of_ids, unused_ids
from bistil.errors import BistilError

_PURPOSE = 1


@dataclass(frozen=True)
class Masking:
    """Of a share of the tokens, 80 % are masked, 10 % random and 10 % kept (Devlin et al. 2019, section 3.1)."""

    mask_token: int  # -1 where there is none, and so nothing is masked
    special: tuple[int, ...]
    vocabulary: int  # ids
    share: float = 0.15
    unused: tuple[int, ...] = ()  # ids without a token, ascending, of which none is drawn

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, share: float = 0.15) -> "Masking":
        """The masking for a tokenizer; a ``share`` of 0 leaves every token as it is.

        A share outside of [0, 1], or above 0 without a mask token, raises `BistilError`.
        """
        if not 0 <= share <= 1:
            raise BistilError(f"The share of masked tokens is {share}. Give a number from 0 to 1, such as 0.15.")
        if share and tokenizer.mask_token_id is None:
            raise BistilError("The tokenizer has no mask token. Mask nothing (share 0), or take another teacher.")
        mask = -1 if tokenizer.mask_token_id is None else tokenizer.mask_token_id
        unused = tuple(unused_ids(tokenizer))
        return cls(mask, tuple(tokenizer.all_special_ids), number_of_ids(tokenizer), share, unused)

    def __call__(
        self, tokens: npt.NDArray[np.int32], seed: int, items: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """A corrupted copy of ``tokens`` [blocks, block], special tokens untouched.

        What is drawn for a row depends on ``seed`` and the row's number in ``items`` [blocks] alone.
        """
        corrupted = tokens.astype(np.int64)
        if not self.share:
            return corrupted
        draws = _draws(tokens, seed, items)
        row, column = np.nonzero(draws < self.share)
        before = corrupted[row, column]
        # What chose a token is uniform below the share, and so serves to say what becomes of it.
        kind = draws[row, column] / self.share
        used = self.vocabulary - len(self.unused)
        random = np.minimum((kind - 0.9) * 10 * used, used - 1).astype(np.int64)
        # The r-th id that is used is r + n, where n of the unused ones come before it.
        gaps = np.array(self.unused, dtype=np.int64) - np.arange(len(self.unused))
        random += np.searchsorted(gaps, random, side="right")
        after = np.where(kind < 0.8, self.mask_token, np.where(kind < 0.9, before, random))
        corrupted[row, column] = np.where(np.isin(before, self.special), before, after)
        return corrupted

    def labels(
        self, tokens: npt.NDArray[np.int32], seed: int, items: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """What a masked language model has to find: the tokens that a call with the same arguments chose.

        −100, which losses ignore, for all others.
        """
        chosen = (_draws(tokens, seed, items) < self.share) & ~np.isin(tokens, self.special)
        return np.where(chosen, tokens, -100).astype(np.int64)


def _draws(tokens: npt.NDArray[np.int32], seed: int, items: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    width = tokens.shape[1]
    counters = items[:, None] * width + np.arange(width)
    return uniform(key(seed, _PURPOSE), counters.astype(np.uint64))
