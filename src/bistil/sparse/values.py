"""Trains only some entries of a model's parameters, with optimizer state for those alone."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

_MAX_GRADIENT_NORM = 1.0


class SparseValues:
    """The chosen entries of a model as small parameters of their own, kept in step with the model.

    Gradients are gathered from each dense parameter as soon as they are complete, and the dense gradient is
    dropped; after every optimizer step the new values are written back. Parameters that ``positions`` does not
    name (heads) are trained whole. Example: ``SparseValues(model, positions).optimizer(5e-4)``.
    """

    def __init__(self, model: nn.Module, positions: Mapping[str, Tensor]) -> None:
        self._entries: list[tuple[nn.Parameter, Tensor, nn.Parameter]] = []
        self._whole: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            if name not in positions:
                self._whole.append(parameter)
                continue
            index = positions[name].to(parameter.device)
            values = nn.Parameter(parameter.detach().view(-1)[index].clone())
            self._entries.append((parameter, index, values))
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(self._gather(index, values))
            for parameter, index, values in self._entries
        ]

    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        """AdamW over the chosen entries and the whole parameters; gradients clipped at norm 1, no decay."""
        trained = [*(values for _, _, values in self._entries if len(values)), *self._whole]
        optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0, fused=True)
        optimizer.register_step_pre_hook(lambda *_: self._clip(trained))
        optimizer.register_step_post_hook(lambda *_: self._write_back())
        return optimizer

    def close(self) -> None:
        """Takes the hooks off the model again."""
        for hook in self._hooks:
            hook.remove()

    @staticmethod
    def _gather(index: Tensor, values: nn.Parameter) -> Any:
        def hook(parameter: Tensor) -> None:
            assert parameter.grad is not None
            gradient = parameter.grad.view(-1)[index]
            values.grad = gradient if values.grad is None else values.grad + gradient
            parameter.grad = None

        return hook

    @staticmethod
    def _clip(trained: list[nn.Parameter]) -> None:
        nn.utils.clip_grad_norm_(trained, _MAX_GRADIENT_NORM)

    @torch.no_grad()
    def _write_back(self) -> None:
        for parameter, index, values in self._entries:
            parameter.view(-1)[index] = values
            values.grad = None
