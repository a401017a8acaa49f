"""Features as training keeps them: the same batches as from lists, in less memory."""

from functools import partial

import numpy as np
import pytest
import torch

from bistil.tasks import Classification, Parsing, PartOfSpeech, QuestionAnswering
from bistil.tasks.classification import Example
from bistil.tasks.squad import Answer, Question
from bistil.tasks.words import Sentence
from bistil.training import batches

WORDS = ("the", "cat", "sleeps", ".")
TASKS = {
    "pairs": (
        Classification(("no", "yes"), pairs=True),
        [Example(("a cat", "sleeps"), "yes"), Example(("b", "c"), "no")],
    ),
    "tags": (PartOfSpeech(("NOUN", "PUNCT")), [Sentence(WORDS[:n], ("NOUN",) * n) for n in (4, 2, 3)]),
    "trees": (Parsing(("dep", "root")), [Sentence(WORDS[:n], ("0:root", *["1:dep"] * (n - 1))) for n in (4, 2)]),
    "questions": (
        QuestionAnswering(),
        [Question("who?", "the cat sleeps " * n, (Answer("cat", 4),)) for n in (20, 1)],
    ),
}


@pytest.fixture(params=TASKS)
def features(request, tiny_tokenizer):
    """A function that makes features of examples, the examples, and the collator of their task."""
    task, examples = TASKS[request.param]
    make = partial(task.features, tokenizer=tiny_tokenizer, max_length=32)
    return make, examples, task.collator(tiny_tokenizer)


def test_batches_are_those_of_lists(features, monkeypatch):
    make, examples, collator = features
    monkeypatch.setattr(batches, "_TOGETHER", 1)
    expected, found = collator(make(examples)), collator([*batches.as_arrays(make, examples)])
    assert {**expected}.keys() == {**found}.keys()
    for name, values in expected.items():
        assert values.dtype == found[name].dtype
        torch.testing.assert_close(found[name], values)


@pytest.mark.parametrize("count", [1000, 1001, 1004, 4003])
def test_later_passes_pad_as_little_as_the_first(count):
    chance = np.random.default_rng(0)
    lengths = np.clip(chance.lognormal(3, 0.6, count).astype(int) + 2, 3, 128)
    order = batches.training_order(lengths, 8, 5, seed=0)
    cut = lengths[order[: len(order) // 8 * 8]].reshape(-1, 8)
    padded = [8 * own.max(1).sum() / own.sum() for own in np.array_split(cut, 5)]
    assert max(padded) < 1.03 * padded[0] < 1.2


def test_a_number_takes_four_bytes(features):
    make, examples, _ = features
    values = [value for one in batches.as_arrays(make, examples) for value in one.values() if np.ndim(value)]
    assert {value.itemsize for value in values} == {4}
    assert [len(value) for value in values] == [
        len(v) for one in make(examples) for v in one.values() if np.ndim(v)
    ]
