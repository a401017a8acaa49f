"""The training blocks of one language's stream, shuffled among those that lie in memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from transformers import PreTrainedTokenizerFast

from bistil.corpora.blocks import Carry, Rows, packed
from bistil.corpora.lines import Lines, Place

_ORDER = 4


@dataclass(frozen=True)
class Mark:
    """A stream where a buffer was filled, and all that is needed to go on from there.

    ``first`` training blocks came before those of the buffer, ``blocks``, in the order in which they are given;
    it is the buffer of this ``number``, from 1. ``left`` are blocks behind it that are packed already. ``carry``
    and ``place`` say where the text then was; lines that have no places have None.
    """

    first: int
    number: int
    blocks: Rows
    left: Rows
    carry: Carry
    place: Place | None

    def after(self, blocks: int) -> "Mark":
        """The same where so many training blocks have been given."""
        return replace(self, first=blocks, blocks=self.blocks[blocks - self.first :])


@dataclass(frozen=True)
class Shuffled:
    """The blocks of a language without end: its stream is opened anew when it has ended.

    ``opened`` opens it, with a `Place` where it is to begin. The first ``held_out`` blocks of an epoch are left
    out, the others shuffled among ``buffer`` each, by ``order``, the seed and the number of the language.
    """

    opened: Callable[..., Iterable[str]]
    tokenizer: PreTrainedTokenizerFast
    language: str
    block: int
    held_out: int
    buffer: int
    order: tuple[int, int]

    def beginning(self) -> Rows:
        """The blocks that are held out [held out, block]."""
        return _Epoch(self).take(self.held_out)

    def blocks(self, mark: Mark | None, tell: Callable[[Mark], None]) -> Iterator[Rows]:
        """The training blocks [block], from a mark on; ``tell`` is told of every buffer that is filled."""
        epoch, given, number = None, 0, 0
        if mark is not None:
            yield from mark.blocks
            epoch, given, number = _Epoch(self, mark), mark.first + len(mark.blocks), mark.number
        seed, language = self.order
        while True:
            if epoch is None:
                epoch = _Epoch(self)
                epoch.take(self.held_out)
            while len(taken := epoch.take(self.buffer)):
                order = np.random.default_rng([seed, _ORDER, language, number]).permutation(len(taken))
                blocks, number = taken[order], number + 1
                tell(Mark(given, number, blocks, epoch.left, epoch.carry, epoch.place()))
                yield from blocks
                given += len(blocks)
            epoch = None


class _Epoch:
    """One reading of a stream to its end, from its beginning or a mark on."""

    def __init__(self, stream: Shuffled, mark: Mark | None = None) -> None:
        self.left = np.zeros((0, stream.block), dtype=np.int32) if mark is None else mark.left
        self.carry = Carry() if mark is None else replace(mark.carry, lines=0)
        self._lines = stream.opened() if mark is None else stream.opened(mark.place)
        self._packed = packed(
            stream.tokenizer, self._lines, stream.block, stream.language, stream.held_out + 1, self.carry
        )

    def take(self, blocks: int) -> Rows:
        """The next blocks, fewer at the end."""
        while len(self.left) < blocks and (more := next(self._packed, None)) is not None:
            rows, self.carry = more
            self.left = np.concatenate([self.left, rows])
        taken, self.left = self.left[:blocks], self.left[blocks:]
        return taken

    def place(self) -> Place | None:
        """Where the lines are that no block holds yet."""
        return self._lines.place(self.carry.lines) if isinstance(self._lines, Lines) else None
