"""Which of several students is published: the smallest that loses little against the task teacher. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bistil.evaluation.significance import Comparison


@dataclass(frozen=True)
class Drop:
    """How far a student scores below its task teacher, in points, in the task and language where that is most.

    ``most`` is the far end of the 95 % intervals: the largest of all. Example: ``Drop(0.3, 0.9)``.
    """

    points: float
    most: float

    @classmethod
    def of(cls, comparisons: Iterable[Comparison]) -> "Drop":
        """That of a student against its teacher, of one comparison a task and language."""
        found = list(comparisons)
        return cls(max(-one.difference for one in found), max(-one.difference_low for one in found))


def judged(tests: Collection[str], source: str) -> list[str]:
    """The languages of a task by whose tests a student is chosen: those without labels, if one is tested.

    Example: ``judged(["en", "tr"], "en")`` is ``["tr"]``.
    """
    return [code for code in tests if code != source] or list(tests)


def chosen(drops: Mapping[str, Drop], max_drop: float) -> str:
    """The first student, the smallest in front, that is within the tolerance; else the one that loses least.

    Example: ``chosen({"thin": Drop(0.8, 1.4), "half": Drop(0.3, 0.9)}, 1.0)`` is ``"half"``.
    """
    within = (name for name, drop in drops.items() if drop.most <= max_drop)
    return next(within, min(drops, key=lambda name: drops[name].points))
