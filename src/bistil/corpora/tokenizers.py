"""What tokenizers differ in: how they frame a text, which ids they use, and whether they repeat themselves."""

import copy
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from bistil.errors import BistilError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def bare(tokenizer: "PreTrainedTokenizerFast") -> Tokenizer:
    """The backend without the truncation and padding that the last call of a transformers tokenizer left there.

    Every such call sets both anew.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return backend


def frame(tokenizer: "PreTrainedTokenizerFast") -> tuple[list[int], list[int]]:
    """What the tokenizer's own post-processor puts before and after the ids of a text.

    Example: ``([0], [2])``, <s> and </s> of XLM-R; two empty lists for a tokenizer without a post-processor.
    """
    backend = bare(tokenizer)
    text = backend.encode("", add_special_tokens=False)
    text.pad(1)  # a token of whatever id, to see where the text goes
    framed = backend.post_process(text)
    before = framed.sequence_ids.index(0)
    return framed.ids[:before], framed.ids[before + len(text) :]


@contextmanager
def named_unless_read(
    tokenizer: "PreTrainedTokenizerFast", texts: Iterable[str | Sequence[str]], sources: Iterable[str]
) -> Iterator[None]:
    """Inside the block, a text (or its words) that the tokenizer cannot read is a `BistilError` with its source.

    Without an unknown token some tokenizers raise, others leave out what they cannot read.
    """
    try:
        yield
    except Exception as error:
        if type(error) is not Exception:  # all that the tokenizers library raises
            raise
        for text, source in zip(texts, sources, strict=False):
            try:
                tokenizer.backend_tokenizer.encode(text, is_pretokenized=not isinstance(text, str))
            except Exception:
                beginning = (text if isinstance(text, str) else " ".join(text))[:80]
                raise BistilError(
                    f"{source}: the tokenizer cannot read {beginning!r} ({error}). Leave it out, or choose "
                    "a teacher whose tokenizer has an unknown token."
                ) from error
        raise


def placeholder(tokenizer: "PreTrainedTokenizerFast", text: str, source: str) -> int:
    """The token for a text that the tokenizer leaves nothing of: the unknown one, or else the mask."""
    for token in (tokenizer.unk_token_id, tokenizer.mask_token_id):
        if token is not None:
            return int(token)
    raise BistilError(
        f"{source}: the tokenizer leaves nothing of {text[:80]!r}, and has neither an unknown nor a mask token "
        "to replace it with. Leave it out, or choose a teacher with another tokenizer."
    )


def number_of_ids(tokenizer: "PreTrainedTokenizerFast") -> int:
    """One more than the largest id; ``len(tokenizer)`` counts the tokens, which can be fewer."""
    return _number_of_ids(tokenizer, len(tokenizer))


@lru_cache(maxsize=1)
def _number_of_ids(tokenizer: "PreTrainedTokenizerFast", tokens: int) -> int:
    # To ask for it takes as long as to count thousands of lines.
    return int(max(tokenizer.get_vocab().values())) + 1


def unused_ids(tokenizer: "PreTrainedTokenizerFast") -> list[int]:
    """The ids below the largest that no token has, ascending."""
    return sorted(set(range(number_of_ids(tokenizer))).difference(tokenizer.get_vocab().values()))


def without_dropout(tokenizer: "PreTrainedTokenizerFast") -> "PreTrainedTokenizerFast":
    """The tokenizer itself, or a copy that merges all pairs where BPE dropout was saved with it, and a warning.

    With dropout (Provilkov et al. 2020) a text is segmented differently each time, so that no two runs agree.
    """
    dropout = getattr(tokenizer.backend_tokenizer.model, "dropout", None)
    if not dropout:
        return tokenizer
    logging.getLogger(__name__).warning(
        "The tokenizer has a BPE dropout of %g, with which it segments a text differently each time. "
        "It is turned off, so that runs are reproducible.",
        dropout,
    )
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.backend_tokenizer.model.dropout = None
    return tokenizer


def encode_texts(
    tokenizer: "PreTrainedTokenizerFast", firsts: Sequence[str], seconds: Sequence[str], max_length: int
) -> list[dict[str, list[int]]]:
    """Texts, or pairs of them where there are ``seconds``, as model inputs of at most ``max_length`` tokens.

    The same as transformers' ``truncation=True``: of a pair the longer text is cut first. The tokenizer is left as
    it is, so that several threads may use it. Example: ``[{"input_ids": [0, 93, 2], "attention_mask": [1, 1,
    1]}]``.
    """
    backend = bare(tokenizer)
    room = max_length - tokenizer.num_special_tokens_to_add(pair=bool(seconds))
    found = []
    ones = backend.encode_batch(list(firsts), add_special_tokens=False)
    others = backend.encode_batch(list(seconds), add_special_tokens=False) if seconds else [None] * len(ones)
    for one, other in zip(ones, others, strict=True):
        lengths = _longest_first(len(one), len(other) if other else 0, room)
        for encoding, length in zip((one, other), lengths, strict=True):
            if encoding is not None and len(encoding) > length:
                encoding.truncate(length)
        framed = backend.post_process(one, other)
        row = {"input_ids": framed.ids, "token_type_ids": framed.type_ids, "attention_mask": framed.attention_mask}
        found.append({name: row[name] for name in row if name in tokenizer.model_input_names})
    return found


def _longest_first(one: int, other: int, room: int) -> tuple[int, int]:
    """How many tokens of each of two texts are kept, as the tokenizers library does it."""
    if one + other <= room:
        return one, other
    short, long = sorted((one, other))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short, long = room // 2, room // 2 + room % 2
    return (short, long) if one <= other else (long, short)
