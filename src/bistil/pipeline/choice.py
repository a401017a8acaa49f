"""Which of several students is published: the smallest that loses little against the task teacher. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bistil.evaluation.significance import Comparison

_ENDS = ("difference", "difference_high", "difference_low")


@dataclass(frozen=True)
class Drop:
    """How far a student scores below its task teacher, in points, in the task and language where that is most.

    ``least`` and ``most`` are the ends of the 95 % intervals: the largest of each. ``whole`` is false where the
    student was given up before it had learned every task with every seed. Example: ``Drop(0.3, -0.3, 0.9)``.
    """

    points: float
    least: float
    most: float
    whole: bool = True

    @classmethod
    def of(cls, comparisons: Iterable[Comparison]) -> "Drop":
        """That of a student against its teacher, of one comparison a task and language."""
        found = list(comparisons)
        differences = ([getattr(one, end) for one in found] for end in _ENDS)
        return cls(*(max(-one for one in own) for own in differences))

    def within(self, max_drop: float) -> bool:
        """Whether the student may be published: it has learned everything, and stays within the tolerance."""
        return self.whole and self.most <= max_drop


def judged(tests: Collection[str], source: str) -> list[str]:
    """The languages of a task by whose tests a student is chosen: those without labels, if one is tested.

    Example: ``judged(["en", "tr"], "en")`` is ``["tr"]``.
    """
    return [code for code in tests if code != source] or list(tests)


def chosen(drops: Mapping[str, Drop], max_drop: float) -> str:
    """The first student, the smallest in front, that is within the tolerance; else the one that loses least.

    Where none is within, those that `unfinished` names have to learn the rest first.

    Example: ``chosen({"thin": Drop(0.8, 0.2, 1.4), "half": Drop(0.3, -0.3, 0.9)}, 1.0)`` is ``"half"``.
    """
    within = (name for name, drop in drops.items() if drop.within(max_drop))
    return next(within, min(drops, key=lambda name: drops[name].points))


def unfinished(drops: Mapping[str, Drop], max_drop: float, seeds: int) -> str | None:
    """Of students that were given up the one to finish next: none is within, and it may lose less than all others.

    With further ``seeds`` a drop may shrink to the near end of its interval; further tasks of one seed only add to
    it. Example: ``unfinished({"thin": Drop(3.0, 1.2, 4.8, whole=False), "half": Drop(2.0, 0.5, 3.5)}, 1.0, 2)`` is
    ``"thin"``, which may come down to 1.2.
    """
    best = drops[chosen(drops, max_drop)]
    if best.within(max_drop):
        return None
    hoped = {name: drop.least if seeds > 1 else drop.points for name, drop in drops.items() if not drop.whole}
    left = [name for name in hoped if hoped[name] < best.points or drops[name] is best]
    return min(left, key=lambda name: drops[name].points, default=None)
