"""The switch against models that were tuned apart."""

import copy

import pytest
import torch
from torch import nn

from bistil.errors import BistilError
from bistil.sparse.delta import SparseDelta
from bistil.sparse.switch import DeltaSwitch


@pytest.fixture
def languages():
    """A base, and two tuned copies of it that overlap in what they changed."""
    generator = torch.Generator().manual_seed(0)
    base = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 2))
    tuned = {}
    for language in ("en", "tr"):
        tuned[language] = copy.deepcopy(base)
        with torch.no_grad():
            for value in tuned[language].parameters():
                value[torch.rand(value.shape, generator=generator) < 0.5] += 1
    return base, tuned


def equal(first: nn.Module, second: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_every_switch_gives_that_language_to_the_bit(languages):
    base, tuned = languages
    start = copy.deepcopy(base)
    with DeltaSwitch(base, {name: SparseDelta.diff(base, model) for name, model in tuned.items()}) as switch:
        for step in range(3000):
            language = ("en", "tr", None)[step * step % 7 % 3]
            switch.to(language)
            assert switch.language == language
            if step % 100 < 7:
                assert equal(base, tuned[language] if language else start)
    assert equal(base, start)
    assert switch.language is None


def test_sums_can_be_switched(languages):
    base, tuned = languages
    english, turkish = (SparseDelta.diff(base, model) for model in tuned.values())
    expected = copy.deepcopy(base)
    (english + turkish).merge(expected)
    DeltaSwitch(base, {"both": english + turkish}).to("both")
    assert equal(base, expected)


def test_a_head_goes_with_its_language(languages):
    base, tuned = languages
    headed = nn.Sequential(*tuned["en"], nn.Linear(2, 3))
    deltas = {"en": SparseDelta.diff(base, headed), "tr": SparseDelta.diff(base, tuned["tr"])}
    model = nn.Sequential(*base, nn.Linear(2, 3))
    start = copy.deepcopy(model)
    with DeltaSwitch(model, deltas) as switch:
        switch.to("en")
        assert equal(model, headed)
        switch.to("tr")
        assert equal(model, nn.Sequential(*tuned["tr"], start[2]))
    assert equal(model, start)


def test_unknown_language_and_wrong_model(languages):
    base, tuned = languages
    deltas = {"en": SparseDelta.diff(base, tuned["en"])}
    with pytest.raises(BistilError, match=r"no delta for 'de'\. Give one of en, or None"):
        DeltaSwitch(base, deltas).to("de")
    with pytest.raises(BistilError, match="made for another model"):
        DeltaSwitch(tuned["tr"], deltas)
