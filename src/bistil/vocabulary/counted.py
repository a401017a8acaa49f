"""One language's corpus, counted but for the lines that are held out; kept in a folder for the next time."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
from transformers import PreTrainedTokenizerFast

from bistil.corpora.filters import Tally
from bistil.corpora.lines import Lines
from bistil.corpora.streams import stream_lines
from bistil.corpora.strict import parse_json
from bistil.corpora.text import RUN, files, lines, sampled
from bistil.corpora.textfile import TextFile
from bistil.corpora.tokenizers import bare
from bistil.errors import BistilError
from bistil.packages import whole_folder
from bistil.vocabulary.count import Counts, count_runs, count_tokens

COUNTING = 1  # to be raised when the same files give other counts
HELD_OUT_EVERY = 100
HELD_OUT_LINES = 1000

# Files, or else lines and rows in memory or in a stream.
Corpus = str | Path | Sequence[str | Path | TextFile] | Iterable[str | Mapping[str, Any]]


@dataclass(frozen=True)
class Counted:
    """How often each token occurs in the lines that are not held out, how many these are, and the others."""

    counts: Counts
    lines: int
    held_out: tuple[str, ...]
    tally: Tally | None = None  # of the filters, of files that have just been counted
    runs: Counts | None = None  # of a sample: in how many stretches of it each token occurs


def count_corpus(
    tokenizer: PreTrainedTokenizerFast,
    language: str,
    corpus: Corpus,
    cache: Path | None = None,
    on_lines: Callable[[int], None] | None = None,
    sample_lines: int | None = None,
) -> Counted:
    """Count a corpus; every hundredth line, at most 1,000, is held out.

    A str, a Path and a list of them name files; any other iterable gives lines or rows. Counts of files are
    found again in the folder `cache` as long as neither the files nor the tokenizer change. With `sample_lines`
    about so many lines of files are read, and not cached.
    """
    if isinstance(corpus, str | Path | list | tuple):
        texts = files(corpus)
        if sample_lines is not None:
            return _count(tokenizer, sampled(texts, sample_lines), on_lines, RUN)
        if cache is None:
            return _count(tokenizer, lines(texts), on_lines)
        return _cached(tokenizer, texts, cache, on_lines)
    rows = cast(Iterable[str | Mapping[str, Any]], corpus)
    return _count(tokenizer, stream_lines(rows, f"the {language} corpus"), on_lines)


def _count(
    tokenizer: PreTrainedTokenizerFast,
    lines: Iterator[str],
    on_lines: Callable[[int], None] | None,
    run: int | None = None,
) -> Counted:
    held_out: list[str] = []
    number = 0

    def counted() -> Iterator[str]:
        nonlocal number
        for number, line in enumerate(lines, start=1):
            # The second line of each hundred, so that a short corpus has one, and keeps one.
            if number % HELD_OUT_EVERY == 2 and len(held_out) < HELD_OUT_LINES:
                held_out.append(line)
            else:
                yield line

    if run is None:
        counts, runs = count_tokens(tokenizer, counted(), on_lines), None
    else:
        counts, runs = count_runs(tokenizer, counted(), run, on_lines)
    tally = lines.tally if isinstance(lines, Lines) else None
    return Counted(counts, number - len(held_out), tuple(held_out), tally, runs)


def _cached(
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[TextFile],
    cache: Path,
    on_lines: Callable[[int], None] | None,
) -> Counted:
    made_of = [
        hashlib.sha256(bare(tokenizer).to_str().encode()).hexdigest(),
        [(text.fingerprint, text.path.suffixes[-2:]) for text in texts],
        [HELD_OUT_EVERY, HELD_OUT_LINES],
        [COUNTING, version("tokenizers")],
    ]
    folder = cache / hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:20]
    if not os.path.isdir(folder):  # unlike Path.is_dir, no error where it may not be looked for
        fresh = _count(tokenizer, lines(texts), on_lines)
        # a cache that cannot be written only saves the next count nothing
        with suppress(BistilError), whole_folder(folder) as temporary:
            np.save(temporary / "counts.npy", fresh.counts)
            others = json.dumps({"lines": fresh.lines, "held_out": fresh.held_out})
            (temporary / "lines.json").write_text(others, encoding="utf-8")
        return fresh
    found = _stored(folder)
    if on_lines is not None:
        on_lines(found.lines)
    return found


def _stored(folder: Path) -> Counted:
    """The counts in a folder of the cache, which may have been damaged since."""
    try:
        # mapped, so that a header cannot ask for more memory than the file has
        counts = np.array(np.load(folder / "counts.npy", mmap_mode="r", allow_pickle=False))
        others = parse_json((folder / "lines.json").read_text(encoding="utf-8"), "lines.json")
        number, held_out = others["lines"], others["held_out"]
        whole = counts.dtype == np.int64 and counts.ndim == 1 and type(number) is int
        if not (whole and isinstance(held_out, list) and all(isinstance(line, str) for line in held_out)):
            raise ValueError("it holds other values than bistil writes")
    except Exception as error:  # numpy evaluates the header, which may fail in any way
        raise BistilError(
            f"The counts in {folder} cannot be read ({error}). Delete this folder of the cache; "
            "the text is then counted again."
        ) from error
    return Counted(counts, number, tuple(held_out))
