"""Which tokens stay."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bistil.errors import BistilError
from bistil.vocabulary.count import Counts

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Selection:
    """The kept token ids, ascending, and why each is kept: "special", "frequency" or "closure"."""

    ids: Ids
    reasons: tuple[str, ...]


def select(
    counts: Mapping[str, Counts],
    *,
    min_probability: float = 1e-6,
    special: Iterable[int],
    closure: Iterable[int],
) -> Selection:
    """Keep a token that makes up `min_probability` of at least one language's corpus.

    The rule of BiStil (Ansell et al. 2023, section 3.1): max over languages of
    count / total ≥ 1e-6. Special and closure tokens are kept whatever their counts.
    A token kept for several reasons has the first of special, frequency, closure.

    Example: counts ``{"en": [0, 9, 1], "tr": [0, 5, 0]}``, min_probability 0.2, special ``[0]``
    and no closure keep the ids ``[0, 1]`` for the reasons ``("special", "frequency")``.
    """
    shares = []
    for language, count in counts.items():
        if not count.any():
            raise BistilError(f"The {language} corpus has no tokens. Give text in that language.")
        shares.append(count / count.sum())
    reasons = np.full(len(shares[0]), "", dtype="<U9")
    reasons[list(closure)] = "closure"
    reasons[np.max(shares, axis=0) >= min_probability] = "frequency"
    reasons[list(special)] = "special"
    ids = np.flatnonzero(reasons != "")
    return Selection(ids=ids, reasons=tuple(reasons[ids].tolist()))
