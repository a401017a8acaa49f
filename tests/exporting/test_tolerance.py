"""Which products stay in float32, against trying all sets of them."""

import random
from itertools import combinations

import pytest

from bistil.errors import BistilError
from bistil.exporting.quantisation import Product
from bistil.exporting.tolerance import choose, grouped


def costs(chance, languages):
    """What each of six groups costs each language; they add up."""
    return {f"g{number}": {one: chance.choice([0.0, 0.1, 0.2, 0.7]) for one in languages} for number in range(6)}


def left(cost, kept):
    languages = next(iter(cost.values()))
    return {one: sum(own[one] for group, own in cost.items() if group not in kept) for one in languages}


def fewest(cost, tolerance):
    """The size of the smallest set that meets the tolerance, by trying all."""
    return next(
        size
        for size in range(len(cost) + 1)
        for kept in combinations(cost, size)
        if max(left(cost, kept).values()) <= tolerance + 1e-9
    )


@pytest.mark.parametrize("seed", range(40))
def test_as_few_as_possible_where_costs_add_up(seed):
    cost = costs(random.Random(seed), ["tr"])
    wanted = fewest(cost, 0.3)
    if wanted > 3:
        with pytest.raises(BistilError, match=r"int8 costs more than 0\.3 points"):
            choose(cost, lambda kept: left(cost, kept), 0.3 + 1e-9)
        return
    kept = choose(cost, lambda kept: left(cost, kept), 0.3 + 1e-9)
    assert len(kept.groups) == wanted
    assert kept.losses == left(cost, kept.groups)


@pytest.mark.parametrize("seed", range(20))
def test_no_language_loses_more(seed):
    cost = costs(random.Random(seed), ["tr", "en", "eu"])
    try:
        kept = choose(cost, lambda kept: left(cost, kept), 0.5)
    except BistilError:
        return
    assert max(left(cost, kept.groups).values()) <= 0.5


def test_nothing_is_tried_where_all_is_well():
    asked = []

    def measure(kept):
        asked.append(kept)
        return {"tr": -0.2, "en": 0.3}

    kept = choose(["a", "b"], measure, 0.3)
    assert (kept.groups, asked) == ((), [()])
    assert choose(["a", "b"], lambda kept: {}, 0.0).groups == ()


def test_what_cannot_be_met_is_refused_with_names():
    cost = {name: {"tr": loss, "en": 0.0} for name, loss in (("a", 0.1), ("b", 2.0), ("c", 1.0), ("d", 0.4))}
    with pytest.raises(BistilError, match=r"0\.3 points \(tr 0\.5, en 0\.0\), even with b; c in float32"):
        choose(cost, lambda kept: left(cost, kept), 0.3)
    with pytest.raises(BistilError, match="tr nan"):
        choose(cost, lambda kept: {"tr": float("nan")}, 0.3)


def test_groups_are_what_a_layer_multiplies_by_the_same_input():
    layer = "bert.encoder.layer.{}.attention.self.{}.weight"
    made = [
        Product("bert.embeddings.word_embeddings.weight", "input_ids", 9, True),
        Product("bert.embeddings.position_embeddings.weight", "positions", 9, True),
        *(Product(layer.format(0, part), "states", 9, False) for part in ("query", "key", "value")),
        Product("bert.encoder.layer.0.output.dense.weight", "gelu", 9, False),
        Product(layer.format(1, "query"), "states", 9, False),
        Product("classifier.weight", "states", 9, False),
    ]
    found = grouped(made)
    assert list(found) == [
        "embeddings",
        "bert.encoder.layer.0.attention.self.query, key, value",
        "bert.encoder.layer.0.output.dense",
        "bert.encoder.layer.1.attention.self.query",
        "classifier",
    ]
    assert [len(names) for names in found.values()] == [2, 3, 1, 1, 1]
    assert sorted(name for names in found.values() for name in names) == sorted(one.name for one in made)
