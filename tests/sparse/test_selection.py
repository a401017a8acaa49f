"""The chosen entries against a full sort."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bistil.errors import BistilError
from bistil.sparse.selection import largest_changes

# Few different values, so that ties are the rule.
changes = st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.0, -3.0]), min_size=2, max_size=30)


@given(changes, changes, st.floats(0.05, 1.0))
def test_equals_a_full_sort_with_ties_by_position(first, second, density):
    start = {"a": torch.zeros(len(first)), "b": torch.ones(len(second), 1)}
    end = {"a": torch.tensor(first), "b": start["b"] + torch.tensor(second)[:, None]}
    entries = [("a", i, abs(v)) for i, v in enumerate(first)] + [("b", i, abs(v)) for i, v in enumerate(second)]
    count = int(density * len(entries))
    if count == 0:
        with pytest.raises(BistilError, match="leaves none to train"):
            largest_changes(start, end, density)
        return
    best = sorted(entries, key=lambda entry: -entry[2])[:count]  # Python's sort is stable
    found = largest_changes(start, end, density)
    assert {(name, index) for name in found for index in found[name].tolist()} == {(n, i) for n, i, _ in best}
    assert all(positions.tolist() == sorted(positions.tolist()) for positions in found.values())


def test_worked_example():
    found = largest_changes({"w": torch.zeros(4)}, {"w": torch.tensor([1.0, 3.0, 2.0, -3.0])}, 0.5)
    assert found["w"].tolist() == [1, 3]


@pytest.mark.parametrize("density", [0, -0.1, 1.01])
def test_impossible_density(density):
    with pytest.raises(BistilError, match="share above 0 and at most 1"):
        largest_changes({"w": torch.zeros(4)}, {"w": torch.ones(4)}, density)
