"""How often each token occurs in a corpus."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt
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
    backend = tokenizer.backend_tokenizer
    # What the last call left there; every call of a transformers tokenizer sets both anew.
    backend.no_truncation()
    backend.no_padding()
    counts = np.zeros(max(backend.get_vocab().values()) + 1, dtype=np.int64)
    for chunk in _chunks(lines):
        encodings = backend.encode_batch_fast(chunk, add_special_tokens=False)
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), dtype=np.int64)
        counts += np.bincount(ids, minlength=len(counts))
        if on_lines is not None:
            on_lines(len(chunk))
    return counts


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
