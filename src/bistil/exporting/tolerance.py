"""Which products stay in float32, so that int8 costs no more than a tolerance. Pure: it is told all costs."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from bistil.errors import BistilError
from bistil.exporting.quantisation import Product

EMBEDDINGS = "embeddings"
_LAYER = re.compile(r"^.*?\.\d+\.")
# What int8 costs by language, in points, with some groups in float32.
Measure = Callable[[Collection[str]], Mapping[str, float]]


@dataclass(frozen=True)
class Kept:
    """The groups that stay in float32, those that matter most first, and what int8 then costs by language.

    Example: ``Kept(("bert.encoder.layer.5.output.dense",), {"tr": 0.1, "en": -0.2})``.
    """

    groups: tuple[str, ...]
    losses: Mapping[str, float]


def grouped(products: Sequence[Product]) -> dict[str, tuple[str, ...]]:
    """Products by what they are together: those of a layer that have their input in common, and all tables.

    Example: a group ``bert.encoder.layer.0.attention.self.query, key, value`` of three products.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for one in products:
        layer = _LAYER.match(one.name)
        key = (EMBEDDINGS, "") if one.table else (one.source, layer[0] if layer else "")
        found.setdefault(key, []).append(one.name)
    return {EMBEDDINGS if key == (EMBEDDINGS, "") else _title(names): tuple(names) for key, names in found.items()}


def choose(groups: Collection[str], measure: Measure, tolerance: float) -> Kept:
    """The groups to keep in float32; none where all of them in int8 cost no more than the tolerance.

    Each group is left out once. Then those are kept by whose absence the language that loses most loses least, one
    after the other, until the tolerance is met.

    Args:
        groups: all there are.
        measure: what int8 costs with some of them in float32.
        tolerance: points that no language may lose more than.

    Raises:
        BistilError: half of the groups in float32 are not enough; it names them.
    """
    losses = measure(())
    if _worst(losses) <= tolerance:
        return Kept((), losses)
    alone = {group: measure((group,)) for group in groups}
    order = sorted(groups, key=lambda group: (_worst(alone[group]), sum(alone[group].values())))
    kept: list[str] = []
    for group in order[: len(order) // 2]:
        kept.append(group)
        losses = alone[group] if len(kept) == 1 else measure(tuple(kept))
        if _worst(losses) <= tolerance:
            return Kept(tuple(kept), losses)
    cost = ", ".join(f"{language} {loss:.1f}" for language, loss in losses.items())
    raise BistilError(
        f"int8 costs more than {tolerance:g} points ({cost}), even with {'; '.join(kept) or 'nothing'} in "
        "float32. Raise the tolerance, or export without int8."
    )


def _worst(losses: Mapping[str, float]) -> float:
    return max(losses.values(), default=0.0)


def _title(names: Sequence[str]) -> str:
    """``…self.query, key, value`` of weights of these modules."""
    modules = [name.removesuffix(".weight") for name in names]
    parent = modules[0].rpartition(".")[0]
    return ", ".join([modules[0], *(module.removeprefix(f"{parent}.") for module in modules[1:])])
