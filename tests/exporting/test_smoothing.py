"""Channels much larger than the others are divided before they are rounded, and weights make up for it."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from tests.exporting.test_graph import Spelled, inputs, outputs_of
from torch import nn
from transformers import AutoModelForTokenClassification

from bistil.exporting.graph import example_batches, write_graph
from bistil.exporting.quantisation import quantise
from bistil.exporting.smoothing import divisors, even


def made_uneven(family, tiny_encoder, file):
    """A tagger of 64 channels, of which layer norms make one 40 times larger, and weights use it as much less."""
    model = tiny_encoder(family, AutoModelForTokenClassification, num_labels=3, hidden_size=64).eval()
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.LayerNorm) and name != "deberta.encoder.LayerNorm":  # that of positions
                module.weight[5] *= 40
            if isinstance(module, nn.Linear) and module.in_features == 64:
                module.weight[:, 5] /= 40
    write_graph(model, Spelled(), file)
    batches = example_batches(model, Spelled())
    return model, file, divisors(file, [{name: own.numpy() for name, own in one.items()} for one in batches])


@pytest.fixture(scope="module")
def uneven(tiny_encoder, tmp_path_factory):
    """A BERT that is."""
    return made_uneven("bert", tiny_encoder, tmp_path_factory.mktemp("uneven") / "model.onnx")


def test_divisors_are_those_of_the_inputs_in_torch(uneven):
    model, _, found = uneven
    largest = {}

    def see(module, given):
        peak = given[0].abs().flatten(0, -2).amax(0)
        largest[module] = torch.maximum(largest.get(module, peak), peak)

    handles = [one.register_forward_pre_hook(see) for one in model.modules() if isinstance(one, nn.Linear)]
    with torch.inference_mode():
        for batch in example_batches(model, Spelled()):
            model(**batch)
    for handle in handles:
        handle.remove()
    expected = []
    for peak in largest.values():
        usual = sorted(peak.tolist())[int(0.98 * (len(peak) - 1))]
        own = (peak / usual).clamp(min=1).numpy()
        # query, key and value have their input in common
        if not any(len(own) == len(other) and np.allclose(own, other, rtol=1e-3) for other in expected):
            expected.append(own)
    assert len(found) == len(expected)
    for one, other in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3)
    assert max(float(own[5]) for own in found.values() if len(own) == 64) > 4


def test_int8_is_nearer_to_float32(uneven, tmp_path):
    _, file, found = uneven
    quantise(file, tmp_path / "plain.onnx")
    quantise(file, tmp_path / "even.onnx", divisors=found)
    batch = inputs(4, 24)
    exact, plain, better = (
        outputs_of(one, **batch)["logits"] for one in (file, tmp_path / "plain.onnx", tmp_path / "even.onnx")
    )
    assert (better - exact).norm() < 0.5 * (plain - exact).norm()


@pytest.mark.slow
def test_positions_that_share_a_weight_with_tokens_are_divided_as_they_are(tiny_encoder, tmp_path):
    _, file, found = made_uneven("deberta-v2", tiny_encoder, tmp_path / "model.onnx")
    quantise(file, tmp_path / "plain.onnx")
    quantise(file, tmp_path / "even.onnx", divisors=found)
    batch = inputs(4, 24)
    exact, plain, better = (
        outputs_of(tmp_path / f"{one}.onnx", **batch)["logits"] for one in ("model", "plain", "even")
    )
    assert (better - exact).norm() < 0.05 * (plain - exact).norm()


def test_what_is_kept_and_what_is_even_is_as_it_was(uneven, tmp_path):
    _, file, found = uneven
    names = [one.name for one in quantise(file, tmp_path / "all.onnx", divisors=found)]
    quantise(file, tmp_path / "kept.onnx", [name for name in names if "layer.1" in name], found)
    before, after = (onnx.load(one).graph for one in (file, tmp_path / "kept.onnx"))
    weights = [{one.name: numpy_helper.to_array(one) for one in graph.initializer} for graph in (before, after)]
    kept = [name for name in names if "layer.1" in name]
    assert kept
    for name in kept:
        np.testing.assert_array_equal(weights[0][name], weights[1][name])
    quantise(file, tmp_path / "plain.onnx")
    quantise(file, tmp_path / "ones.onnx", divisors={name: np.ones_like(own) for name, own in found.items()})
    assert (tmp_path / "plain.onnx").read_bytes() == (tmp_path / "ones.onnx").read_bytes()


def test_even():
    states = np.full((2, 3, 50), 2.0, np.float32)
    states[1, 2, 7] = -20
    expected = np.ones(50)
    expected[7] = 10
    np.testing.assert_array_equal(even([states, states[:1]]), expected)
    np.testing.assert_array_equal(even([np.zeros((1, 4), np.float32)]), np.ones(4))
