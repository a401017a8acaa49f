"""The distillation losses: pure functions of tensors (BiStil, Ansell et al. 2023, section 3)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def hidden_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
    """Mean over aligned layers of the mean squared difference over real tokens and dimensions.

    ``student`` and ``teacher`` hold one tensor [batch, tokens, width] for the embedding output and each
    aligned layer; ``mask`` [batch, tokens] is true for real tokens, ``None`` where every token is real.
    Example: states 0 and 2 everywhere give 4.0.
    """
    return torch.stack([_masked_mean((s - t).square().mean(-1), mask) for s, t in _pairs(student, teacher)]).mean()


def attention_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
    """Mean over aligned layers of the mean squared difference of attention probabilities.

    One tensor [batch, heads, queries, keys] a layer; only pairs of real tokens count (``mask`` as in
    `hidden_loss`). Example: 0.5 against 0.25 everywhere gives 0.0625.
    """
    pairs = None if mask is None else mask[:, :, None] & mask[:, None, :]
    return torch.stack([_masked_mean((s - t).square().mean(1), pairs) for s, t in _pairs(student, teacher)]).mean()


def logits_loss(
    student: Tensor, teacher: Tensor, labelled: Tensor | None = None, temperature: float = 2.0
) -> Tensor:
    """Cross-entropy of the student under the teacher's softened distribution, per labelled position.

    −Σ softmax(z_T / temperature) · log softmax(z_S / temperature); ``student`` and ``teacher`` are
    [..., classes], ``labelled`` [...] is true where a label stands (``None``: everywhere). Example: equal
    logits over two classes for both give ln 2.
    """
    target = F.softmax(teacher / temperature, dim=-1)
    return _masked_mean(-(target * F.log_softmax(student / temperature, dim=-1)).sum(-1), labelled)


def _pairs(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Sequence[tuple[Tensor, Tensor]]:
    return list(zip(student, teacher, strict=True))


def _masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return values.mean()
    return (values * mask).sum() / mask.sum().clamp(min=1)
