"""Training in several source languages, each batch in one of them and under its own language delta."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bistil.sparse.delta import Applicable
from bistil.sparse.targets import aliases
from bistil.training.batches import LANGUAGE
from bistil.training.trainer import ResumableTrainer


class Addition:
    """The differences of a delta, to add to the current values of a model in training and to remove exactly."""

    def __init__(self, model: nn.Module, delta: Applicable) -> None:
        """Reads the differences off ``model``, which must be the base that the delta was made for."""
        one, targets = delta.resolved(model), aliases(model)
        self._parts = []
        for name, index in one.indices.items():
            target = targets[name]
            there = index.to(target.device)
            self._parts.append((target, there, one.values[name].to(target) - target.detach().take(there)))

    @contextmanager
    def on(self) -> Iterator[None]:
        """Adds inside the block; at its end the values from its beginning are restored, bit for bit."""
        # the trainer may have moved the model since
        parts = [(target, index.to(target.device), d.to(target.device)) for target, index, d in self._parts]
        found = [target.detach().take(index) for target, index, _ in parts]
        with torch.no_grad():
            for (target, index, difference), value in zip(parts, found, strict=True):
                target.put_(index, value + difference)
        try:
            yield
        finally:
            with torch.no_grad():
                for (target, index, _), value in zip(parts, found, strict=True):
                    target.put_(index, value)


class MultiSourceTrainer(ResumableTrainer):
    """A trainer that applies the delta of each batch's language for the forward and backward pass alone.

    The optimizer sees the model without it, so what is learned is relative to the base model whatever the
    language, and adds up with any language delta afterwards (Ansell et al. 2021, multi-source training).
    """

    def __init__(self, *, additions: Mapping[str, Addition], **settings: Any) -> None:
        super().__init__(**settings)
        self._additions = additions

    def training_step(self, model: Any, inputs: dict[str, Any], *positional: Any, **named: Any) -> Tensor:
        """One forward and backward pass under the language's delta."""
        with self._additions[inputs.pop(LANGUAGE)].on():
            return super().training_step(model, inputs, *positional, **named)
