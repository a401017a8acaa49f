"""The lottery ticket: train everything, select the largest changes, rewind, train only those entries."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load
from torch import Tensor, nn

from bistil.errors import BistilError
from bistil.sparse.delta import SparseDelta
from bistil.sparse.selection import largest_changes, ticket_size
from bistil.sparse.tensors import save_tensors
from bistil.training.checkpoints import remove_checkpoints
from bistil.training.trainer import ResumableTrainer


@dataclass(frozen=True)
class Phase:
    """One training of a lottery ticket: ``full`` (``positions`` None) or ``sparse``, in iteration 1, 2, …

    ``folder`` is the phase's own, for checkpoints; ``positions`` are flat, ascending, for each parameter.
    """

    name: Literal["full", "sparse"]
    iteration: int
    folder: Path
    positions: Mapping[str, Tensor] | None


@dataclass(frozen=True)
class Length:
    """How long a phase lasts: a number of epochs, within a minimum and a maximum of optimizer steps.

    Example: ``Length(epochs=3, min_steps=1000).steps(100)`` is 1000.
    """

    epochs: int
    min_steps: int = 0
    max_steps: int | None = None

    def __post_init__(self) -> None:
        if self.epochs < 0 or not max(self.epochs, self.min_steps):
            raise BistilError(
                f"A phase of {self.epochs} epochs and at least {self.min_steps} steps trains nothing. "
                "Give 1 epoch or more, or 0 and min_steps."
            )
        if self.max_steps is not None and self.max_steps < self.min_steps:
            raise BistilError(
                f"max_steps is {self.max_steps}, below min_steps, {self.min_steps}. Swap them, or drop one."
            )

    def steps(self, per_epoch: int) -> int:
        """Optimizer steps of the phase, where one epoch takes ``per_epoch``."""
        steps = max(self.epochs * per_epoch, self.min_steps)
        return steps if self.max_steps is None else min(steps, self.max_steps)


def lottery_ticket(
    model: nn.Module,
    group: Collection[str],
    density: float,
    folder: Path,
    kind: str,
    trainer: Callable[[Phase], ResumableTrainer],
    *,
    iterations: int = 1,
    freeze: Collection[str] = (),
) -> SparseDelta:
    """Trains ``model`` in place by lottery-ticket sparse fine-tuning and returns the delta.

    ``group`` names the parameters whose changes become sparse. All others, such as heads, are trained in full in
    both phases, except those in ``freeze`` (for example `layer_norms`), which keep their values.
    ``trainer(phase)`` returns the trainer of each phase; its arguments say how long it lasts and whether it ends
    with the best checkpoint by a metric (``load_best_model_at_end``). With ``iterations`` n > 1 the mask grows by
    K/n entries each time: the model is trained in full from its current values, the entries outside the mask with
    the largest changes from the start join it, and the sparse phase rewinds to the beginning of the iteration.
    What ``folder`` already holds is not run again (Ansell et al. 2022, section 3.1).

    Raises BistilError for a density that is no share, or a group that names nothing that can be trained.
    """
    start = _values(model)
    inside = {name: start[name] for name in start if name in set(group) - set(freeze)}
    if missing := sorted({*group, *freeze} - start.keys()):
        raise BistilError(
            f"{type(model).__name__} has no parameter {missing[0]}. Name those of named_parameters()."
        )
    if not inside:
        raise BistilError(
            f"The group of parameters is empty for {type(model).__name__}. Name at least one to tune."
        )
    ticket_size(inside, density / iterations)  # an impossible density is reported before anything runs
    folder.mkdir(exist_ok=True)
    positions: dict[str, Tensor] = {}
    with frozen(model, freeze):
        for iteration in range(1, iterations + 1):
            tuned = folder / f"tuned-{iteration}.safetensors"
            chosen = folder / f"positions-{iteration}.safetensors"
            if tuned.exists():
                _set_values(model, _tensors(tuned))
                positions = _tensors(chosen)
                continue
            before = start if iteration == 1 else _values(model)
            if not chosen.exists():
                phase = Phase("full", iteration, folder / f"full-{iteration}", None)
                trainer(phase).run()
                share = density * (iteration / iterations)
                end = {name: value.detach() for name, value in model.named_parameters()}
                save_tensors(largest_changes(inside, end, share, positions), chosen)
                remove_checkpoints(phase.folder)
                _set_values(model, before)
            positions = _tensors(chosen)
            phase = Phase("sparse", iteration, folder / f"sparse-{iteration}", positions)
            trainer(phase).run()
            if iteration < iterations:
                save_tensors(_values(model), tuned)
                remove_checkpoints(phase.folder)
        return SparseDelta.of(inside, model, {name: positions[name] for name in inside}, kind)


@contextmanager
def frozen(model: nn.Module, names: Collection[str]) -> Iterator[None]:
    """No gradients for these parameters inside the block, and for the others as before it."""
    parameters = dict(model.named_parameters())
    frozen = [parameters[name] for name in names if parameters[name].requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _values(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def _tensors(path: Path) -> dict[str, Tensor]:
    """Read, not memory-mapped: Windows cannot remove a mapped file."""
    return load(path.read_bytes())


@torch.no_grad()
def _set_values(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        parameter.copy_(values[name])
