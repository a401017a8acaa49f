"""Unlabelled text as packed token blocks without padding, tokenised once into a memory-mapped Arrow file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow
from transformers import PreTrainedTokenizerFast

from bistil.corpora.encoding import encoded
from bistil.errors import BistilError

Rows = npt.NDArray[np.int32]

HELD_OUT_TOKENS = 2048
_COLUMN = "input_ids"
_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"


@dataclass(frozen=True)
class Carry:
    """Between two lines of a text that is being packed: so many were read, and fill these tokens and blocks.

    ``rest`` are the tokens that fill no block yet.
    """

    lines: int = 0
    tokens: int = 0
    blocks: int = 0
    rest: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))


def pack(
    tokenizer: PreTrainedTokenizerFast, lines: Iterable[str], block: int, language: str, at_least: int = 2
) -> Iterator[Rows]:
    """Token blocks [some blocks, block]: the start token, then lines that each end in the separator.

    Every token of the text comes once and in order; the last, incomplete block is left out. Text that fills
    fewer than ``at_least`` blocks raises `BistilError` at its end. Example: 300 tokens with separators and
    ``block=128`` give 2 blocks.
    """
    return (rows for rows, _ in packed(tokenizer, lines, block, language, at_least, Carry()) if len(rows))


def packed(
    tokenizer: PreTrainedTokenizerFast,
    lines: Iterable[str],
    block: int,
    language: str,
    at_least: int,
    carry: Carry,
) -> Iterator[tuple[Rows, Carry]]:
    """What `pack` gives, and where the text then is; ``lines`` are those that follow the place of ``carry``."""
    start, separator = _frame(tokenizer)
    body = block - len(start)
    for encodings in encoded(tokenizer, lines):
        ids = chain.from_iterable(chain(encoding.ids, (separator,)) for encoding in encodings)
        stream = np.concatenate([carry.rest, np.fromiter(ids, dtype=np.int32)])
        rows = len(stream) // body
        carry = Carry(
            carry.lines + len(encodings),
            carry.tokens + len(stream) - len(carry.rest),
            carry.blocks + rows,
            stream[rows * body :],
        )
        whole = stream[: rows * body].reshape(rows, body)
        yield np.concatenate([np.tile(np.array(start, dtype=np.int32), (rows, 1)), whole], axis=1), carry
    if carry.blocks < at_least:
        raise BistilError(
            f"The {language} text has {carry.tokens:,} tokens; {at_least} blocks of {block} need "
            f"{at_least * body:,}. Give more {language} text, or a smaller distill.sequence_length."
        )


def save_blocks(
    folder: Path, language: str, blocks: Iterator[Rows], on_blocks: Callable[[int], None] | None = None
) -> None:
    """Writes blocks as they come to ``LANGUAGE.arrow``, which `datasets.Dataset.from_file` reads too.

    ``on_blocks`` is told how many more blocks are written. Where anything fails, no file is left.
    """
    path = _path(folder, language)
    first = next(blocks)
    schema = pyarrow.schema({_COLUMN: pyarrow.list_(pyarrow.int32(), first.shape[1])})
    try:
        with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
            for rows in chain([first], blocks):
                column = pyarrow.FixedSizeListArray.from_arrays(rows.ravel(), rows.shape[1])
                writer.write_batch(pyarrow.record_batch([column], schema=schema))
                if on_blocks is not None:
                    on_blocks(len(rows))
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise BistilError(
                f"{path} cannot be written ({error}). Make room, or choose another folder."
            ) from None
        raise


def load_blocks(folder: Path, language: str) -> tuple["Blocks", Rows]:
    """The training blocks of a language, memory-mapped, and its held-out blocks [held out, block].

    Held out are 2 % of the blocks, chosen at random but the same at every call: at least one, and at most
    2,048 tokens.
    """
    path = _path(folder, language)
    whole = Blocks(path)
    count, block = whole.shape
    size = max(1, min(count // 50, HELD_OUT_TOKENS // block))
    held_out = np.random.default_rng(0).choice(count, size, replace=False)
    return Blocks(path, held_out.tolist()), whole[held_out]


class Blocks:
    """The blocks of a file, without some rows: ``blocks[rows]`` copies these rows from the mapped file.

    The file is never loaded whole. One that is cut off or is something else raises `BistilError`.
    """

    def __init__(self, path: Path, left_out: Sequence[int] = ()) -> None:
        self._path, self._left_out = path, tuple(sorted(left_out))
        self._parts = _mapped(path)
        self._starts = np.cumsum([0, *map(len, self._parts)])
        # Row r lies at r + n of the file, where n of those left out come before it.
        self._gaps = np.array(self._left_out, dtype=np.int64) - np.arange(len(left_out))

    def __len__(self) -> int:
        return int(self._starts[-1]) - len(self._left_out)

    @property
    def shape(self) -> tuple[int, int]:
        """Blocks, and tokens a block."""
        return len(self), self._parts[0].shape[1]

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Rows:
        places = rows + np.searchsorted(self._gaps, rows, side="right")
        parts = np.searchsorted(self._starts, places, side="right") - 1
        where = zip(parts.tolist(), (places - self._starts[parts]).tolist(), strict=True)
        return np.stack([self._parts[part][row] for part, row in where])

    def __reduce__(self) -> tuple[type["Blocks"], tuple[Path, Sequence[int]]]:
        # A worker process maps the file itself; a pickled view would be a copy of the corpus.
        return Blocks, (self._path, self._left_out)


def _path(folder: Path, language: str) -> Path:
    return folder / f"{language}.arrow"


def _frame(tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], int]:
    """The token that starts a block, if the tokenizer has one, and the token that ends a line."""
    start = tokenizer.bos_token_id if tokenizer.cls_token_id is None else tokenizer.cls_token_id
    separator = tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id
    if separator is None:
        raise BistilError("The tokenizer has neither a separator nor an end token. Set its sep_token.")
    return ([] if start is None else [start]), separator


def _mapped(path: Path) -> list[Rows]:
    """A view [some blocks, block] of every record batch of a file."""
    try:
        with pyarrow.memory_map(str(path)) as file:
            batches = list(pyarrow.ipc.open_stream(file))
            # A stream that is cut between two batches reads as a whole one.
            if file.read_at(len(_END), file.size() - len(_END)) != _END:
                raise EOFError("its end is missing")
        return [batch[_COLUMN].flatten().to_numpy().reshape(len(batch), -1) for batch in batches]
    except (OSError, EOFError, KeyError, pyarrow.ArrowException) as error:
        raise BistilError(
            f"{path} is no whole file of token blocks ({error}). Delete it, and the text will be packed again."
        ) from None
