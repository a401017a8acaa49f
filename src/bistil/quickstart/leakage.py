"""Whether lines of text hold what a test must not have seen, or are in the wrong language. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable


def key(text: str) -> str:
    """Return what is left of a text without case, spaces and punctuation: ``"a b"`` of ``"(A)  b."``."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def contains_any(texts: Iterable[str]) -> Callable[[str], bool]:
    """Tell whether a line is or contains one of ``texts``, of three words or more, compared by their keys."""
    by_start = defaultdict(list)
    for text in texts:
        first, second, third, *_ = words = key(text).split()
        by_start[first, second, third].append(words)

    def contains(line: str) -> bool:
        words = key(line).split()
        starts = enumerate(zip(words, words[1:], words[2:], strict=False))
        return any(words[i : i + len(found)] == found for i, start in starts for found in by_start.get(start, ()))

    return contains


def resembles(first: Iterable[str], second: Iterable[str]) -> Callable[[str], bool]:
    """Tell whether a text is in the language of ``first``: most of its words are more frequent there.

    ``second`` are lines of the language that the text should be in; a few foreign ones among them do no harm.
    """
    counts, others = (Counter(word for line in lines for word in _words(line)) for lines in (first, second))
    total, others_total = counts.total(), others.total()

    def in_first(text: str) -> bool:
        words = _words(text)
        return 2 * sum(counts[word] * others_total > others[word] * total for word in words) > len(words)

    return in_first


def _words(text: str) -> list[str]:
    # Lower-casing the Turkish İ leaves a combining dot behind.
    return re.findall(r"[^\W\d_]+", text.casefold().replace("\u0307", ""))
