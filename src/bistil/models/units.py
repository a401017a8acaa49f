"""Neurons and heads of layers, by what they give to the residual stream on some text."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Units:
    """The units, neurons or heads, of a layer, by what they give to the residual stream over all tokens seen."""

    def __init__(self, output: nn.Linear, units: int) -> None:
        self._weight = output.weight.unflatten(1, (units, -1)).double()  # [width, units, unit width]
        shape = self._weight.shape[1:]
        self._tokens, self._replaced = 0, output.bias is not None
        self._sum = torch.zeros(shape, dtype=torch.float64)
        self._moment = torch.zeros(*shape, shape[1], dtype=torch.float64)

    def add(self, inputs: Tensor) -> None:
        """Counts inputs of the output projection, [tokens, units · unit width]."""
        values = inputs.unflatten(1, self._sum.shape)
        self._tokens += len(values)
        self._sum += values.sum(0)
        self._moment += torch.einsum("tui,tuj->uij", values, values)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._sum)

    @property
    def mean(self) -> Tensor:
        """[units, unit width]."""
        return self._sum / self._tokens

    def largest(self, count: int) -> Tensor:
        """The units, ascending, whose fluctuation ‖W·(x − mean x)‖² is the largest on average.

        It is what is lost where a unit is replaced by its mean: for a neuron its variance times the squared norm
        of its outgoing weights (FLAP, An et al. 2024). Where there is no bias for the mean, ‖W·x‖² is lost.
        """
        covariance = self._moment / self._tokens
        if self._replaced:
            covariance = covariance - self.mean[:, :, None] * self.mean[:, None, :]
        lost = torch.einsum("wui,uij,wuj->u", self._weight, covariance, self._weight)
        return lost.topk(count).indices.sort().values

    def places(self, units: Tensor) -> Tensor:
        """Where the inputs of these units are among all: units 1 and 2 of width 2 are at 2, 3, 4 and 5."""
        width = self._sum.shape[1]
        return (units[:, None] * width + torch.arange(width)).flatten()


def real_tokens(batch: Mapping[str, Tensor]) -> Tensor:
    """[batch, tokens], true for real tokens."""
    return batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()


@contextmanager
def seeing(modules: Sequence[nn.Module], see: Callable[[int, Tensor, Tensor], None]) -> Iterator[None]:
    """While it lasts, every one of the modules that runs shows its index, its input and its output."""

    def showing(index: int) -> Any:
        return lambda module, inputs, output: see(index, inputs[0], output)

    handles = [module.register_forward_hook(showing(index)) for index, module in enumerate(modules)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
