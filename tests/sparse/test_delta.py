"""A delta against the dense model it was taken from, in memory and through a file."""

import pytest
import torch
from torch import nn

from bistil.errors import BistilError
from bistil.sparse.delta import SparseDelta


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.ModuleDict({"body": nn.Linear(4, 3), "head": nn.Linear(3, 2)})


@pytest.fixture
def tuned():
    """A start, a tuned model that differs from it at three positions of the body and in the head, the delta."""
    start, model = network(0), network(0)
    positions = {"body.weight": torch.tensor([1, 7]), "body.bias": torch.tensor([2])}
    with torch.no_grad():
        model["body"].weight.view(-1)[[1, 7]] += 1
        model["body"].bias[2] = 5
        model["head"].weight.zero_()
    group = {name: value.detach() for name, value in start.named_parameters() if name.startswith("body")}
    return start, model, SparseDelta.of(group, model, positions, "task")


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_start_plus_delta_is_the_tuned_model(tuned, tmp_path):
    start, model, delta = tuned
    assert delta.density == 3 / 15
    delta.save(tmp_path)
    SparseDelta.load(tmp_path).apply(start)
    assert same(start, model)


def test_head_of_the_start_does_not_matter(tuned):
    start, model, delta = tuned
    with torch.no_grad():
        start["head"].weight.fill_(7)
    delta.apply(start)
    assert same(start, model)


def test_another_base_is_refused(tuned):
    _, _, delta = tuned
    other = network(1)
    with pytest.raises(BistilError, match="made for another model"):
        delta.apply(other)
    assert same(other, network(1))
    with pytest.raises(BistilError, match="made for another model"):
        delta.apply(nn.Linear(2, 2))


def test_a_folder_without_delta(tmp_path):
    with pytest.raises(BistilError, match="holds no sparse delta"):
        SparseDelta.load(tmp_path)
