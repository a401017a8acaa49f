"""As many of each label as can be: of what random text has few of, a student would learn little."""

from collections.abc import Sequence


def evenly(labels: Sequence[str], wanted: int) -> list[int]:
    """The places of so many items, or of all if there are fewer, with as equal a number of each label as can be.

    Where a label has fewer, the others have more; of one with too many, the items are spread over all of its own.

    Args:
        labels: one of each item.
        wanted: how many items.

    Returns:
        Places in ``labels``, ascending: ``evenly("aaaabbc", 5) == [0, 2, 4, 5, 6]``.
    """
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    chosen: list[int] = []
    for number, own in enumerate(sorted(places.values(), key=len)):  # the rarest first: the rest is shared again
        share = min(len(own), (wanted - len(chosen)) // (len(places) - number))
        chosen += [own[index * len(own) // share] for index in range(share)]
    return sorted(chosen)
