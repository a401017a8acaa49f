import random
from collections import Counter
from itertools import pairwise, product

import pytest

from bistil.tasks.evenly import evenly


def fairest(counts, wanted):
    """Of all ways to take so many, the one whose smallest share is largest, then the next smallest, and so on."""
    ways = product(*(range(count + 1) for count in counts))
    return max(sorted(way) for way in ways if sum(way) == min(wanted, sum(counts)))


@pytest.mark.parametrize("seed", range(40))
def test_the_numbers_are_those_of_the_fairest_of_all_ways(seed):
    chance = random.Random(seed)
    counts = [chance.randint(1, 7) for _ in range(chance.randint(1, 5))]
    labels = [str(label) for label, count in enumerate(counts) for _ in range(count)]
    chance.shuffle(labels)
    wanted = chance.randint(0, len(labels) + 3)
    places = evenly(labels, wanted)
    assert places == sorted(set(places))
    found = Counter(labels[place] for place in places)
    assert sorted(found[label] for label in set(labels)) == fairest(counts, wanted)


def test_the_items_of_a_label_with_too_many_are_spread_over_its_own():
    labels = ["often"] * 1000 + ["seldom"] * 3
    places = evenly(labels, 13)
    assert places[10:] == [1000, 1001, 1002]
    assert places[0] < 100
    assert {after - before for before, after in pairwise(places[:10])} == {100}


def test_of_nothing_nothing_is_chosen():
    assert evenly([], 5) == []
    assert evenly(["one", "two"], 0) == []
