"""Lines to token ids on all cores, as a stream."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import TYPE_CHECKING

from tokenizers import Encoding

from bistil.corpora.tokenizers import bare, named_unless_read

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CHUNK_LINES = 4096
CHUNK_CHARACTERS = 1_000_000  # a corpus of very long lines must not fill the memory


def encoded(tokenizer: "PreTrainedTokenizerFast", lines: Iterable[str]) -> Iterator[list[Encoding]]:
    """The encodings of the lines without special tokens, some thousands at once.

    One chunk is tokenized ahead in a thread, so that reading the lines and using the tokens cost no time of
    the many cores.
    """
    backend = bare(tokenizer)

    def encode(chunk: list[str]) -> list[Encoding]:
        with named_unless_read(tokenizer, chunk, repeat("The text")):
            return backend.encode_batch_fast(chunk, add_special_tokens=False)

    with ThreadPoolExecutor(1) as thread:
        ahead = None
        for chunk in _chunks(lines):
            upcoming = thread.submit(encode, chunk)
            if ahead is not None:
                yield ahead.result()
            ahead = upcoming
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
