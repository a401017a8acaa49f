"""The losses against loops over every token, and their gradients against finite differences."""

import math

import pytest
import torch

from bistil.errors import BistilError
from bistil.training.losses import (
    attention_kl,
    attention_loss,
    hidden_loss,
    logits_loss,
    relation_loss,
    similarity_loss,
    vector_loss,
)

MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]], dtype=torch.bool)
ALL = torch.ones(2, 4, dtype=torch.bool)
MASKS = pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])


def tensors(*shape: int, count: int = 3, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(*shape, generator=generator, dtype=torch.float64) for _ in range(count)]


def attentions(seed: int, mask: torch.Tensor | None = None, count: int = 3) -> list[torch.Tensor]:
    """Attention probabilities [2, 3, 4, 4], zero at keys that are not real."""
    scores = [8 * one for one in tensors(2, 3, 4, 4, count=count, seed=seed)]
    if mask is not None:
        scores = [one.masked_fill(~mask[:, None, None, :], -math.inf) for one in scores]
    return [one.softmax(-1) for one in scores]


def vectors(heads: int, width: int, seed: int, count: int = 2) -> list[tuple[torch.Tensor, ...]]:
    """Queries, keys and values [2, heads, 4, width] of each layer."""
    return [tuple(tensors(2, heads, 4, width, seed=seed + layer)) for layer in range(count)]


def real(mask: torch.Tensor | None) -> list[tuple[int, list[int]]]:
    """The real positions of each row of the batch."""
    return [(b, [i for i in range(4) if mask is None or mask[b, i]]) for b in range(2)]


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


@MASKS
def test_hidden_loss_equals_a_loop_over_real_tokens(mask):
    student, teacher = tensors(2, 4, 5), tensors(2, 4, 5, seed=1)
    by_hand = mean(
        mean((s[b, i, d] - t[b, i, d]).item() ** 2 for b, where in real(mask) for i in where for d in range(5))
        for s, t in zip(student, teacher, strict=True)
    )
    assert hidden_loss(student, teacher, mask).item() == pytest.approx(by_hand, rel=1e-12)


@MASKS
def test_hidden_loss_projects_the_wider_teacher(mask):
    student, teacher = tensors(2, 4, 2), tensors(2, 4, 5, seed=1)
    projection = torch.linalg.qr(tensors(5, 2, count=1, seed=2)[0]).Q
    by_hand = mean(
        mean(
            (s[b, i, d].item() - sum(t[b, i, k].item() * projection[k, d].item() for k in range(5))) ** 2
            for b, where in real(mask)
            for i in where
            for d in range(2)
        )
        for s, t in zip(student, teacher, strict=True)
    )
    assert hidden_loss(student, teacher, mask, projection).item() == pytest.approx(by_hand, rel=1e-12)


@MASKS
def test_attention_loss_equals_a_loop_over_pairs_of_real_tokens(mask):
    student, teacher = attentions(0), attentions(1)
    by_hand = mean(
        mean(
            (s[b, h, q, k] - t[b, h, q, k]).item() ** 2
            for b, where in real(mask)
            for h in range(3)
            for q in where
            for k in where
        )
        for s, t in zip(student, teacher, strict=True)
    )
    assert attention_loss(student, teacher, mask).item() == pytest.approx(by_hand, rel=1e-12)


def kl(student: list[float], teacher: list[float]) -> float:
    return sum(t * math.log(t / s) for s, t in zip(student, teacher, strict=True) if t > 0)


@MASKS
def test_attention_kl_equals_a_loop_over_real_queries(mask):
    student, teacher = attentions(0, mask), attentions(1, mask)
    by_hand = mean(
        mean(
            kl(s[b, h, q, where].tolist(), t[b, h, q, where].tolist())
            for b, where in real(mask)
            for h in range(3)
            for q in where
        )
        for s, t in zip(student, teacher, strict=True)
    )
    assert attention_kl(student, teacher, mask).item() == pytest.approx(by_hand, rel=1e-12)


def test_attention_kl_is_finite_where_the_student_gives_no_probability():
    scores = torch.tensor([[[[0.0, -1000.0], [0.0, -1000.0]]]], requires_grad=True)
    loss = attention_kl([scores.softmax(-1)], [torch.full((1, 1, 2, 2), 0.5)])
    loss.backward()
    assert loss.item() == pytest.approx(math.log(0.5) - 0.5 * math.log(1e-12), rel=1e-6)
    assert scores.grad.isfinite().all()


