from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bistil.errors import BistilError
from bistil.vocabulary.select import Rule, select

COUNTS = st.lists(st.integers(0, 50), min_size=12, max_size=12).filter(any)
IDS = st.sets(st.integers(0, 11))


def chosen(counts, rule=None, *, special=(), closure=lambda kept: (), **options):
    counts = {language: np.array(count) for language, count in counts.items()}
    selection = select(counts, rule or Rule(), special=special, closure=closure, **options)
    return dict(zip(selection.ids.tolist(), selection.reasons, strict=True))


def below(kept):
    """Every token needs the two whose number is a half and a third of its own, like merges."""
    needed = set()
    for token in kept:
        needed |= {token // 2, token // 3, *below({token // 2, token // 3} - {token})}
    return needed


@given(
    en=COUNTS,
    tr=COUNTS,
    threshold=st.sampled_from([0.5, 0.125, 0.0625, 2**-10]),
    special=IDS,
    closure=IDS,
    listed=IDS,
)
def test_the_rule_by_exact_fractions(en, tr, threshold, special, closure, listed):
    kept = chosen(
        {"en": en, "tr": tr},
        Rule("min_probability", threshold),
        special=special,
        closure=lambda kept: closure,
        listed=listed,
    )
    frequent = {
        number
        for number in range(12)
        if max(Fraction(en[number], sum(en)), Fraction(tr[number], sum(tr))) >= Fraction(threshold)
    }
    by_reason = {
        "special": special,
        "listed": listed - special,
        "frequency": frequent - special - listed,
        "closure": closure - frequent - special - listed,
    }
    assert list(kept) == sorted(set().union(*by_reason.values()))
    for reason, ids in by_reason.items():
        assert {number for number, why in kept.items() if why == reason} == ids


def test_one_in_a_million_is_enough():
    assert list(chosen({"en": [999_999, 1]})) == [0, 1]
    assert list(chosen({"en": [1_000_000, 1]})) == [0]


@given(en=COUNTS, tr=COUNTS, least=st.integers(1, 50))
def test_min_count(en, tr, least):
    expected = [number for number in range(12) if max(en[number], tr[number]) >= least]
    assert list(chosen({"en": en, "tr": tr}, Rule("min_count", least))) == expected


@given(en=COUNTS, coverage=st.sampled_from([0.25, 0.5, 0.75, 1.0]))
def test_coverage_is_reached_with_the_fewest_tokens(en, coverage):
    kept = chosen({"en": en}, Rule("coverage", coverage))
    covered = [sum(sorted(en, reverse=True)[:number]) for number in range(13)]
    fewest = next(number for number in range(13) if covered[number] >= coverage * sum(en))
    assert len(kept) == fewest
    assert sum(en[number] for number in kept) == covered[fewest]


def test_coverage_holds_in_every_language():
    assert list(chosen({"en": [9, 1, 0, 0], "tr": [0, 0, 8, 2]}, Rule("coverage", 0.9))) == [0, 2, 3]


@given(en=COUNTS, tr=COUNTS, size=st.integers(1, 12), special=IDS)
def test_top_k_is_exact_and_closed(en, tr, size, special):
    needed = special | below(special)
    if len(needed) > size:
        with pytest.raises(BistilError, match=f"allows {size} tokens, but {len(needed)} must be kept"):
            chosen({"en": en, "tr": tr}, Rule("top_k", size), special=special, closure=below)
        return
    kept = chosen({"en": en, "tr": tr}, Rule("top_k", size), special=special, closure=below)
    assert len(kept) == size
    assert special | below(kept) <= kept.keys()
    # A token that is left out would not fit, or is at most as frequent as all that fill the size.
    best = [max(Fraction(en[number], sum(en)), Fraction(tr[number], sum(tr))) for number in range(12)]
    least = min((best[number] for number, why in kept.items() if why == "frequency"), default=1)
    first = {number for number in range(12) if best[number] > least}
    base = special | first
    if len(base | below(base)) <= size:
        assert first <= kept.keys()


@given(en=COUNTS, multiple=st.sampled_from([2, 3, 4, 6]), closure=IDS)
def test_sizes_are_rounded_up_with_the_next_most_frequent(en, multiple, closure):
    rule = Rule("min_probability", 0.125)
    plain = chosen({"en": en}, rule, closure=lambda kept: closure)
    kept = chosen({"en": en}, rule, closure=lambda kept: closure, multiple=multiple)
    assert len(kept) == -(-len(plain) // multiple) * multiple
    assert plain.items() <= kept.items()
    filled = kept.keys() - plain.keys()
    assert Counter(kept.values())["multiple"] == len(filled)
    assert all(en[one] >= en[other] for one in filled for other in range(12) if other not in kept)


def test_likely_tokens_are_kept_for_that():
    assert chosen({"en": [1, 0, 0]}, likely=[0, 2]) == {0: "frequency", 2: "likely"}


@pytest.mark.parametrize(
    ("rule", "options", "message"),
    [
        (("top_k", 4), {}, "asks for 4 tokens, but the tokenizer has only 3"),
        (("top_k", 2), {"multiple": 3}, "top_k is 2, which is no multiple of 3"),
        (("min_probability", 0.01), {"multiple": 2}, "a multiple of 2 asks for 4 tokens, but .* only 3"),
    ],
)
def test_sizes_that_are_not_there(rule, options, message):
    with pytest.raises(BistilError, match=message):
        chosen({"en": [1, 2, 3]}, Rule(*rule), **options)


def test_every_token_is_at_least_as_likely_as_none():
    counts = {"en": [0, 9, 1, 0], "tr": [0, 5, 0, 0]}
    assert [*chosen(counts, Rule("min_probability", 0))] == [0, 1, 2, 3]
    assert [*chosen(counts, Rule("min_probability", 0.05))] == [1, 2]


@pytest.mark.parametrize(
    ("name", "value"),
    [("top_k", 0), ("top_k", 1.5), ("min_count", -1), ("coverage", 1.1), ("min_probability", float("nan"))],
)
def test_values_that_mean_nothing(name, value):
    with pytest.raises(BistilError, match=f"{name} is {value}"):
        Rule(name, value)


def test_empty_corpus_is_named():
    with pytest.raises(BistilError, match="The tr corpus has no tokens"):
        chosen({"en": np.ones(3, int), "tr": np.zeros(3, int)})
