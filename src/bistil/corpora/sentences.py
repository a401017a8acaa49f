"""Unlabelled text as whole lines, sentences or passages, for what is learned of a text as a whole."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from bistil.corpora.blocks import Blocks, Rows
from bistil.corpora.encoding import encoded
from bistil.corpora.masking import Masking
from bistil.corpora.mixed import Item, visited
from bistil.corpora.tokenizers import frame, room
from bistil.errors import BistilError

FILL = -1  # behind the tokens of a row; no token has this id
_POOL = 16  # batches that are made at once, of texts sorted by length
_ORDER = 4


def sentence_rows(
    tokenizer: PreTrainedTokenizerFast, lines: Iterable[str], prompts: Sequence[str], length: int, language: str
) -> Iterator[Rows]:
    """A row [length] for each line: special tokens around prompt and line, cut at ``length``, then `FILL`.

    The prompts take turns. Lines of which the tokenizer leaves nothing are left out. Text of fewer than two lines
    raises `BistilError` at its end. Example: with XLM-R's ``<s>`` 0 and ``</s>`` 2, a line of the one token 93 and
    ``length=5`` the row ``[0, 93, 2, -1, -1]``.
    """
    before, after = frame(tokenizer)
    body = room(length, len(before) + len(after))
    prompted = (prompt + line for line, prompt in zip(lines, cycle(prompts or [""]), strict=False))
    count = 0
    for encodings in encoded(tokenizer, prompted):
        texts = [[*before, *encoding.ids[:body], *after] for encoding in encodings if encoding.ids]
        rows = np.full((len(texts), length), FILL, dtype=np.int32)
        for row, text in zip(rows, texts, strict=True):
            row[: len(text)] = text
        count += len(rows)
        if len(rows):
            yield rows
    if count < 2:
        raise BistilError(f"The {language} text has {count} lines. Give two at least; many thousands are usual.")


class MixedSentences(Dataset[Item]):
    """Rows of `sentence_rows` for training; the languages take turns, each reshuffled every epoch.

    ``batch`` are the texts of a step over all processes, ``batches`` the steps. Like lengths share a batch, so
    that little is padded: batches are cut from a pool of 16 batches sorted by length, then shuffled. A batch mixes
    the languages, so that texts are compared over them, or is ``monolingual``. ``row_tokens`` is the mean number
    of tokens of a row.

    Item i is ``{"input_ids": int64 [length]}``, of a monolingual batch with ``"language": int``, too. It is the
    same whenever it is asked for, so a resumed run sees what the interrupted one would have seen.
    """

    def __init__(
        self,
        sentences: Mapping[str, Blocks],
        masking: Masking,
        *,
        batch: int,
        batches: int,
        seed: int,
        row_tokens: float,
        monolingual: bool = False,
    ) -> None:
        self.languages, self.row_tokens = tuple(sentences), row_tokens
        self._sentences, self._masking = tuple(sentences.values()), filled(masking)
        self._batch, self._batches, self._seed, self._monolingual = batch, batches, seed, monolingual
        self._pool: tuple[int, Rows, Any] | None = None  # the last that was asked for

    def __len__(self) -> int:
        return self._batch * self._batches

    def __getitem__(self, item: int) -> Item:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: Sequence[int]) -> list[Item]:
        """Several items at once, as torch's loader asks for the items of a batch."""
        found: list[Item] = []
        for item in items:
            number, place = divmod(item, _POOL * self._batch)
            rows, languages = self._pooled(number)
            input_ids = self._masking(rows[place : place + 1], self._seed, np.array([item]))[0]
            found.append({"input_ids": torch.from_numpy(input_ids)})
            if self._monolingual:
                found[-1]["language"] = int(languages[place])
        return found

    def _pooled(self, number: int) -> tuple[Rows, Any]:
        """The rows of a pool in training order, and their languages."""
        if self._pool is None or self._pool[0] != number:
            first, size = number * _POOL * self._batch, _POOL * self._batch
            slots = np.arange(first, min(first + size, len(self)))
            together = self._batch if self._monolingual else 1  # slots of a language before the next one's
            turns, places = np.divmod(slots, together)
            rounds, languages = np.divmod(turns, len(self.languages))
            rows = np.empty((len(slots), self._sentences[0].shape[1]), dtype=np.int32)
            for language in np.unique(languages).tolist():
                own = languages == language
                positions = rounds[own] * together + places[own]
                rows[own] = visited(self._sentences[language], positions, self._seed, language)
            lengths = (rows != FILL).sum(1)
            like = np.lexsort((lengths, languages) if self._monolingual else (lengths,))
            generator = np.random.default_rng([self._seed, _ORDER, number])
            order = generator.permutation(like.reshape(-1, self._batch)).ravel()
            self._pool = number, rows[order], languages[order]
        return self._pool[1:]


def mean_length(rows: Blocks) -> float:
    """The mean number of tokens of rows of `sentence_rows`, by 4,096 of them, evenly spread, if there are more."""
    some = rows[np.unique(np.linspace(0, len(rows) - 1, 4096).round().astype(np.int64))]
    return float((some != FILL).sum(1).mean())


def filled(masking: Masking) -> Masking:
    """The same masking for rows of `sentence_rows`, which leaves what fills them up."""
    return replace(masking, special=(*masking.special, FILL))


def model_inputs(rows: Tensor, padding: int) -> dict[str, Tensor]:
    """Rows [texts, length] of `sentence_rows` as a model takes them, cut to the longest.

    Example: ``model_inputs(torch.tensor([[0, 93, 2, -1]]), 1)`` is ``{"input_ids": [[0, 93, 2]], "attention_mask":
    [[1, 1, 1]]}``.
    """
    real = rows != FILL
    longest = int(real.sum(1).max())
    return {
        "input_ids": rows.masked_fill(~real, padding)[:, :longest],
        "attention_mask": real[:, :longest].long(),
    }
