"""Refitted output projections lose less than with means in place of what is dropped, and little where possible."""

import pytest
import torch
from test_width import batches, real_inputs

from bistil.models import families
from bistil.models.refit import refitted


@pytest.fixture
def teacher(tiny_encoder):
    return tiny_encoder("bert")


def lost(teacher, output, kept) -> tuple[float, float]:
    """What is missing of an output projection's result with the dropped inputs at their means, and refitted."""
    ((weight, bias),) = refitted(teacher, [output], [kept], batches())
    values = real_inputs(teacher, output)
    replaced = values.mean(0, keepdim=True).repeat(len(values), 1)
    replaced[:, kept] = values[:, kept]
    with torch.no_grad():
        results = output(replaced), values[:, kept] @ weight.T + bias
        return tuple(float((one - output(values)).square().mean()) for one in results)


def test_a_kept_neuron_speaks_for_one_that_does_the_same(teacher):
    layer = families.layers(teacher)[0]
    for part in (layer.intermediate.dense.weight, layer.intermediate.dense.bias):
        part.data[1] = part.data[0]
    output = layer.output.dense
    before, after = lost(teacher, output, torch.tensor([0, *range(2, output.in_features)]))
    assert after < 0.02 * before


@pytest.mark.parametrize("count", [1, 4, 12])
def test_less_is_lost_than_with_means(teacher, count):
    layers = families.layers(teacher)
    for output in (layers[0].output.dense, layers[1].attention.output.dense):
        before, after = lost(teacher, output, torch.arange(count))
        assert after < before
