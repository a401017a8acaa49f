"""How well answers agree with gold answers: exact match and token F1, as SQuAD and MLQA define them. Pure."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

# MLQA (Lewis et al. 2020), mlqa_evaluation_v1.py; of Arabic it takes out the two letters wherever they stand.
_ARTICLES = {
    "en": r"\b(a|an|the)\b",
    "es": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "vi": r"\b(của|là|cái|chiếc|những)\b",
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "ar": "ال",
}
_LONGER = {"eng": "en", "spa": "es", "vie": "vi", "deu": "de", "ara": "ar", "zho": "zh"}  # codes of three letters
_BY_CHARACTER = r"[\u4e00-\u9fa5]|[^\s\u4e00-\u9fa5]+"


def exact_match(answer: str, gold: Sequence[str], language: str | None = None) -> float:
    """1 if an answer is the same as one of the gold answers once both are normalised, else 0.

    ``gold`` is ``("",)`` for a question without an answer. Example: "The cat." against ("cat",) gives 1.0.
    """
    return _best(answer, gold, language, lambda given, right: float(given == right))


def token_f1(answer: str, gold: Sequence[str], language: str | None = None) -> float:
    """F1 of an answer's tokens against those of the gold answer that it is nearest to, from 0 to 1.

    Of two answers of which one has no tokens, F1 is 1 if neither has any, else 0 (SQuAD 2.0). Example: "the black
    cat" against ("cat",) has precision 1/2 and recall 1, which gives 0.667.
    """
    return _best(answer, gold, language, _f1)


def tokens(text: str, language: str | None = None) -> list[str]:
    """The words of an answer in lower case, without punctuation and articles.

    Without a language as SQuAD's script does it (Rajpurkar et al. 2016), which is how XQuAD is scored in all its
    languages: English articles, ASCII punctuation. With one as MLQA's script does it: the language's own articles
    (en, es, vi, de, ar; none for any other), all Unicode punctuation, every Chinese character a token. Both
    scripts lower-case by Unicode's rules, Turkish too: "I" becomes "i". Example: "The “Cat”!" in "en" gives
    ["cat"].
    """
    text = text.lower()
    if language is None:
        text = "".join(character for character in text if character not in string.punctuation)
        return re.sub(_ARTICLES["en"], " ", text).split()
    code = re.split("[-_]", language.lower())[0]
    code = _LONGER.get(code, code)
    text = "".join(character for character in text if not _is_punctuation(character))
    text = re.sub(_ARTICLES[code], " ", text) if code in _ARTICLES else text
    return re.findall(_BY_CHARACTER, text) if code == "zh" else text.split()


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _best(
    answer: str, gold: Sequence[str], language: str | None, agreement: Callable[[list[str], list[str]], float]
) -> float:
    given = tokens(answer, language)
    # as SQuAD 2.0: a gold answer of which nothing is left does not count beside others
    expected = [right for right in (tokens(text, language) for text in gold) if right] or [[]]
    return max(agreement(given, right) for right in expected)


def _f1(given: list[str], right: list[str]) -> float:
    if not given or not right:
        return float(given == right)
    common = (Counter(given) & Counter(right)).total()
    return 2 * common / (len(given) + len(right))
