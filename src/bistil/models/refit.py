"""Output projections refitted by least squares, so that what is kept of their inputs makes up for the rest."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bistil.models.units import real_tokens, seeing

_RIDGE = 0.01  # of the mean variance of the inputs; 0.001 and 0.1 do as well


class _Sums:
    """Of inputs x [tokens, kept] and outputs y [tokens, width]: their number, sums and products."""

    def __init__(self, kept: int, width: int) -> None:
        self.tokens = 0
        self.x, self.y = torch.zeros(kept), torch.zeros(width)
        self.xx, self.yx = torch.zeros(kept, kept), torch.zeros(width, kept)

    def add(self, x: Tensor, y: Tensor) -> None:
        self.tokens += len(x)
        self.x += x.sum(0)
        self.y += y.sum(0)
        self.xx += x.T @ x
        self.yx += y.T @ x

    def solve(self, weight: Tensor, bias: bool) -> tuple[Tensor, Tensor | None]:
        """The weights nearest to ``weight`` that leave least of y, in float64, and the bias if there is one."""
        x, y = (total.double() / self.tokens for total in (self.x, self.y))
        xx, yx = (total.double() / self.tokens for total in (self.xx, self.yx))
        if bias:
            xx, yx = xx - torch.outer(x, x), yx - torch.outer(y, x)
        left = yx - weight @ xx
        ridge = (_RIDGE * xx.diagonal().mean()).clamp(min=1e-12) * torch.eye(len(x), dtype=torch.float64)
        fitted = weight + torch.linalg.solve(xx + ridge, left.T).T
        return fitted, y - fitted @ x if bias else None


@torch.no_grad()
def refitted(
    teacher: PreTrainedModel,
    outputs: Sequence[nn.Linear],
    kept: Sequence[Tensor],
    batches: Sequence[Mapping[str, Tensor]],
) -> list[tuple[Tensor, Tensor | None]]:
    """For each of the output projections new weights [width, kept] and bias [width], for the kept inputs alone.

    They come closest to what the projection gives from all of its inputs, in the mean square over the tokens of
    ``batches``; a ridge holds them to the weights that there are. It is the update of ZipLM (Kurtić et al. 2023,
    section 3.1) for all dropped inputs at once. Example: where a dropped neuron is always twice a kept one, the
    weight of the kept one grows by twice that of the dropped one, and nothing is lost.
    """
    sums = [_Sums(len(places), output.out_features) for output, places in zip(outputs, kept, strict=True)]
    for batch in batches:
        real = real_tokens(batch)
        with seeing(outputs, lambda index, x, y: sums[index].add(x[real][:, kept[index]], y[real])):  # noqa: B023
            teacher(**batch)
    found = []
    for output, places, own in zip(outputs, kept, sums, strict=True):
        weight, bias = own.solve(output.weight[:, places].double(), output.bias is not None)
        found.append((weight.to(output.weight), None if bias is None else bias.to(output.weight)))
    return found
