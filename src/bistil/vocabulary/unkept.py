"""How much of a language the kept tokens miss, told from a sample of its text."""

import math
from collections.abc import Mapping

import numpy as np

from bistil.vocabulary.counted import Counted
from bistil.vocabulary.select import Selection

_Z = 1.645  # of a normal distribution, 95 % lie below


def unkept_shares(corpora: Mapping[str, Counted], selection: Selection) -> dict[str, dict[str, float]]:
    """The share of each sampled language's tokens that are not kept, and a bound that holds in 95 % of cases.

    Estimated as Good (1953) does, by what would be lost had a stretch of the sample not been drawn: tokens that
    then occur too rarely to be kept. The variance is Esty's (1983) where one occurrence suffices, a token counted
    as often as it is in a stretch. What is kept for another reason or another language's sake is not lost.

    Example: ``{"tr": {"not_kept": 0.0012, "not_kept_at_most": 0.0014}}``; without languages that were read whole.
    """
    kept = np.zeros(len(next(iter(corpora.values())).counts), dtype=bool)
    frequent = kept.copy()
    kept[selection.ids] = True
    frequent[selection.ids] = [reason == "frequency" for reason in selection.reasons]
    counts = np.stack([corpus.counts for corpus in corpora.values()])
    best = (counts / counts.sum(axis=1, keepdims=True)).argmax(axis=0)
    # How often a token must occur in each language to be kept for its sake.
    least = np.array(
        [own[frequent & (best == number)].min(initial=own.max()) for number, own in enumerate(counts)]
    )
    shares = {}
    for number, (language, corpus) in enumerate(corpora.items()):
        if corpus.runs is None:
            continue
        own, runs = corpus.counts, np.maximum(corpus.runs, 1)
        enough = counts >= least[:, None]
        enough[number] = False
        open_to_chance = (own > 0) & ~(kept & ~frequent) & ~enough.any(axis=0)
        lost = open_to_chance & (own * (1 - 1 / runs) < least[number])
        next_lost = open_to_chance & ~lost & (own * (1 - 2 / runs) < least[number])
        # With c in 1 to k lost and Poisson counts: the sum of c over these, and of k (k + 1) over c = k + 1.
        spread = float((own**2 / runs * np.where(lost, 1, (runs - 1) * next_lost)).sum())
        total = float(own.sum())
        estimate = float(own[lost].sum())
        # 3: so many may be expected where none is seen, at most
        shares[language] = {
            "not_kept": estimate / total,
            "not_kept_at_most": min(1.0, (estimate + _Z * math.sqrt(spread) + 3) / total),
        }
    return shares