def relation(vector: torch.Tensor, heads: int, where: list[int]) -> list[list[list[float]]]:
    """Per relation head and query the probabilities over keys, from one row's vectors [heads, tokens, width]."""
    tokens = [[x for head in range(vector.shape[0]) for x in vector[head, i].tolist()] for i in where]
    width = len(tokens[0]) // heads
    found = []
    for head in range(heads):
        cut = [token[head * width : (head + 1) * width] for token in tokens]
        found.append([])
        for q in cut:
            weights = [math.exp(sum(a * b for a, b in zip(q, k, strict=True)) / math.sqrt(width)) for k in cut]
            found[-1].append([weight / sum(weights) for weight in weights])
    return found


@MASKS
@pytest.mark.parametrize(
    ("student_shape", "asked", "heads"),
    [((4, 3), None, 4), ((4, 3), 6, 6), ((6, 2), None, 2), ((2, 4), 1, 1)],
    ids=["same heads", "six relation heads", "other heads", "narrower"],
)
def test_relation_loss_equals_a_loop_over_real_queries(mask, student_shape, asked, heads):
    student, teacher = vectors(*student_shape, seed=0), vectors(4, 3, seed=10)
    by_hand = mean(
        mean(
            kl(s_row, t_row)
            for b, where in real(mask)
            for s_head, t_head in zip(relation(s[b], heads, where), relation(t[b], heads, where), strict=True)
            for s_row, t_row in zip(s_head, t_head, strict=True)
        )
        for layer, other in zip(student, teacher, strict=True)
        for s, t in zip(layer, other, strict=True)
    )
    assert relation_loss(student, teacher, mask, asked).item() == pytest.approx(by_hand, rel=1e-10)


@MASKS
def test_logits_loss_equals_a_loop_over_labelled_positions(mask):
    student, teacher = tensors(2, 4, 3, count=2)
    losses = []
    for b, where in real(mask):
        for i in where:
            target = [math.exp(z / 2) for z in teacher[b, i].tolist()]
            found = [math.exp(z / 2) for z in student[b, i].tolist()]
            losses.append(
                -sum(t / sum(target) * math.log(f / sum(found)) for t, f in zip(target, found, strict=True))
            )
    assert logits_loss(student, teacher, mask).item() == pytest.approx(mean(losses), rel=1e-12)


def test_worked_examples_of_the_docstrings():
    zero, two = [torch.zeros(1, 2, 3)], [torch.full((1, 2, 3), 2.0)]
    assert hidden_loss(zero, two).item() == 4.0
    half, quarter = [torch.full((1, 2, 2, 2), 0.5)], [torch.full((1, 2, 2, 2), 0.25)]
    assert attention_loss(half, quarter).item() == 0.0625
    first = torch.tensor([1.0, 0.0]).expand(1, 2, 2, 2)
    assert attention_kl(half, [first]).item() == pytest.approx(math.log(2))
    layers = vectors(4, 3, seed=0)
    assert relation_loss(layers, layers).item() == pytest.approx(0, abs=1e-12)
    assert logits_loss(torch.ones(5, 2), torch.ones(5, 2)).item() == pytest.approx(math.log(2))


@MASKS
def test_gradients(mask):
    def check(loss, inputs):
        assert torch.autograd.gradcheck(loss, [one.clone().requires_grad_() for one in inputs])

    states, projection = tensors(2, 4, 3, seed=1), tensors(3, 2, count=1)[0]
    check(lambda *s: hidden_loss(s, states, mask), tensors(2, 4, 3))
    check(lambda *s: hidden_loss(s, states, mask, projection), tensors(2, 4, 2))
    maps = attentions(1, mask, count=1)
    check(lambda *s: attention_loss(s, maps, mask), attentions(0, count=1))
    check(lambda *s: attention_kl(s, maps, mask), attentions(0, count=1))
    layers = vectors(2, 3, seed=1, count=1)
    check(lambda *s: relation_loss([s], layers, mask), vectors(2, 2, seed=0, count=1)[0])
    check(lambda z: logits_loss(z, states[1], mask), states[:1])


