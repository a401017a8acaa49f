"""The unlabelled text of a recipe: its files by language, what filters drop of it, and what is odd about it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from transformers import PreTrainedTokenizerFast

from bistil.corpora import text
from bistil.corpora.filters import Filters, Tally
from bistil.corpora.suspicion import suspicions, token_use
from bistil.corpora.textfile import TextFile
from bistil.recipe.parts import Patterns
from bistil.recipe.recipe import Recipe

_JUDGED_LINES = 2000

Corpora = Mapping[str, Sequence[TextFile]]


def read(recipe: Recipe, further: Mapping[str, Patterns]) -> Corpora:
    """The files of source and targets, and of further languages, with the recipe's filters."""
    own = {part.language: part.text for part in recipe.languages}
    return dict(_files(recipe, own | dict(further)))


def counted(recipe: Recipe, corpora: Corpora) -> Corpora:
    """The text whose tokens are kept; in one order, so that recipes of the same languages share a stage."""
    if not recipe.vocabulary.further:
        return corpora
    return dict(sorted({**dict(_files(recipe, recipe.vocabulary.further)), **corpora}.items()))


def fingerprints(corpora: Corpora) -> dict[str, list[str]]:
    """Those of all files."""
    return {language: [file.fingerprint for file in files] for language, files in corpora.items()}


def dropped(recipe: Recipe, tallies: Mapping[str, Tally]) -> list[str]:
    """For a stage's note; nothing without filters."""
    if recipe.filters is None:
        return []
    return [f"{language} lines dropped: {tally}" for language, tally in tallies.items()]


def odd(corpora: Corpora, labelled: Mapping[str, Sequence[str]], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """What is odd about the languages of the texts, judged by some lines of each and texts of the tasks."""
    plain = {code: token_use(tokenizer, islice(text.lines(own), _JUDGED_LINES)) for code, own in corpora.items()}
    return suspicions(
        plain, {code: token_use(tokenizer, texts[:_JUDGED_LINES]) for code, texts in labelled.items()}
    )


def _files(recipe: Recipe, texts: Mapping[str, Patterns]) -> Iterator[tuple[str, Sequence[TextFile]]]:
    for language, patterns in texts.items():
        filters = None
        if (wanted := recipe.filters) is not None:
            filters = Filters(language if wanted.language else "", wanted.near_duplicates or 0.0)
        yield language, text.files(patterns, filters)
