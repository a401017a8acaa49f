"""The blocks of several languages in training order: monolingual batches that repeat exactly."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from bistil.corpora.blocks import Blocks, Rows
from bistil.corpora.draws import key, shuffled, words
from bistil.corpora.masking import Masking
from bistil.errors import BistilError

_ORDER, _LANGUAGES = 2, 3

Item = dict[str, Any]


class MixedBlocks(Dataset[Item]):
    """Blocks for training: every batch in one language, each language reshuffled every epoch.

    ``batch`` are the blocks of a step over all processes, ``batches`` the steps. The languages take turns; with a
    ``temperature`` T each batch draws its language with p ∝ tokens^(1/T) (XLM, Lample and Conneau 2019, section
    3.1, where 1/T = 0.5), so that 1 is proportional to the sizes of the corpora and large values balance them.

    Item i is ``{"input_ids": int64 [block], "language": int}``, an index into ``languages``. It is the same
    whenever, by whichever process and in whatever company it is asked for, so a resumed run sees what the
    interrupted one would have seen. Example: of 2 languages with ``batch=8``, items 8 to 15 are of the second.
    """

    def __init__(
        self,
        blocks: Mapping[str, Blocks],
        masking: Masking,
        *,
        batch: int,
        batches: int,
        seed: int,
        temperature: float | None = None,
    ) -> None:
        self.languages = tuple(blocks)
        self._blocks, self._masking, self._seed = tuple(blocks.values()), masking, seed
        self._batch = batch
        self._language = self._turns(batches, temperature)
        # How many batches of its own language came before each batch.
        self._before = np.zeros(batches, dtype=np.int64)
        for language in range(len(blocks)):
            own = self._language == language
            self._before[own] = np.arange(np.count_nonzero(own))

    def __len__(self) -> int:
        return self._batch * len(self._language)

    def __getitem__(self, item: int) -> Item:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: Sequence[int]) -> list[Item]:
        """Several items at once, as torch's loader asks for the items of a batch."""
        numbers = np.asarray(items, dtype=np.int64)
        batches, rows = np.divmod(numbers, self._batch)
        languages, positions = self._language[batches], self._before[batches] * self._batch + rows
        tokens = np.empty((len(numbers), self._blocks[0].shape[1]), dtype=np.int32)
        for language in np.unique(languages).tolist():
            own = languages == language
            tokens[own] = visited(self._blocks[language], positions[own], self._seed, language)
        input_ids = torch.from_numpy(self._masking(tokens, self._seed, numbers))
        pairs = zip(input_ids, languages.tolist(), strict=True)
        return [{"input_ids": row, "language": language} for row, language in pairs]

    def _turns(self, batches: int, temperature: float | None) -> npt.NDArray[np.int64]:
        """The language of every batch."""
        if temperature is None:
            return np.arange(batches) % len(self.languages)
        if not temperature > 0:
            raise BistilError(
                f"The temperature is {temperature}. Give a number above 0, such as 2, or leave it out."
            )
        shares = np.array([blocks.shape[0] for blocks in self._blocks]) ** (1 / temperature)
        generator = np.random.default_rng([self._seed, _LANGUAGES])
        return generator.choice(len(shares), size=batches, p=shares / shares.sum())


def visited(blocks: Blocks, positions: npt.NDArray[np.int64], seed: int, language: int) -> Rows:
    """The blocks at some positions of the endless sequence of a language, which is reshuffled every epoch."""
    visits, places = np.divmod(positions, len(blocks))
    order = words(key(seed, _ORDER, language), visits.astype(np.uint64))
    return blocks[shuffled(places, len(blocks), order)]


def held_out_batches(blocks: Rows, masking: Masking, batch: int, seed: int) -> Iterator[dict[str, torch.Tensor]]:
    """Masked batches of held-out blocks, the same at every call."""
    for start in range(0, len(blocks), batch):
        tokens = blocks[start : start + batch]
        yield {"input_ids": torch.from_numpy(masking(tokens, seed, np.arange(start, start + len(tokens))))}
