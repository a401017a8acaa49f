"""How often each token occurs in a corpus."""

from collections.abc import Callable, Iterable
from itertools import chain

import numpy as np
import numpy.typing as npt
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
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), dtype=np.int64)
        counts += np.bincount(ids, minlength=len(counts))
        if on_lines is not None:
            on_lines(len(encodings))
    return counts
