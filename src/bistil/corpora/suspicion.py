"""Whether texts are in the languages they are said to be in, judged by their tokens. Pure but for the counting."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bistil.corpora.encoding import encoded
from bistil.corpora.tokenizers import number_of_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Texts of one language shared 52 to 79 % of their tokens across genres, those of different languages 12 to 24 %
# (multilingual-E5's tokenizer; English, German, Turkish, Basque, Wolof, Swahili, Irish, Indonesian).
_SAME_LANGUAGE = 0.6
_CLEARLY_NEARER = 1.5
_UNKNOWN = 0.01
_TOKENS_A_WORD = 4.0
_WITHOUT_SPACES = frozenset(["bo", "dz", "ja", "km", "lo", "my", "th", "wuu", "yue", "zh"])


@dataclass(frozen=True)
class TokenUse:
    """What a tokenizer made of a text."""

    counts: npt.NDArray[np.int64]  # how often each token id occurs
    unknown: float  # share of the tokens that are unknown
    tokens_per_word: float  # words as white space parts them


def token_use(tokenizer: "PreTrainedTokenizerFast", lines: Iterable[str]) -> TokenUse:
    """The tokens of some lines; a few hundred are enough. Example: ``counts`` [ids]."""
    words = 0

    def counted() -> Iterator[str]:
        nonlocal words
        for line in lines:
            words += len(line.split())
            yield line

    counts = np.zeros(number_of_ids(tokenizer), dtype=np.int64)
    for encodings in encoded(tokenizer, counted()):
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), dtype=np.int64)
        counts += np.bincount(ids, minlength=len(counts))
    total = int(counts.sum())
    unknown = 0 if tokenizer.unk_token_id is None else int(counts[tokenizer.unk_token_id])
    return TokenUse(counts, unknown / max(1, total), total / max(1, words))


def suspicions(corpora: Mapping[str, TokenUse], labelled: Mapping[str, TokenUse]) -> list[str]:
    """What is odd about texts and their languages, a sentence each with the cure; none for sound texts.

    ``corpora`` gives held-out lines of the unlabelled text of each language code, ``labelled`` those of task data
    where there are any, all under one tokenizer. Odd are two corpora in what looks like one language, labelled
    text that is nearer to another language's corpus than to its own (the corpora are swapped), more than 1 %
    unknown tokens, and more than 4 tokens a word, unless the language is written without spaces. Closely related
    languages may rouse the first suspicion wrongly.
    """
    found = []
    for one, other in combinations(corpora, 2):
        shared = _shared(corpora[one], corpora[other])
        if shared > _SAME_LANGUAGE:
            found.append(
                f"The {one} and {other} texts have {shared:.0%} of their tokens in common, as two texts of one "
                "language have. Check that neither is the other language's file."
            )
    for language, use in labelled.items():
        near = {name: _shared(use, corpus) for name, corpus in corpora.items()}
        nearest = max(near, key=near.__getitem__, default=language)
        if language in near and near[nearest] > _CLEARLY_NEARER * near[language]:
            found.append(
                f"The labelled {language} text has {near[nearest]:.0%} of its tokens in common with the {nearest} "
                f"text, and {near[language]:.0%} with the {language} text. Check that the texts are not swapped."
            )
    for kind, uses in (("", corpora), ("labelled ", labelled)):
        for language, use in uses.items():
            found += _oddities(f"{kind}{language}", language, use)
    return found


def _oddities(text: str, language: str, use: TokenUse) -> Iterator[str]:
    if use.unknown > _UNKNOWN:
        yield (
            f"{use.unknown:.1%} of the tokens of the {text} text are unknown to the tokenizer. "
            f"Check that the text is {language}, or take a teacher that knows its script."
        )
    spaced = re.split("[-_]", language)[0] not in _WITHOUT_SPACES
    if spaced and use.tokens_per_word > _TOKENS_A_WORD:
        yield (
            f"The {text} text takes {use.tokens_per_word:.1f} tokens a word. "
            f"Check that the text is {language}, or expect little of a teacher that hardly knows it."
        )


def _shared(one: TokenUse, other: TokenUse) -> float:
    """The overlap of two distributions of tokens: Σ min(p, q), from 0 to 1."""
    p, q = (use.counts / max(1, use.counts.sum()) for use in (one, other))
    return float(np.minimum(p, q).sum())
