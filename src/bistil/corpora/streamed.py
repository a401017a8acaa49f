"""Blocks straight from streams of text, for corpora that are larger than the disk."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, count, islice

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info
from transformers import PreTrainedTokenizerFast

from bistil.corpora.blocks import HELD_OUT_TOKENS, Rows, pack
from bistil.corpora.masking import Masking
from bistil.corpora.mixed import Item
from bistil.errors import BistilError

_ORDER = 4


class StreamedBlocks(IterableDataset[Item]):
    """Blocks that are tokenised, packed and masked as the text comes, with the items of `MixedBlocks`.

    ``lines`` gives for each language a function that opens its stream of lines, which is opened anew when it has
    ended. The languages take turns, ``batch`` items each (the blocks of a step over all processes), for
    ``batches`` steps or, with ``None``, without end. Blocks are shuffled among the ``buffer`` blocks of a
    language that lie in memory. Every run gives the same items.

    The first 2,048 tokens of each stream are held out. ``start`` is the first item to give: those before it are
    read, tokenised and packed again, but neither masked nor given, so that resuming takes as long as tokenising
    what the interrupted run has seen.

    Several processes share the items as accelerate has them do, by its dispatching from the first process or
    by its `IterableDatasetShard` in each; a step's items stay in one language. One loader worker at most may read
    the streams. Text that is too short for one block to train on raises `BistilError` when it has been read.
    """

    def __init__(
        self,
        lines: Mapping[str, Callable[[], Iterable[str]]],
        tokenizer: PreTrainedTokenizerFast,
        masking: Masking,
        *,
        block: int,
        batch: int,
        batches: int | None,
        seed: int,
        start: int = 0,
        buffer: int = 1024,
    ) -> None:
        self.languages = tuple(lines)
        self._lines, self._tokenizer, self._masking = dict(lines), tokenizer, masking
        self._block, self._batch, self._batches = block, batch, batches
        self._seed, self._start, self._buffer = seed, start, buffer
        self._held_out = max(1, HELD_OUT_TOKENS // block)

    def __len__(self) -> int:
        if self._batches is None:
            raise TypeError("an endless stream has no length")
        return self._batch * self._batches - self._start

    def __iter__(self) -> Iterator[Item]:
        worker = get_worker_info()
        if worker is not None and worker.num_workers > 1:
            raise BistilError(
                f"{worker.num_workers} loader workers would each read the same streams. "
                "Set dataloader_num_workers to 1 or 0."
            )
        streams = [self._shuffled(index) for index in range(len(self.languages))]
        for number in count() if self._batches is None else range(self._batches):
            language = number % len(streams)
            tokens = np.stack(list(islice(streams[language], self._batch)))
            items = np.arange(number * self._batch, (number + 1) * self._batch)
            wanted = items >= self._start
            for row in torch.from_numpy(self._masking(tokens[wanted], self._seed, items[wanted])):
                yield {"input_ids": row, "language": language}

    def held_out(self) -> dict[str, Rows]:
        """The held-out blocks [held out, block] of every language, read from the beginning of its stream."""
        return {
            language: np.stack(list(islice(self._packed(language), self._held_out))) for language in self.languages
        }

    def _packed(self, language: str) -> Iterator[Rows]:
        """The blocks [block] of one epoch over a stream."""
        lines, at_least = self._lines[language](), self._held_out + 1
        return chain.from_iterable(pack(self._tokenizer, lines, self._block, language, at_least))

    def _shuffled(self, index: int) -> Iterator[Rows]:
        """The training blocks of a language without end."""
        buffers = count()
        while True:
            blocks = islice(self._packed(self.languages[index]), self._held_out, None)
            while buffer := list(islice(blocks, self._buffer)):
                order = np.random.default_rng([self._seed, _ORDER, index, next(buffers)]).permutation(len(buffer))
                yield from (buffer[place] for place in order)
