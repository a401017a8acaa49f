"""How often each token occurs in a corpus."""

from collections.abc import Callable, Iterable
from itertools import chain

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding
from transformers import PreTrainedTokenizerFast

from bistil.corpora.encoding import encoded
from bistil.corpora.tokenizers import number_of_ids

Counts = npt.NDArray[np.int64]


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
    counts = np.zeros(number_of_ids(tokenizer), dtype=np.int64)
    for encodings in encoded(tokenizer, lines):
        counts += np.bincount(_ids(encodings), minlength=len(counts))
        if on_lines is not None:
            on_lines(len(encodings))
    return counts


def count_runs(
    tokenizer: PreTrainedTokenizerFast,
    lines: Iterable[str],
    run: int,
    on_lines: Callable[[int], None] | None = None,
) -> tuple[Counts, Counts]:
    """What `count_tokens` gives, and in how many runs of so many lines each token occurs.

    Example: with ``run=1``, ``["a a b", "b"]`` has ``▁a`` in 1 and ``▁b`` in 2.
    """
    counts, runs = (np.zeros(number_of_ids(tokenizer), dtype=np.int64) for _ in range(2))
    read = 0
    for encodings in encoded(tokenizer, lines):
        ids = _ids(encodings)
        counts += np.bincount(ids, minlength=len(counts))
        own = np.repeat((read + np.arange(len(encodings))) // run, [len(encoding.ids) for encoding in encodings])
        once = np.unique(own * len(counts) + ids) % len(counts)
        runs += np.bincount(once, minlength=len(counts))
        read += len(encodings)
        if on_lines is not None:
            on_lines(len(encodings))
    return counts, runs


def _ids(encodings: list[Encoding]) -> Counts:
    return np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), dtype=np.int64)
