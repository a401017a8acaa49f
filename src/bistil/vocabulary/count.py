"""How often each token occurs in a corpus."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding
from transformers import PreTrainedTokenizerFast

Counts = npt.NDArray[np.int64]

CHUNK_LINES = 4096
CHUNK_CHARACTERS = 1_000_000  # a corpus of very long lines must not fill the memory


def count_tokens(
    tokenizer: PreTrainedTokenizerFast,
    lines: Iterable[str],
    on_lines: Callable[[int], None] | None = None,
) -> Counts:
    """Occurrences of every token id in `lines`, without the special tokens that frame a sequence.

    The lines are read as a stream and tokenized on all cores (TOKENIZERS_PARALLELISM and
    RAYON_NUM_THREADS are honoured). `on_lines` is told how many more lines are counted.

    Returns int64 counts, as many as the tokenizer has ids.
    Example: counting ``["a a b"]`` gives 2 at the id of ``▁a`` and 1 at that of ``▁b``.
    """
    counts = np.zeros(_ids(tokenizer, len(tokenizer)), dtype=np.int64)
    for encodings in encoded(tokenizer, lines):
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), dtype=np.int64)
        counts += np.bincount(ids, minlength=len(counts))
        if on_lines is not None:
            on_lines(len(encodings))
    return counts


@lru_cache(maxsize=1)
def _ids(tokenizer: PreTrainedTokenizerFast, tokens: int) -> int:
    """One more than the largest id. To ask for it takes as long as to count thousands of lines."""
    return int(max(tokenizer.get_vocab().values())) + 1


def encoded(tokenizer: PreTrainedTokenizerFast, lines: Iterable[str]) -> Iterator[list[Encoding]]:
    """The lines tokenized without special tokens, chunk by chunk, as a stream.

    One chunk is ahead in a thread: reading and counting cost no time of the many cores.
    """
    backend = tokenizer.backend_tokenizer
    # What the last call left there; every call of a transformers tokenizer sets both anew.
    backend.no_truncation()
    backend.no_padding()

    def encode(chunk: list[str]) -> list[Encoding]:
        return backend.encode_batch_fast(chunk, add_special_tokens=False)

    with ThreadPoolExecutor(1) as thread:
        ahead = None
        for chunk in _chunks(lines):
            following = thread.submit(encode, chunk)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()


def _chunks(lines: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    characters = 0
    for line in lines:
        chunk.append(line)
        characters += len(line)
        if len(chunk) == CHUNK_LINES or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
