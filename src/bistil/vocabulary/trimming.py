"""The whole of vocabulary trimming, from text files to a verified model and tokenizer."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bistil.corpora.filters import Tally
from bistil.corpora.tokenizers import unused_ids, without_dropout
from bistil.errors import BistilError
from bistil.vocabulary.count import Counts, count_tokens
from bistil.vocabulary.counted import Corpus, count_corpus
from bistil.vocabulary.likely import likely_ids
from bistil.vocabulary.select import Rule, Selection, select
from bistil.vocabulary.trim import check_pair, closure, special_ids, trim_model, trim_tokenizer
from bistil.vocabulary.unkept import unkept_shares
from bistil.vocabulary.verify import Verification, verify

MAX_CHANGED = 0.01


@dataclass(frozen=True)
class TrimmedVocabulary:
    """A trimmed model and tokenizer, which ids of the teacher they keep, and the proof that they agree.

    `counts` has the occurrences of every token of the teacher by language. `report` is JSON-able: ids and
    parameters before and after, reasons, and what was measured by language. `tallies` say what filters dropped.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    selection: Selection
    verification: Verification
    counts: Mapping[str, Counts]
    report: dict[str, Any]
    tallies: Mapping[str, Tally] = field(default_factory=dict)


def trim_vocabulary(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    corpora: Mapping[str, Corpus],
    *,
    min_probability: float | None = None,
    min_count: int | None = None,
    coverage: float | None = None,
    top_k: int | None = None,
    max_changed: float | None = None,
    keep: Iterable[str] = (),
    size_multiple: int = 1,
    sample_lines: int | None = None,
    cache: Path | None = None,
    on_lines: Callable[[int], None] | None = None,
) -> TrimmedVocabulary:
    """Cut a model and its tokenizer down to the tokens that the languages of `corpora` need.

    A corpus is a file, glob or folder or a list of them (text, JSONL or Parquet, see `corpora.text.files`), or
    any other iterable of lines or of rows with a column ``text``, such as a `datasets` object or stream.
    Every hundredth line of a language, at most 1,000, is not counted but kept to verify the outcome.

    One rule says which tokens are frequent: `min_probability` (share of one language's tokens), `min_count`,
    `coverage` (share of the tokens of every language that the kept ones make up) or `top_k` (the exact size). With
    `max_changed`, likely tokens are added until no more than about this share of new lines should be
    segmented differently. Without any of them it is ``min_probability=1e-6, max_changed=0.01``.
    The model given is left as it is.

    Args:
        model: any of transformers with token embeddings.
        tokenizer: its own.
        corpora: the text of each language.
        min_probability: keep tokens that are this share of one language's tokens.
        min_count: or those that occur so often in one language.
        coverage: or those that make up this share of the tokens of every language.
        top_k: or exactly so many.
        max_changed: add likely tokens until about this share of new lines is segmented differently.
        keep: tokens, or words whose tokens are kept.
        size_multiple: round the size up, 64 for tensor cores.
        sample_lines: count only about so many lines of a language's files, spread over them; the report then says
            what share of the language's tokens is not kept, and what it is at most (95 %).
        cache: a folder in which counts of files are found again.
        on_lines: told how many more lines were read.

    Raises `BistilError` for a corpus that is missing or empty, a model and tokenizer that do not belong together,
    and a `top_k` that is smaller than what must be kept.
    Multilingual-E5-small for English and Turkish keeps about a quarter of its 250,002 tokens.
    """
    if not corpora:
        raise BistilError("No corpus is given. Give text of at least one language.")
    rules = {
        "min_probability": min_probability,
        "min_count": min_count,
        "coverage": coverage,
        "top_k": top_k,
    }
    rule, max_changed = _rule(rules, max_changed)
    tokenizer = without_dropout(tokenizer)
    check_pair(model, tokenizer)
    counted = {
        language: count_corpus(tokenizer, language, corpus, cache, on_lines, sample_lines)
        for language, corpus in corpora.items()
    }
    counts = {language: corpus.counts for language, corpus in counted.items()}
    held_out = {language: corpus.held_out for language, corpus in counted.items()}
    # No text of the corpora may gain an unknown token, neither what is counted nor what is not.
    all_counts = sum(counts.values(), count_tokens(tokenizer, chain.from_iterable(held_out.values())))
    unused = unused_ids(tokenizer)
    choose = partial(
        select,
        counts,
        rule,
        unused=unused,
        special=special_ids(tokenizer),
        listed=_listed(tokenizer, keep),
        closure=closure(tokenizer, all_counts),
    )
    if max_changed is None:
        selection = choose(multiple=size_multiple)
    else:
        tokens = [token or "" for token in tokenizer.convert_ids_to_tokens(range(len(all_counts)))]
        likely = likely_ids(counted, tokens, choose().ids, max_changed)
        selection = choose(likely=set(likely.tolist()).difference(unused), multiple=size_multiple)
    ids = selection.ids
    unkept = unkept_shares(counted, selection)
    trimmed_tokenizer = trim_tokenizer(tokenizer, ids)
    trimmed_model = trim_model(model, ids)
    verification = verify(model, tokenizer, trimmed_model, trimmed_tokenizer, ids, held_out)
    report = {
        "before": len(tokenizer),
        "after": len(ids),
        rule.name: rule.value,
        "max_changed": max_changed,
        "parameters_before": model.num_parameters(),
        "parameters_after": trimmed_model.num_parameters(),
        "embedding_parameters_before": model.get_input_embeddings().weight.numel(),
        "embedding_parameters_after": trimmed_model.get_input_embeddings().weight.numel(),
        "reasons": dict(Counter(selection.reasons)),
        "max_difference": verification.max_difference,
        "languages": {
            language: {
                "counted_tokens": int(np.sum(counts[language])),
                **asdict(measured),
                **unkept.get(language, {}),
            }
            for language, measured in verification.languages.items()
        },
    }
    tallies = {language: corpus.tally for language, corpus in counted.items() if corpus.tally is not None}
    return TrimmedVocabulary(trimmed_model, trimmed_tokenizer, selection, verification, counts, report, tallies)


def _rule(rules: Mapping[str, float | None], max_changed: float | None) -> tuple[Rule, float | None]:
    given = {name: value for name, value in rules.items() if value is not None}
    if len(given) > 1:
        raise BistilError(f"{' and '.join(given)} are two rules for the same thing. Give one of them.")
    if max_changed is not None:
        if not 0 < max_changed < 1:
            raise BistilError(f"max_changed is {max_changed}. Give a share between 0 and 1, such as 0.01.")
        if "top_k" in given:
            raise BistilError("top_k sets the exact size, so that max_changed cannot. Give one of them.")
    if not given:
        return Rule(), MAX_CHANGED if max_changed is None else max_changed
    ((name, value),) = given.items()
    return Rule(name, value), max_changed


def _listed(tokenizer: PreTrainedTokenizerFast, entries: Iterable[str]) -> set[int]:
    """The ids of a user's list: of every entry that is a token, and of the tokens of every entry as text.

    That is at the start of a text and behind a space, where byte-level BPE has other tokens.
    """
    entries, vocabulary = list(entries), tokenizer.get_vocab()
    texts = count_tokens(tokenizer, [*entries, *(f" {entry}" for entry in entries)])
    return {*np.flatnonzero(texts).tolist(), *(vocabulary[entry] for entry in entries if entry in vocabulary)}
