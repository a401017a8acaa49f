import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, precision_recall_fscore_support

from bistil.tasks import Classification, Prediction
from bistil.tasks.classification import Example
from bistil.tasks.rates import Rates, by_chance, rates

LABELS = [f"label {number}" for number in range(12)]
PAIRS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=60)


@given(PAIRS)
def test_rates_are_those_of_sklearn_to_the_bit(pairs):
    gold, predicted = map(list, zip(*pairs, strict=True))
    found = rates(gold, predicted)
    assert list(found) == sorted({*gold, *predicted})
    columns = precision_recall_fscore_support(gold, predicted, labels=list(found), zero_division=0.0)
    assert list(found.values()) == [Rates(*row) for row in zip(*columns, strict=True)]


@given(PAIRS)
def test_what_is_right_by_chance_is_that_of_sklearns_kappa(pairs):
    gold, predicted = map(list, zip(*pairs, strict=True))
    (expected, _), right = by_chance(gold, predicted), accuracy_score(gold, predicted)
    if expected < 1:
        kappa = (right - expected) / (1 - expected)
        assert math.isclose(kappa, cohen_kappa_score(gold, predicted), abs_tol=1e-9)
    else:
        assert len({*gold, *predicted}) == 1


def test_the_error_of_chance_is_that_of_answers_in_any_order():
    generator = np.random.default_rng(0)
    gold = np.array(["a"] * 150 + ["b"] * 40 + ["c"] * 10)
    predicted = np.array(["a"] * 120 + ["b"] * 75 + ["d"] * 5)
    drawn = [np.mean(gold == generator.permutation(predicted)) for _ in range(20_000)]
    expected, error = by_chance(list(gold), list(predicted))
    assert math.isclose(np.mean(drawn), expected, rel_tol=0.01)
    assert math.isclose(np.std(drawn), error, rel_tol=0.03)


@given(PAIRS)
def test_scores_are_those_of_sklearn_to_the_bit(pairs):
    gold, predicted = map(list, zip(*pairs, strict=True))
    examples = [Example(("a text",), label) for label in gold]
    score = Classification(tuple(LABELS)).score(examples, [Prediction((label,), (1.0,)) for label in predicted])
    macro = f1_score(gold, predicted, average="macro", zero_division=0.0)
    assert score == {"accuracy": 100 * accuracy_score(gold, predicted), "macro_f1": 100 * float(macro)}
    assert all(isinstance(value, float) and not isinstance(value, np.generic) for value in score.values())
