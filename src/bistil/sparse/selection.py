"""Which entries of a parameter group a lottery ticket trains: a pure function of tensors."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from bistil.errors import BistilError


def largest_changes(start: Mapping[str, Tensor], end: Mapping[str, Tensor], density: float) -> dict[str, Tensor]:
    """Flat positions, ascending, of the K = ⌊density · |G|⌋ entries with the largest |end − start|.

    The group G is all tensors of ``start`` in their order; ties go to the earlier position (LT-SFT, Ansell
    et al. 2022, section 3). Example: changes 1, 3, 2, 3 at density 0.5 give positions 1 and 3.
    """
    if not 0 < density <= 1:
        raise BistilError(f"density is {density}. Give a share above 0 and at most 1, for example 0.08.")
    changes = torch.cat([(end[name] - values).abs().flatten() for name, values in start.items()])
    count = math.floor(density * len(changes))
    if count == 0:
        raise BistilError(
            f"density {density} of {len(changes)} entries leaves none to train. Give a larger density."
        )
    threshold = changes.kthvalue(len(changes) - count + 1).values
    chosen = changes > threshold
    ties = (changes == threshold).nonzero().flatten()
    chosen[ties[: count - int(chosen.sum())]] = True
    parts = chosen.split([values.numel() for values in start.values()])
    return {name: part.nonzero().flatten() for name, part in zip(start, parts, strict=True)}
