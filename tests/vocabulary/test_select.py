from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bistil.errors import BistilError
from bistil.vocabulary.select import select

COUNTS = st.lists(st.integers(0, 50), min_size=12, max_size=12).filter(any)


@given(
    en=COUNTS,
    tr=COUNTS,
    threshold=st.sampled_from([0.5, 0.125, 0.0625, 2**-10]),
    special=st.sets(st.integers(0, 11)),
    closure=st.sets(st.integers(0, 11)),
)
def test_the_rule_by_exact_fractions(en, tr, threshold, special, closure):
    selection = select(
        {"en": np.array(en), "tr": np.array(tr)},
        min_probability=threshold,
        special=special,
        closure=closure,
    )
    frequent = {
        number
        for number in range(12)
        if max(Fraction(en[number], sum(en)), Fraction(tr[number], sum(tr))) >= Fraction(threshold)
    }
    kept = dict(zip(selection.ids.tolist(), selection.reasons, strict=True))
    assert list(kept) == sorted(frequent | special | closure)
    assert {number for number, reason in kept.items() if reason == "special"} == special
    assert {number for number, reason in kept.items() if reason == "frequency"} == frequent - special
    assert {number for number, reason in kept.items() if reason == "closure"} == closure - frequent - special


def test_one_in_a_million_is_enough():
    assert select({"en": np.array([999_999, 1])}, special=[], closure=[]).ids.tolist() == [0, 1]
    assert select({"en": np.array([1_000_000, 1])}, special=[], closure=[]).ids.tolist() == [0]


def test_empty_corpus_is_named():
    with pytest.raises(BistilError, match="The tr corpus has no tokens"):
        select({"en": np.ones(3, int), "tr": np.zeros(3, int)}, special=[], closure=[])
