"""The distillation losses: pure functions of tensors (BiStil, Ansell et al. 2023, section 3).

Every loss is computed in float32 at least, also where mixed precision gives bfloat16 states. Layers that do not
pair up, because there are none or because their shapes differ, raise `BistilError`.
"""

from collections.abc import Iterable, Sequence
from math import gcd
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from bistil.errors import BistilError

# A probability below this counts as this much: no logarithm of zero, no gradient that overflows.
_LEAST_PROBABILITY = 1e-12


def hidden_loss(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    mask: Tensor | None = None,
    projection: Tensor | None = None,
) -> Tensor:
    """Mean over aligned layers of the mean squared difference over real tokens and dimensions.

    ``student`` and ``teacher`` hold one tensor [batch, tokens, width] for the embedding output and each
    aligned layer; ``mask`` [batch, tokens] is true for real tokens, ``None`` where every token is real.
    ``projection`` [teacher width, student width] has orthonormal columns and takes the teacher's states to a
    narrower student's. Example: states 0 and 2 everywhere give 4.0.
    """
    if projection is not None:
        teacher = [states @ projection.to(states.dtype) for states in teacher]
    real = None if mask is None else mask[:, :, None]
    return _mean(_mean_square(s, t, real) for s, t in _pairs(student, teacher))


def attention_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
    """Mean over aligned layers of the mean squared difference of attention probabilities.

    One tensor [batch, heads, queries, keys] a layer; only pairs of real tokens count (``mask`` as in
    `hidden_loss`). Example: 0.5 against 0.25 everywhere gives 0.0625.
    """
    real = None if mask is None else (mask[:, :, None] & mask[:, None, :])[:, None]
    return _mean(_mean_square(s, t, real) for s, t in _pairs(student, teacher))


