"""What tokenizers differ in: how they frame a text, which ids they use, and whether they repeat themselves."""

import copy
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from tokenizers import Tokenizer

from bistil.errors import BistilError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_TOGETHER = 2**20  # characters
_MARKS = (2**32 - 1, 2**32 - 2)  # the largest ids that the tokenizers library takes, which no token has


def bare(tokenizer: "PreTrainedTokenizerFast") -> Tokenizer:
    """The backend without the truncation and padding that the last call of a transformers tokenizer left there.

    Every such call sets both anew. Where there is neither, nothing is written: tokenizers 0.22 refuses that while
    another thread encodes.
    """
    backend = tokenizer.backend_tokenizer
    if backend.truncation is not None:
        backend.no_truncation()
    if backend.padding is not None:
        backend.no_padding()
    return backend


def frame(tokenizer: "PreTrainedTokenizerFast") -> tuple[list[int], list[int]]:
    """What the tokenizer's own post-processor puts before and after the ids of a text.

    Example: ``([0], [2])``, <s> and </s> of XLM-R; two empty lists for a tokenizer without a post-processor.
    """
    parts = Frame.of(tokenizer).parts
    at = next(number for number, part in enumerate(parts) if part.text is not None)
    before, after = ([part.token for part in some] for some in (parts[:at], parts[at + 1 :]))
    return before, after


@dataclass(frozen=True)
class Part:
    """A special token and its segment; or, where ``text`` is 0 or 1, the first or second text in its place."""

    text: int | None
    token: int
    segment: int


@dataclass(frozen=True)
class Frame:
    """What a tokenizer's own post-processor makes of a text, or of a pair of them.

    The tokenizers library keeps what it cuts off a text, and frames each piece of one text with each of the other:
    two texts of a megabyte do not fit any memory. So it is asked once, for two short ones.
    """

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, tokenizer: "PreTrainedTokenizerFast", pair: bool = False) -> Self:
        """The frame of a text, or of a pair."""
        backend = bare(tokenizer)
        texts = [backend.encode("", add_special_tokens=False) for _ in _MARKS[: 1 + pair]]
        for text, mark in zip(texts, _MARKS, strict=False):
            text.truncate(0)
            text.pad(1, pad_id=mark)
        framed = backend.post_process(texts[0], texts[1] if pair else None)
        return cls(
            tuple(
                Part(_MARKS.index(token) if token in _MARKS else None, token, segment)
                for token, segment in zip(framed.ids, framed.type_ids, strict=True)
            )
        )

    @property
    def special(self) -> int:
        """How many special tokens there are: 2 around a text, 4 around a pair in XLM-R."""
        return sum(part.text is None for part in self.parts)

    def inputs(self, *texts: Sequence[int]) -> dict[str, list[int]]:
        """The ids of a text, or of two, as model inputs.

        Example: ``{"input_ids": [0, 93, 2], "token_type_ids": [0, 0, 0], "attention_mask": [1, 1, 1]}``.
        """
        ids: list[int] = []
        segments: list[int] = []
        for part in self.parts:
            own = [part.token] if part.text is None else texts[part.text]
            ids += own
            segments += [part.segment] * len(own)
        return {"input_ids": ids, "token_type_ids": segments, "attention_mask": [1] * len(ids)}

    def position(self, *texts: Sequence[int]) -> int:
        """Where the last of the texts begins in what `inputs` makes of them: 5 behind "<s> Who ? </s> </s>"."""
        position = 0
        for part in self.parts:
            if part.text == len(texts) - 1:
                break
            position += 1 if part.text is None else len(texts[part.text])
        return position


def room(max_length: int, special: int) -> int:
    """The tokens of text that fit beside special ones: 126 of 128; `BistilError` where none does."""
    if max_length <= special:
        raise BistilError(
            f"The model takes {max_length} tokens at once, and {special} special ones leave no room for text. "
            "Correct model_max_length in its tokenizer_config.json, or give another model."
        )
    return max_length - special


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


def encodings(backend: Tokenizer, texts: Sequence[str] | Sequence[Sequence[str]]) -> Iterator[Any]:
    """What the tokenizers library makes of each text, or of the words of each, without special tokens.

    That is many times larger than the text, so that of about a million characters is made at once.
    """
    words = bool(texts) and not isinstance(texts[0], str)
    start = 0
    while start < len(texts):
        end, characters = start, 0
        while end < len(texts) and (end == start or characters < _TOGETHER):
            characters += sum(map(len, texts[end])) if words else len(texts[end])
            end += 1
        yield from backend.encode_batch(list(texts[start:end]), is_pretokenized=words, add_special_tokens=False)
        start = end


def encode_texts(
    tokenizer: "PreTrainedTokenizerFast", firsts: Sequence[str], seconds: Sequence[str], max_length: int
) -> list[dict[str, list[int]]]:
    """Texts, or pairs of them where there are ``seconds``, as model inputs of at most ``max_length`` tokens.

    The same as transformers' ``truncation=True``: of a pair the longer text is cut first. The tokenizer is left as
    it is, so that several threads may use it. Example: ``[{"input_ids": [0, 93, 2], "attention_mask": [1, 1,
    1]}]``.
    """
    backend, around = bare(tokenizer), Frame.of(tokenizer, bool(seconds))
    free = room(max_length, around.special)
    found = []
    for texts in zip(*(encodings(backend, some) for some in (firsts, seconds) if some), strict=True):
        lengths = _longest_first(len(texts[0]), len(texts[1]) if seconds else 0, free)
        row = around.inputs(*(text.ids[:length] for text, length in zip(texts, lengths, strict=False)))
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
