"""The lottery ticket: train everything, keep what moved most, put all back, train only that."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bistil.sparse.delta import SparseDelta
from bistil.sparse.selection import largest_changes
from bistil.training import ResumableTrainer

Phase = Callable[[str, Path, Mapping[str, Tensor] | None], ResumableTrainer]


def lottery_ticket(
    model: nn.Module, group: Sequence[str], density: float, folder: Path, kind: str, phase: Phase
) -> SparseDelta:
    """Trains ``model`` in place by lottery-ticket sparse fine-tuning and returns what changed.

    ``group`` names the parameters that become sparse; all others, heads, are trained whole in both phases.
    ``phase(name, folder, positions)`` gives the trainer of the phase ``"full"`` (positions ``None``) or
    ``"sparse"``. What ``folder`` already holds is not run again (Ansell et al. 2022, section 3).
    """
    start = {name: value.detach().clone() for name, value in model.named_parameters()}
    inside = {name: start[name] for name in group}
    folder.mkdir(exist_ok=True)
    chosen = folder / "positions.safetensors"
    if not chosen.exists():
        phase("full", folder / "full", None).run()
        end = {name: value.detach() for name, value in model.named_parameters()}
        save_file(largest_changes(inside, end, density), chosen.with_suffix(".partial"))
        chosen.with_suffix(".partial").rename(chosen)
        with torch.no_grad():
            for name, value in model.named_parameters():
                value.copy_(start[name])
    positions = load_file(chosen)
    phase("sparse", folder / "sparse", positions).run()
    return SparseDelta.of(inside, model, {name: positions[name] for name in group}, kind)