def attention_kl(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
    """Mean over aligned layers, heads and real queries of KL(teacher ‖ student) over the keys, in nats.

    Attention probabilities as in `attention_loss`; the student's count as 1e-12 where they are smaller.
    Example: a student of (0.5, 0.5) and a teacher of (1, 0) at every query give ln 2.
    """
    return _mean(
        _divergence(_full(s).clamp(min=_LEAST_PROBABILITY).log(), _full(t), mask)
        for s, t in _pairs(student, teacher)
    )


def relation_loss(
    student: Sequence[tuple[Tensor, Tensor, Tensor]],
    teacher: Sequence[tuple[Tensor, Tensor, Tensor]],
    mask: Tensor | None = None,
    heads: int | None = None,
) -> Tensor:
    """Mean over aligned layers of the KL of query-query, key-key and value-value relations, in nats.

    A relation is softmax(X·Xᵀ/√width) among the tokens, for each relation head; the divergence is
    KL(teacher ‖ student), mean over heads and real queries (MiniLMv2, Wang et al. 2021, section 3.1). Each layer
    gives its queries, keys and values [batch, heads, tokens, head width], which are cut anew into ``heads``
    relation heads, so that the widths of student and teacher may differ. ``None`` takes the largest number of
    heads that both are whole multiples of. Example: a student equal to the teacher gives 0.
    """
    _check_paired(student, teacher)
    return _mean(
        _divergence(_relations(s, shared, mask), _relations(t, shared, mask).exp(), mask)
        for layer, other in zip(student, teacher, strict=True)
        for s, t in zip(layer, other, strict=True)
        for shared in (heads or gcd(s.shape[1], t.shape[1]),)
    )


def logits_loss(
    student: Tensor, teacher: Tensor, labelled: Tensor | None = None, temperature: float = 2.0
) -> Tensor:
    """Cross-entropy of the student under the teacher's softened distribution, per labelled position.

    −Σ softmax(z_T / temperature) · log softmax(z_S / temperature); ``student`` and ``teacher`` are
    [..., classes], ``labelled`` [...] is true where a label stands (``None``: everywhere). Example: equal
    logits over two classes for both give ln 2.
    """
    target = F.softmax(_full(teacher) / temperature, dim=-1)
    return _masked_mean(-(target * F.log_softmax(_full(student) / temperature, dim=-1)).sum(-1), labelled)


def vector_loss(student: Tensor, teacher: Tensor, projection: Tensor | None = None) -> Tensor:
    """Mean over the texts of a batch of 1 − cosine of the two models' vectors [texts, width].

    ``projection`` as in `hidden_loss`: it takes the teacher's vectors to a narrower student's. The student of
    Reimers and Gurevych (2020, section 2) learns a teacher's vectors too, by their squared distance; vectors that
    are compared by cosine have no length that matters. Example: (1, 0) and (0, 1) give 1.0.
    """
    if projection is not None:
        teacher = teacher @ projection.to(teacher.dtype)
    return (1 - F.cosine_similarity(_full(student), _full(teacher), dim=-1)).mean()


def similarity_loss(student: Tensor, teacher: Tensor, temperature: float = 0.05) -> Tensor:
    """Mean over the texts of a batch of KL(teacher ‖ student) of how similar the others are to a text, in nats.

    The cosines of a text with all others, over the temperature, become probabilities by a softmax (CompRess,
    Koohpayegani et al. 2020, section 3). The vectors are [texts, width], and the widths may differ; a text alone
    in its batch has a loss of 0. Example: a student whose cosines are the teacher's gives 0.
    """
    found, wanted = (_similarities(vectors, temperature) for vectors in (student, teacher))
    return F.kl_div(found, wanted, reduction="none", log_target=True).sum(-1).mean()


class _SquaredDistance(torch.autograd.Function):
    """Σ (student − teacher)² where ``real``: one tensor is built and kept, and one more for the gradient.

    Written as separate operations the same takes three times as long, for it is memory that it costs.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, real: Tensor | None) -> Tensor:
        difference = student - teacher
        if real is not None:
            difference.masked_fill_(~real, 0)
        ctx.save_for_backward(difference)
        flat = _full(difference).flatten()
        return torch.dot(flat, flat)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (difference,) = ctx.saved_tensors
        return difference * (2 * gradient), None, None


def _mean_square(student: Tensor, teacher: Tensor, real: Tensor | None) -> Tensor:
    """The mean over the entries where ``real``, which broadcasts to the shape of both; the teacher is constant."""
    total: Tensor = _SquaredDistance.apply(student, teacher, real)
    if real is None:
        return total / student.numel()
    return total / (real.sum() * (student.numel() // real.numel())).clamp(min=1)


def _relations(states: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """Logarithms of the relations [batch, relation heads, tokens, tokens] of one kind of vectors."""
    width = states.shape[1] * states.shape[3]
    if width % heads:
        raise BistilError(
            f"Vectors of {width} dimensions cannot be cut into {heads} relation heads. "
            "Give a number of heads that divides the widths of student and teacher."
        )
    cut = states.transpose(1, 2).flatten(2).unflatten(2, (heads, width // heads)).transpose(1, 2)
    scores = cut @ cut.transpose(-1, -2) * (width // heads) ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None, :], torch.finfo(scores.dtype).min)
    return F.log_softmax(_full(scores), dim=-1)


def _similarities(vectors: Tensor, temperature: float) -> Tensor:
    """Logarithms [texts, texts − 1] of how similar the other texts of a batch are to each."""
    directions = F.normalize(_full(vectors), dim=-1)
    cosines = directions @ directions.T
    others = ~torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    return F.log_softmax(cosines[others].view(len(cosines), -1) / temperature, dim=-1)


def _divergence(student_log: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
    """KL(teacher ‖ student) over real keys, mean over heads and real queries, of [batch, heads, queries, keys]."""
    terms = F.kl_div(student_log, teacher, reduction="none")
    if mask is not None:
        terms = terms.masked_fill(~mask[:, None, None, :], 0)
    return _masked_mean(terms.sum(-1).mean(1), mask)


def _pairs(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    _check_paired(student, teacher)
    pairs = list(zip(student, teacher, strict=True))
    for number, (s, t) in enumerate(pairs):
        if s.shape != t.shape:
            raise BistilError(
                f"State {number} of the student is {list(s.shape)}, of the teacher {list(t.shape)}. "
                "Give a projection for hidden states, and relations for heads that differ."
            )
    return pairs


def _check_paired(student: Sequence[Any], teacher: Sequence[Any]) -> None:
    if not student or len(student) != len(teacher):
        raise BistilError(
            f"The loss was given {len(student)} layers of the student and {len(teacher)} of the teacher. "
            "Give the same number of both, one at least; attention comes only from layers that record it."
        )


def _mean(losses: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(losses)).mean()


def _masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return values.mean()
    return (values * mask).sum() / mask.sum().clamp(min=1)


def _full(values: Tensor) -> Tensor:
    """The values in float32, or float64 if they are that."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
