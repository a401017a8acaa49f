"""Paired bootstrap against scipy's, and against what must be so."""

import numpy as np
import pytest
from scipy import stats

from bistil.evaluation.significance import compare
from bistil.tasks import NamedEntities, Parsing, PartOfSpeech, Prediction, QuestionAnswering
from bistil.tasks.squad import Answer, Question
from bistil.tasks.words import Sentence


def tagged(seed: int, examples: int, accuracy: float) -> list[tuple[float, float]]:
    """Sentences of 1 to 20 words, some right."""
    chance = np.random.default_rng(seed)
    words = chance.integers(1, 21, examples)
    return [(float(chance.binomial(count, accuracy)), float(count)) for count in words]


def test_intervals_are_those_of_scipy():
    model, other = tagged(0, 300, 0.75), tagged(0, 300, 0.80)
    one, two = np.array(model), np.array(other)

    def difference(places, axis=-1):
        return 100 * (one[places, 0].sum(axis) / one[places, 1].sum(axis)) - 100 * (
            two[places, 0].sum(axis) / two[places, 1].sum(axis)
        )

    expected = stats.bootstrap(
        (np.arange(300),), difference, n_resamples=9999, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    found = compare([model], [other], resamples=9999)
    assert found.difference == pytest.approx(difference(np.arange(300)))
    assert found.difference_low == pytest.approx(expected.low, abs=0.15)
    assert found.difference_high == pytest.approx(expected.high, abs=0.15)
    assert found.retention == pytest.approx(
        100 * one[:, 0].sum() / one[:, 1].sum() / (two[:, 0].sum() / two[:, 1].sum())
    )
    assert found.retention_low < found.retention < found.retention_high


def test_of_nothing_no_share_is_kept():
    nothing, something = [[(0.0, 1.0)] * 20], [[(1.0, 1.0)] * 2 + [(0.0, 1.0)] * 18]
    found = compare(something, nothing)
    assert (found.difference, found.retention, found.retention_low) == (10.0, None, None)
    assert compare(nothing, something).retention is None  # of twenty, two right are none in one drawing of nine


def test_seeds_are_averaged_over_the_same_examples():
    model, other = [tagged(0, 50, 0.7), tagged(1, 50, 0.9)], [tagged(2, 50, 0.5)]
    scores = [100 * np.sum(side, 0)[0] / np.sum(side, 0)[1] for side in (*model, *other)]
    assert compare(model, other).difference == pytest.approx(np.mean(scores[:2]) - scores[2])
    # of a model and itself nothing is left, whichever examples are drawn
    same = compare(model, model)
    assert (same.difference, same.difference_low, same.difference_high, same.p) == (0, 0, 0, 1)


def test_p_is_rightly_distributed():
    """Of equal models every twentieth or so pair differs at 5 %; of very different ones all do."""
    p = [compare([tagged(2 * n, 100, 0.8)], [tagged(2 * n + 1, 100, 0.8)], resamples=400).p for n in range(200)]
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.12
    assert compare([tagged(0, 100, 0.5)], [tagged(1, 100, 0.9)]).p == pytest.approx(2 / 2001)


def test_contributions_of_labels_and_trees():
    gold = [Sentence(("a",), ("NOUN",)), Sentence(("b", "c"), ("VERB", "NOUN"))]
    task, found = (
        PartOfSpeech(("NOUN", "VERB")),
        [Prediction(("NOUN",), (1.0,)), Prediction(("NOUN", "NOUN"), (1.0, 1.0))],
    )
    assert task.contributions(gold, found) == [(1, 1), (1, 2)]
    trees = [Sentence(("a", "b"), ("0:root", "1:obj"))]
    answer = [Prediction(("0:root", "1:nsubj"), (1.0, 1.0))]
    parsing = Parsing(("nsubj", "obj", "root"))
    assert parsing.contributions(trees, answer) == [(1, 2)]
    assert parsing.score(trees, answer)["las"] == 50


def test_contributions_of_entities_and_answers_give_the_score():
    tags = [("B-PER", "I-PER", "O", "B-LOC"), ("O", "O"), ("B-ORG",)]
    found = [("B-PER", "O", "O", "B-LOC"), ("O", "B-LOC"), ("B-ORG",)]
    gold = [Sentence(tuple("abcd"[: len(own)]), own) for own in tags]
    predictions = [Prediction(own, (1.0,) * len(own)) for own in found]
    task = NamedEntities(tuple(sorted({tag for own in tags for tag in own})))
    parts = np.array(task.contributions(gold, predictions))
    assert parts.tolist() == [[2, 4], [0, 1], [2, 2]]
    assert 100 * parts[:, 0].sum() / parts[:, 1].sum() == pytest.approx(task.score(gold, predictions)["f1"])

    questions = [Question("?", "the black cat", (Answer("cat", 10),)), Question("?", "b", (Answer("b", 0),))]
    answers = [Prediction(("black cat",), (1.0,)), Prediction(("x",), (1.0,))]
    parts = np.array(QuestionAnswering().contributions(questions, answers))
    assert parts == pytest.approx(np.array([[2 / 3, 1], [0, 1]]))
    assert 100 * parts[:, 0].mean() == pytest.approx(QuestionAnswering().score(questions, answers)["f1"])
