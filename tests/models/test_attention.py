"""Fused attention against explicit products and softmax, in float32 and as mixed precision trains it."""

import pytest
import torch
from transformers import AutoModel

from bistil.models import attention
from bistil.models.attention import fused_attention, use_fused_attention


class Module:
    """What `sdpa_attention_forward` asks of a module."""

    is_causal = False


def explicit(query, key, value, mask):
    scores = (query @ key.mT * query.shape[-1] ** -0.5).masked_fill(~mask, -1e9)
    return (scores.softmax(-1) @ value).transpose(1, 2)


@pytest.mark.parametrize("half", [False, True])
def test_values_and_gradients(half):
    torch.manual_seed(0)
    states = [torch.randn(2, 3, 11, 8, requires_grad=True) for _ in range(3)]
    mask = torch.ones(2, 1, 11, 11, dtype=torch.bool)
    mask[1, ..., 7:] = False
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        given = [state.bfloat16() if half else state for state in states]
        found, weights = fused_attention(Module(), *given, mask)
    assert weights is None
    assert found.dtype == torch.float32
    expected = explicit(*states, mask)
    assert torch.allclose(found, expected, atol=2e-2 if half else 1e-5)
    direction = torch.randn_like(expected)
    ours = torch.autograd.grad((found * direction).sum(), states)
    theirs = torch.autograd.grad((expected * direction).sum(), states)
    assert all(torch.allclose(*pair, atol=5e-2 if half else 1e-4) for pair in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("learning", [False, True])
def test_in_mixed_precision_only_what_learns_is_in_float32(tiny_teacher, monkeypatch, learning):
    model = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False)
    use_fused_attention(model)
    seen, kernel = [], attention.sdpa_attention_forward

    def watched(module, query, *others, **named):
        seen.append((query.dtype, torch.is_autocast_enabled("cpu")))
        return kernel(module, query, *others, **named)

    monkeypatch.setattr(attention, "sdpa_attention_forward", watched)
    with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(learning):
        model(torch.tensor([[5, 6, 7]]))
    assert set(seen) == {(torch.float32, False) if learning else (torch.bfloat16, True)}
