"""Trains only some entries of a model's parameters, with optimizer state for those alone."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


class SparseValues:
    """The chosen entries of a model as small parameters of their own, kept in step with the model.

    Gradients are gathered from each dense parameter as soon as they are complete, and the dense gradient is
    dropped; after every optimizer step the new values are written back. Parameters that ``positions`` does not
    name (heads) are trained whole where they require a gradient. Nothing else is in the optimizer, so neither
    its state nor weight decay touches a frozen entry. Example: ``SparseValues(model, positions).optimizer(5e-4)``.
    """

    def __init__(self, model: nn.Module, positions: Mapping[str, Tensor]) -> None:
        self._entries: list[tuple[nn.Parameter, Tensor, nn.Parameter]] = []
        self._whole: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            if name in positions:
                index = positions[name].to(parameter.device)
                values = nn.Parameter(parameter.detach().take(index))
                self._entries.append((parameter, index, values))
            elif parameter.requires_grad:
                self._whole.append(parameter)
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(self._gather(index, values))
            for parameter, index, values in self._entries
        ]

    def optimizer(
        self,
        learning_rate: float,
        *,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        max_gradient_norm: float = 1.0,
    ) -> torch.optim.AdamW:
        """AdamW over the chosen entries and the whole parameters; gradients clipped at a norm, or at 0 never.

        ``weight_decay`` is for what is trained of matrices; vectors (biases, norms) have none, as in transformers.
        """
        trained = [(source, values) for source, _, values in self._entries if len(values)]
        trained += [(parameter, parameter) for parameter in self._whole]
        groups = [
            {"params": [values for source, values in trained if source.dim() > 1], "weight_decay": weight_decay},
            {"params": [values for source, values in trained if source.dim() <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=epsilon, fused=True)
        if max_gradient_norm > 0:
            parameters = [values for _, values in trained]
            optimizer.register_step_pre_hook(lambda *_: self._clip(parameters, max_gradient_norm))
        optimizer.register_step_post_hook(lambda *_: self._write_back())
        return optimizer

    def close(self) -> None:
        """Takes the hooks off the model again."""
        for hook in self._hooks:
            hook.remove()

    @staticmethod
    def _gather(index: Tensor, values: nn.Parameter) -> Callable[[Tensor], None]:
        def hook(parameter: Tensor) -> None:
            assert parameter.grad is not None
            gradient = parameter.grad.take(index)
            values.grad = gradient if values.grad is None else values.grad + gradient
            parameter.grad = None

        return hook

    @staticmethod
    def _clip(parameters: list[nn.Parameter], norm: float) -> None:
        nn.utils.clip_grad_norm_(parameters, norm)

    @torch.no_grad()
    def _write_back(self) -> None:
        for parameter, index, values in self._entries:
            parameter.put_(index, values)
            values.grad = None
