"""Counted operations against torch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel

from bistil.models.flops import forward_flops, matrix_rate


@pytest.mark.parametrize("block", [8, 32])
def test_as_many_as_torch_counts(tiny_teacher, block):
    model = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False, attn_implementation="eager")
    tokens = torch.ones(3, block, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(tokens).last_hidden_state.sum().backward()
    # The products of the first layer's gradients with respect to its input are among them.
    assert counter.get_total_flops() == 3 * 3 * block * forward_flops(model, block)


def test_of_half_the_layers(tiny_teacher):
    model = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False)
    assert 2 * forward_flops(model, 16, layers=2) == forward_flops(model, 16)


def test_rate_leaves_the_random_numbers_of_training_alone():
    state = torch.random.get_rng_state()
    assert matrix_rate(torch.device("cpu"), torch.float32) > 0
    assert torch.equal(state, torch.random.get_rng_state())
