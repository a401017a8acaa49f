"""Blocks straight from streams of text, for corpora that are larger than the disk."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info
from transformers import PreTrainedTokenizerFast

from bistil.corpora.blocks import HELD_OUT_TOKENS, Rows
from bistil.corpora.filters import Tally
from bistil.corpora.marks import Marks, load_marks, save_marks
from bistil.corpora.masking import Masking
from bistil.corpora.mixed import Item
from bistil.corpora.shuffled import Mark, Shuffled
from bistil.errors import BistilError


class StreamedBlocks(IterableDataset[Item]):
    """Blocks that are tokenised, packed and masked as the text comes, with the items of `MixedBlocks`.

    ``lines`` gives for each language a function that opens its stream of lines, which is opened anew when it has
    ended. The languages take turns, ``batch`` items each (the blocks of a step over all processes), for
    ``batches`` steps or, with ``None``, without end. Blocks are shuffled among the ``buffer`` blocks of a
    language that lie in memory. Every run gives the same items. The first 2,048 tokens of each stream are held
    out.

    `save` keeps where the streams are after some items, and `resume` goes on there: nothing of what came before is
    tokenised again. For that every function must give `Lines` and take a `Place` at which they begin, as
    ``partial(text.lines, files)`` does; streams of other lines have no place.

    Several processes share the items as accelerate has them do, by its dispatching from the first process or
    by its `IterableDatasetShard` in each; a step's items stay in one language. One loader worker at most may read
    the streams. Text that is too short for one block to train on raises `BistilError` when it has been read.
    """

    def __init__(
        self,
        lines: Mapping[str, Callable[..., Iterable[str]]],
        tokenizer: PreTrainedTokenizerFast,
        masking: Masking,
        *,
        block: int,
        batch: int,
        batches: int | None,
        seed: int,
        buffer: int = 1024,
    ) -> None:
        self.languages = tuple(lines)
        self._masking, self._batch, self._batches, self._seed = masking, batch, batches, seed
        held_out = max(1, HELD_OUT_TOKENS // block)
        self._streams = [
            Shuffled(opened, tokenizer, language, block, held_out, buffer, (seed, index))
            for index, (language, opened) in enumerate(lines.items())
        ]
        self._start = 0
        self._from: list[Mark | None] = [None for _ in lines]
        self._marks = Marks(len(lines))
        # What a saved place belongs to.
        self._order = {"languages": list(lines), "block": block, "batch": batch, "seed": seed, "buffer": buffer}

    def __len__(self) -> int:
        """All items, those before a place that was resumed included."""
        if self._batches is None:
            raise TypeError("an endless stream has no length")
        return self._batch * self._batches

    def __iter__(self) -> Iterator[Item]:
        worker = get_worker_info()
        if worker is not None and worker.num_workers > 1:
            raise BistilError(
                f"{worker.num_workers} loader workers would each read the same streams. "
                "Set dataloader_num_workers to 1 or 0."
            )
        self._marks.begin(self._from)
        streams = [
            stream.blocks(mark, partial(self._marks.tell, index))
            for index, (stream, mark) in enumerate(zip(self._streams, self._from, strict=True))
        ]
        for number in self._steps():
            language = number % len(streams)
            tokens = np.stack(list(islice(streams[language], self._batch)))
            items = np.arange(number * self._batch, (number + 1) * self._batch)
            for row in torch.from_numpy(self._masking(tokens, self._seed, items)):
                yield {"input_ids": row, "language": language}

    def held_out(self) -> dict[str, Rows]:
        """The held-out blocks [held out, block] of every language, read from the beginning of its stream."""
        return {stream.language: stream.beginning() for stream in self._streams}

    def reached(self, item: int) -> dict[str, Tally] | None:
        """What the filters have kept and dropped of each language before an item that is a step's first.

        To be called at every step, or every few: older places are forgotten. None where there is no such place.
        """
        marks = self._marks.at(self._blocks_before(item))
        if marks is None:
            return None
        return {
            language: mark.place.tally
            for language, mark in zip(self.languages, marks, strict=True)
            if mark is not None and mark.place is not None
        }

    def save(self, path: Path, item: int) -> None:
        """Writes where the streams are before an item that is a step's first; nothing if they have no places."""
        marks = self._marks.at(self._blocks_before(item))
        if marks is not None and all(mark is None or mark.place is not None for mark in marks):
            save_marks(path, marks, {"item": item, **self._order})

    def resume(self, path: Path) -> bool:
        """Goes on where `save` was, if there is such a file: the next item is then the one that followed.

        Places of other languages, of another order of them or of blocks of another size raise `BistilError`.
        """
        if not path.exists():
            return False
        marks, facts = load_marks(path)
        item = facts.pop("item")
        if changed := [name for name, value in self._order.items() if facts.get(name) != value]:
            raise BistilError(
                f"{path} belongs to a stream whose {changed[0]} is {facts.get(changed[0])}, not "
                f"{self._order[changed[0]]}. Give what it was, or delete the folder to begin anew."
            )
        self._start, self._from = item, marks
        return True

    def _steps(self) -> Sequence[int]:
        first = self._start // self._batch
        return range(first, sys.maxsize if self._batches is None else self._batches)

    def _blocks_before(self, item: int) -> list[int]:
        """How many blocks of each language come before an item."""
        steps, languages = item // self._batch, len(self.languages)
        return [(steps - index + languages - 1) // languages * self._batch for index in range(languages)]
