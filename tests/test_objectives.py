"""The losses against loops over every token, and their gradients against finite differences."""

import math

import pytest
import torch

from bistil.objectives import attention_loss, hidden_loss, logits_loss

MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]], dtype=torch.bool)


def tensors(*shape: int, count: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(len(shape) + count)
    return [torch.rand(*shape, generator=generator, dtype=torch.float64) for _ in range(count)]


def test_hidden_loss_equals_a_loop_over_real_tokens():
    student, teacher = tensors(2, 4, 5), tensors(2, 4, 5, count=4)[1:]
    layers = []
    for s, t in zip(student, teacher, strict=True):
        squares = [
            (s[b, i, d] - t[b, i, d]).item() ** 2
            for b in range(2)
            for i in range(4)
            for d in range(5)
            if MASK[b, i]
        ]
        layers.append(sum(squares) / len(squares))
    assert hidden_loss(student, teacher, MASK).item() == pytest.approx(sum(layers) / 3, rel=1e-12)


def test_attention_loss_equals_a_loop_over_pairs_of_real_tokens():
    student, teacher = tensors(2, 3, 4, 4), tensors(2, 3, 4, 4, count=4)[1:]
    layers = []
    for s, t in zip(student, teacher, strict=True):
        squares = [
            (s[b, h, q, k] - t[b, h, q, k]).item() ** 2
            for b in range(2)
            for h in range(3)
            for q in range(4)
            for k in range(4)
            if MASK[b, q] and MASK[b, k]
        ]
        layers.append(sum(squares) / len(squares))
    assert attention_loss(student, teacher, MASK).item() == pytest.approx(sum(layers) / 3, rel=1e-12)


def test_logits_loss_equals_a_loop_over_labelled_positions():
    student, teacher = tensors(2, 4, 3, count=2)
    losses = []
    for b in range(2):
        for i in range(4):
            if MASK[b, i]:
                target = [math.exp(z / 2) for z in teacher[b, i].tolist()]
                found = [math.exp(z / 2) for z in student[b, i].tolist()]
                losses.append(
                    -sum(t / sum(target) * math.log(f / sum(found)) for t, f in zip(target, found, strict=True))
                )
    assert logits_loss(student, teacher, MASK).item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)


def test_no_mask_means_all_tokens():
    student, teacher = tensors(2, 4, 5), tensors(2, 4, 5, count=4)[1:]
    everywhere = torch.ones(2, 4, dtype=torch.bool)
    assert hidden_loss(student, teacher).item() == pytest.approx(hidden_loss(student, teacher, everywhere).item())
    attention, other = tensors(2, 3, 4, 4), tensors(2, 3, 4, 4, count=4)[1:]
    assert attention_loss(attention, other).item() == pytest.approx(
        attention_loss(attention, other, everywhere).item()
    )


def test_worked_examples_of_the_docstrings():
    zero, two = [torch.zeros(1, 2, 3)], [torch.full((1, 2, 3), 2.0)]
    assert hidden_loss(zero, two).item() == 4.0
    half, quarter = [torch.full((1, 2, 2, 2), 0.5)], [torch.full((1, 2, 2, 2), 0.25)]
    assert attention_loss(half, quarter).item() == 0.0625
    assert logits_loss(torch.ones(5, 2), torch.ones(5, 2)).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("mask", [None, MASK])
def test_gradients(mask):
    teacher = tensors(2, 4, 3)
    attention = tensors(2, 2, 4, 4)
    for student in (tensors(2, 4, 3, count=4)[1:],):
        inputs = [s.requires_grad_() for s in student]
        assert torch.autograd.gradcheck(lambda *s: hidden_loss(s, teacher, mask), inputs)
    inputs = [s.requires_grad_() for s in tensors(2, 2, 4, 4, count=4)[1:]]
    assert torch.autograd.gradcheck(lambda *s: attention_loss(s, attention, mask), inputs)
    logits = teacher[0].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: logits_loss(z, teacher[1], mask), logits)


def test_layers_that_do_not_pair_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        hidden_loss(tensors(2, 4, 3), tensors(2, 4, 3)[:2])
