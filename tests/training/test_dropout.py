"""Dropout against torch's own: shares, means, gradients, and where it must be the same."""

import pytest
import torch
from torch import nn

from bistil.training.dropout import FastDropout, use_fast_dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.97])
def test_the_share_and_the_values_are_those_of_torch(p, dtype):
    torch.manual_seed(0)
    ones = torch.ones(317, 1001, dtype=dtype, requires_grad=True)
    found, expected = FastDropout(p)(ones), nn.Dropout(p)(ones)
    shares = [float((values == 0).float().mean()) for values in (found, expected)]
    assert shares[0] == pytest.approx(p, abs=5 * (p * (1 - p) / ones.numel()) ** 0.5)
    assert shares[0] == pytest.approx(shares[1], abs=0.004)
    assert torch.allclose(
        found.max().float(), expected.max().float(), rtol=1e-3 if dtype == torch.float32 else 0.01
    )
    found.sum().backward()
    assert torch.equal(ones.grad, found)  # of ones, the gradient is the mask


def test_neighbours_rows_and_calls_are_independent():
    torch.manual_seed(0)
    dropout = FastDropout(0.5)
    first, second = ((dropout(torch.ones(400, 401)) > 0).float() for _ in range(2))
    pairs = [
        (first, second),
        (first[:, 1:], first[:, :-1]),
        (first[1:], first[:-1]),
        (first[:, 4:], first[:, :-4]),
    ]
    for one, other in pairs:
        correlation = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
        assert abs(float(correlation)) < 5 / one.numel() ** 0.5


def test_a_seed_repeats_it():
    def drawn(seed):
        torch.manual_seed(seed)
        return FastDropout(0.3)(torch.ones(7, 9))

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_nothing_is_dropped_in_evaluation_nor_at_zero_and_all_at_one():
    states = torch.randn(5, 7)
    assert torch.equal(FastDropout(0.4).eval()(states), states)
    assert torch.equal(FastDropout(0.0)(states), states)
    assert torch.equal(FastDropout(1.0)(states), torch.zeros(5, 7))


def test_a_model_gets_it_everywhere():
    model = nn.Sequential(
        nn.Linear(4, 4), nn.Dropout(0.2), nn.Sequential(nn.Dropout(0.3)), nn.Dropout1d(0.1)
    ).eval()
    use_fast_dropout(model)
    assert not model[1].training
    assert [type(module) for module in model.modules() if isinstance(module, nn.Dropout)] == [FastDropout] * 2
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.2, 0.3]
    assert type(model[3]) is nn.Dropout1d
