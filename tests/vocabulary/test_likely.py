import numpy as np
import pytest

from bistil.vocabulary.counted import Counted
from bistil.vocabulary.likely import likely_ids

TOKENS, WORDS_A_LINE = 3000, 8


@pytest.fixture(scope="module")
def language():
    """Tokens of two alphabets, of which a language has the first; how likely each token is; a corpus of it."""
    chance = np.random.default_rng(0)
    tokens = ["".join(chance.choice(list("abcdeg" if i % 2 == 0 else "uvwxyz"), 4)) for i in range(TOKENS)]
    own = chance.permutation(np.arange(0, TOKENS, 2))
    probability = np.zeros(TOKENS)
    probability[own] = 1 / np.arange(10, 10 + len(own))
    probability /= probability.sum()
    lines = chance.choice(TOKENS, (3000, WORDS_A_LINE), p=probability)
    return tokens, probability, Counted(np.bincount(lines.ravel(), minlength=TOKENS), len(lines), ())


def changed(kept, probability):
    lines = np.random.default_rng(1).choice(TOKENS, (20_000, WORDS_A_LINE), p=probability)
    return float((~np.isin(lines, kept)).any(axis=1).mean())


@pytest.mark.parametrize("least", [1, 20])
def test_new_lines_change_as_seldom_as_asked(language, least):
    tokens, probability, corpus = language
    kept = np.flatnonzero(corpus.counts >= least)
    likely = likely_ids({"en": corpus}, tokens, kept, 0.004)
    assert not set(likely.tolist()) & set(kept.tolist())
    before, after = changed(kept, probability), changed([*kept, *likely], probability)
    assert before > 0.01
    assert after <= 0.006
    assert np.mean(likely % 2 == 0) > 0.95  # those of the language's alphabet


def test_what_is_enough_stays(language):
    tokens, _, corpus = language
    kept = np.flatnonzero(corpus.counts)
    assert not len(likely_ids({"en": corpus}, tokens, kept, 0.9))


def test_frequent_tokens_come_back_first(language):
    tokens, probability, corpus = language
    likely = likely_ids({"en": corpus}, tokens, np.flatnonzero(corpus.counts >= 20), 0.2)
    cut = np.flatnonzero((corpus.counts > 0) & (corpus.counts < 20))
    assert 0 < len(likely) < len(cut)
    assert corpus.counts[likely].min() >= corpus.counts[np.setdiff1d(cut, likely)].max()
    assert changed([*np.flatnonzero(corpus.counts >= 20), *likely], probability) <= 0.22


def test_a_corpus_too_small_to_learn_from():
    corpus = Counted(np.array([1, 1, 0, 0]), 2, ())
    assert not len(likely_ids({"en": corpus}, ["a", "b", "c", "d"], np.array([0, 1]), 0.01))


def test_a_vocabulary_of_a_few_tokens():
    tokens = [letter * 3 for letter in "abcdefghijklmnopqrstuvwxyz"]
    counts = np.array([5] * 4 + [1] * 6 + [0] * 16)
    kept = np.flatnonzero(counts)
    likely = likely_ids({"en": Counted(counts, 100, ())}, tokens, kept, 0.01)
    assert not counts[likely].any()