@pytest.mark.parametrize("loss", [hidden_loss, attention_loss, attention_kl])
def test_half_precision_is_summed_in_full(loss):
    """Under autocast too; bfloat16 holds 8 bits, so that a sum kept in it would stop growing at 256 terms."""
    student = [one.to(torch.bfloat16) for one in (attentions if loss is not hidden_loss else states)(0)]
    teacher = [one.to(torch.bfloat16) for one in (attentions if loss is not hidden_loss else states)(1)]
    exact = loss([one.double() for one in student], [one.double() for one in teacher]).item()
    leaf = student[0].clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = loss([leaf, *student[1:]], teacher)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(exact, rel=4e-3)
    found.backward()
    assert leaf.grad.dtype == torch.bfloat16


def states(seed: int) -> list[torch.Tensor]:
    return tensors(8, 64, 16, seed=seed)


def test_layers_that_do_not_pair_are_errors():
    with pytest.raises(BistilError, match="3 layers of the student and 2 of the teacher"):
        hidden_loss(tensors(2, 4, 3), tensors(2, 4, 3)[:2])
    for loss in (hidden_loss, attention_loss, attention_kl, relation_loss):
        with pytest.raises(BistilError, match="0 layers"):
            loss([], [])
    with pytest.raises(BistilError, match=r"\[2, 4, 2\], of the teacher \[2, 4, 3\].*projection"):
        hidden_loss(tensors(2, 4, 2), tensors(2, 4, 3))
    with pytest.raises(BistilError, match="12 dimensions cannot be cut into 5 relation heads"):
        relation_loss(vectors(4, 3, seed=0), vectors(4, 3, seed=0), heads=5)


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    lengths = math.sqrt(sum(x.item() ** 2 for x in one)) * math.sqrt(sum(x.item() ** 2 for x in other))
    return sum(x.item() * y.item() for x, y in zip(one, other, strict=True)) / lengths


def test_vector_loss_equals_a_loop_over_texts():
    student, teacher = tensors(4, 6, count=2)
    by_hand = mean(1 - cosine(s, t) for s, t in zip(student, teacher, strict=True))
    assert vector_loss(student, teacher).item() == pytest.approx(by_hand, rel=1e-12)
    assert vector_loss(student, 3 * student).item() == pytest.approx(0, abs=1e-12)
    assert vector_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])).item() == 1


def test_vector_loss_projects_the_wider_teacher():
    (student,), (teacher,) = tensors(4, 2, count=1), tensors(4, 5, count=1, seed=1)
    projection = torch.linalg.qr(tensors(5, 2, count=1, seed=2)[0]).Q
    narrow = torch.stack([sum(t[k] * projection[k] for k in range(5)) for t in teacher])
    by_hand = mean(1 - cosine(s, t) for s, t in zip(student, narrow, strict=True))
    assert vector_loss(student, teacher, projection).item() == pytest.approx(by_hand, rel=1e-12)


def test_similarity_loss_equals_a_loop_over_pairs_of_texts():
    (student,), (teacher,) = tensors(5, 3, count=1), tensors(5, 7, count=1, seed=1)

    def likely(vectors, text):
        powers = [math.exp(cosine(vectors[text], vectors[i]) / 0.05) for i in range(5) if i != text]
        return [power / sum(powers) for power in powers]

    by_hand = mean(
        sum(t * math.log(t / s) for s, t in zip(likely(student, text), likely(teacher, text), strict=True))
        for text in range(5)
    )
    assert similarity_loss(student, teacher).item() == pytest.approx(by_hand, rel=1e-9)
    turned = teacher @ torch.linalg.qr(tensors(7, 7, count=1, seed=3)[0]).Q
    assert similarity_loss(turned, teacher).item() == pytest.approx(0, abs=1e-12)
    assert similarity_loss(student[:1], teacher[:1]).item() == 0


def test_losses_of_vectors_have_the_gradients_of_finite_differences():
    (student,), (teacher,) = tensors(4, 3, count=1), tensors(4, 3, count=1, seed=1)
    for loss in (vector_loss, similarity_loss):
        assert torch.autograd.gradcheck(lambda s, loss=loss: loss(s, teacher), student.requires_grad_())
