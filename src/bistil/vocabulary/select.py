"""Which tokens stay."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bistil.errors import BistilError
from bistil.vocabulary.count import Counts

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rule:
    """Which tokens are frequent: by one of four rules. A token is as frequent as in its best language.

    ``min_probability``: it makes up this share of the language's tokens (Ansell et al. 2023, section 3.1: 1e-6);
    0 keeps every token.
    ``min_count``: it occurs so often. ``coverage``: the most frequent ones that make up this share of every
    language's tokens. ``top_k``: so many in all, with whatever else must be kept.
    """

    name: str = "min_probability"
    value: float = 1e-6

    def __post_init__(self) -> None:
        whole = self.name in ("top_k", "min_count")
        if self.name == "min_probability" and self.value == 0:
            return
        if not self.value > 0 or (self.value != int(self.value) if whole else self.value > 1):
            needed = "a whole number from 1" if whole else "more than 0 and at most 1"
            raise BistilError(f"{self.name} is {self.value}. Give {needed}.")


@dataclass(frozen=True)
class Selection:
    """The kept token ids, ascending, and why each is kept.

    A reason is "special", "listed" (the user's own), "frequency", "likely" (unseen, but alike), "closure"
    (else others could not be made, or text became unknown) or "multiple" (fills the size up): the first
    that holds.
    """

    ids: Ids
    reasons: tuple[str, ...]


def select(
    counts: Mapping[str, Counts],
    rule: Rule,
    *,
    special: Iterable[int],
    closure: Callable[[Iterable[int]], Iterable[int]],
    listed: Iterable[int] = (),
    likely: Iterable[int] = (),
    unused: Iterable[int] = (),
    multiple: int = 1,
) -> Selection:
    """Keep the frequent tokens, the special, listed and likely ones, and what `closure` says these need.

    With `multiple`, the next most frequent tokens fill the number up to a multiple of it. Ids that are `unused`
    stand for no token and are never kept. Raises `BistilError` where a corpus is empty or the tokens do not
    suffice or fit.

    Example: counts ``{"en": [0, 9, 1], "tr": [0, 5, 0]}``, a min_probability of 0.2, special ``[0]``
    and no closure keep the ids ``[0, 1]`` for the reasons ``("special", "frequency")``.
    """
    shares = _shares(counts)
    best = shares.max(axis=0)
    used = np.ones(len(best), dtype=bool)
    used[list(unused)] = False
    by_frequency = np.argsort(-best, kind="stable")
    ranked = by_frequency[used[by_frequency]].tolist()
    given = {*special, *listed, *likely}

    def closed(frequent: Iterable[int]) -> set[int]:
        kept = given | set(frequent)
        return kept | set(closure(kept))

    grown: list[int] = []
    if rule.name == "top_k":
        size = int(rule.value)
        if size % multiple:
            raise BistilError(f"top_k is {size}, which is no multiple of {multiple}. Change one of them.")
        frequent = grown = _grow(closed, [], ranked, size, "top_k")
    else:
        frequent = np.flatnonzero(_frequent(rule, counts, shares) & used).tolist()
        if rest := len(closed(frequent)) % multiple:
            size = len(closed(frequent)) + multiple - rest
            grown = _grow(closed, frequent, ranked, size, f"a multiple of {multiple}")
    reasons = np.full(len(best), "", dtype="<U9")
    for reason, ids in (
        ("closure", closed(grown)),
        ("multiple", grown),
        ("closure", closed(frequent)),
        ("likely", likely),
        ("frequency", frequent),
        ("listed", listed),
        ("special", special),
    ):
        reasons[list(ids)] = reason
    kept = np.flatnonzero(reasons != "")
    return Selection(ids=kept, reasons=tuple(reasons[kept].tolist()))


def _shares(counts: Mapping[str, Counts]) -> npt.NDArray[np.float64]:
    for language, count in counts.items():
        if not count.any():
            raise BistilError(f"The {language} corpus has no tokens. Give text in that language.")
    return np.stack([count / count.sum() for count in counts.values()])


def _frequent(rule: Rule, counts: Mapping[str, Counts], shares: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    if rule.name == "min_probability":
        chosen = shares >= rule.value
    elif rule.name == "min_count":
        chosen = np.stack([*counts.values()]) >= rule.value
    else:
        chosen = np.stack([_covering(count, rule.value) for count in counts.values()])
    return np.any(chosen, axis=0)


def _covering(count: Counts, coverage: float) -> npt.NDArray[np.bool_]:
    """The smallest set of the most frequent tokens that makes up this share of all."""
    order = np.argsort(-count, kind="stable")
    number = int(np.searchsorted(np.cumsum(count[order]), coverage * count.sum())) + 1
    chosen = np.zeros(len(count), dtype=bool)
    chosen[order[:number]] = True
    return chosen & (count > 0)


def _grow(
    closed: Callable[[Iterable[int]], set[int]], start: list[int], ranked: list[int], size: int, wanted: str
) -> list[int]:
    """`start` and as many of the ranked tokens as make exactly `size` with all that they need."""
    if (needed := len(closed(start))) > size:
        raise BistilError(
            f"{wanted} allows {size:,} tokens, but {needed:,} must be kept (special tokens, those listed, and "
            "those without which text becomes unknown). Give at least that."
        )
    if size > len(ranked):
        raise BistilError(
            f"{wanted} asks for {size:,} tokens, but the tokenizer has only {len(ranked):,}. Ask for fewer."
        )
    number = bisect_right(range(size + 1), size, key=lambda n: len(closed([*start, *ranked[:n]]))) - 1
    grown = [*start, *ranked[:number]]
    kept = closed(grown)
    for token in ranked[number:]:
        if len(kept) == size:
            break
        # A token that needs others may not fit, where a later one does.
        if token not in kept and len(more := closed([*grown, token])) <= size:
            grown, kept = [*grown, token], more
    return grown
