"""Which entries of a parameter group a lottery ticket trains: a pure function of tensors."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from bistil.errors import BistilError

_CHUNK = 1 << 22  # entries at a time, so that little memory is needed beside the group itself
_HALF = 16  # bits counted at once; a rank has 32


def largest_changes(
    start: Mapping[str, Tensor],
    end: Mapping[str, Tensor],
    density: float,
    kept: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Flat positions, ascending, of the K = ⌊density · |G|⌋ entries with the largest |end − start|.

    The group G is all tensors of ``start`` in their order; ties go to the earlier position (LT-SFT, Ansell
    et al. 2022, section 3). Changes are compared in float32. The positions in ``kept`` (ascending) are among
    the K whatever their change, so that a mask can grow. Raises BistilError for a density that is no share or
    leaves no entry. Example: changes 1, 3, 2, 3 at density 0.5 give positions 1 and 3.
    """
    count = ticket_size(start, density)
    changes = _Changes(start, end, kept or {})
    threshold, ties = changes.threshold(count)
    chosen: dict[str, list[Tensor]] = {name: [] for name in start}
    for name, offset, ranks in changes.chunks():
        inside = ranks > threshold
        equal = (ranks == threshold).nonzero().flatten()[:ties]
        inside[equal] = True
        ties -= len(equal)
        chosen[name].append(inside.nonzero().flatten().cpu() + offset)
    return {name: torch.cat([torch.zeros(0, dtype=torch.int64), *found]) for name, found in chosen.items()}


def ticket_size(group: Mapping[str, Tensor], density: float) -> int:
    """K = ⌊density · |G|⌋. Example: 8 % of a group of 31 million entries are 2,480,000."""
    if not 0 < density <= 1:
        raise BistilError(f"density is {density}. Give a share above 0 and at most 1, for example 0.08.")
    total = sum(values.numel() for values in group.values())
    count = math.floor(density * total)
    if count == 0:
        raise BistilError(f"density {density} of {total} entries leaves none to train. Give a larger density.")
    return count


class _Changes:
    """The ranks of all changes, chunk by chunk: integers ordered as |end − start|; the kept come first.

    The bits of a float32 that is not negative, read as an integer, have the order of the floats.
    """

    _first = torch.iinfo(torch.int32).max

    def __init__(self, start: Mapping[str, Tensor], end: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> None:
        self._start, self._end, self._kept = start, end, kept

    def chunks(self) -> Iterator[tuple[str, int, Tensor]]:
        """Name of the tensor, flat position of the chunk in it, ranks [entries] of int32."""
        for name, values in self._start.items():
            pairs = zip(values.reshape(-1).split(_CHUNK), self._end[name].reshape(-1).split(_CHUNK), strict=True)
            for number, (before, after) in enumerate(pairs):
                # the trainer may have moved the model, chunks of which come back
                after = after.detach().to(before.device)
                ranks = (after.float() - before.detach().float()).abs_().view(torch.int32)
                offset = number * _CHUNK
                if name in self._kept:
                    bounds = torch.tensor([offset, offset + len(ranks)])
                    first, last = torch.searchsorted(self._kept[name], bounds).tolist()
                    ranks[self._kept[name][first:last].to(ranks.device) - offset] = self._first
                yield name, offset, ranks

    def threshold(self, count: int) -> tuple[int, int]:
        """The rank of the last of the ``count`` largest, and how many of that rank are among them.

        A radix selection: counts find the upper half of the bits of that rank, then the lower half.
        """
        upper = torch.zeros(1 << (_HALF - 1), dtype=torch.int64)
        for _, _, ranks in self.chunks():
            upper += torch.bincount(ranks >> _HALF, minlength=len(upper)).cpu()
        high, count = _last_of_largest(upper, count)
        lower = torch.zeros(1 << _HALF, dtype=torch.int64)
        for _, _, ranks in self.chunks():
            inside = ranks[(ranks >> _HALF) == high] & ((1 << _HALF) - 1)
            lower += torch.bincount(inside, minlength=len(lower)).cpu()
        low, count = _last_of_largest(lower, count)
        return (high << _HALF) | low, count


def _last_of_largest(counts: Tensor, wanted: int) -> tuple[int, int]:
    """The bin in which the ``wanted``-th entry from the top lies, and how many of its entries are wanted."""
    from_top = counts.flip(0).cumsum(0)
    place = int(torch.searchsorted(from_top, wanted))
    return len(counts) - 1 - place, wanted - int(from_top[place - 1] if place else 0)
