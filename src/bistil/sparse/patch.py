"""New values at some positions of some tensors, written and undone in place."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


class Patch:
    """Values for some positions of some tensors, and the values there when the patch is made.

    Only these positions are ever written, and by copying alone, so nothing drifts: after `off` every bit is as
    before `on`, however often.
    """

    @torch.no_grad()
    def __init__(
        self,
        targets: Mapping[str, Tensor],
        indices: Mapping[str, Tensor],
        values: Mapping[str, Tensor],
        dense: Mapping[str, Tensor],
    ) -> None:
        self._places: list[tuple[Tensor, Tensor | None]] = []
        self._new: list[Tensor] = []
        for name, index in indices.items():
            if len(index):
                self._places.append((targets[name], index.to(targets[name].device)))
                self._new.append(values[name].to(targets[name]))
        for name, value in dense.items():
            self._places.append((targets[name], None))
            self._new.append(value.to(targets[name]))
        self._old = [
            target.detach().clone() if index is None else target.take(index) for target, index in self._places
        ]

    def on(self) -> None:
        """Writes the new values."""
        self._write(self._new)

    def off(self) -> None:
        """Writes the old values back."""
        self._write(self._old)

    @torch.no_grad()
    def _write(self, values: Iterable[Tensor]) -> None:
        for (target, index), value in zip(self._places, values, strict=True):
            value = value.to(target.device)  # the model may have moved since
            if index is None:
                target.copy_(value)
            else:
                target.put_(index.to(target.device), value)
