"""Definitions of one concept in two languages, to see whether the vectors of a pair find each other.

From the same wordnets as the quickstart's task. A pair are two definitions of the same thing, mostly no literal
translation of each other.
"""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bistil.quickstart.leakage import key, resembles
from bistil.quickstart.synsets import Wordnet
from bistil.quickstart.wordnet import (
    DANGLING,
    SOURCE,
    definitions,
    fetched,
    is_usable,
    lines,
    unlabelled,
    write_lines,
)

PREPARATION, _PAIRS = 1, 500  # the first to be raised when the same package gives other data


@dataclass(frozen=True)
class Definitions:
    """Unlabelled lines by language, and the pairs by language: line n of one belongs to line n of the other."""

    text: Mapping[str, list[str]]
    pairs: Mapping[str, list[str]]


@dataclass(frozen=True)
class DefinitionFiles:
    """Where the prepared files lie, by language, for example ``pairs["tr"]``."""

    text: dict[str, Path]
    pairs: dict[str, Path]


def prepare(target: str, folder: Path, seed: int = 0) -> DefinitionFiles:
    """Write text and pairs for English and ``target`` into ``folder``, unless they are there already.

    See `bistil.quickstart.wordnet.prepare`, which does the same for the task.
    """

    def write(source: Wordnet, other: Wordnet, place: Path) -> None:
        found, files = build(source, other, target, seed=seed), _files(place, target)
        for language in found.text:
            write_lines(files.text[language], found.text[language])
            write_lines(files.pairs[language], found.pairs[language])

    fetched(target, folder, f"pairs of definitions, preparation {PREPARATION}", seed, write)
    return _files(folder, target)


def build(source: Wordnet, target: Wordnet, language: str, *, most: int = _PAIRS, seed: int = 0) -> Definitions:
    """Choose the pairs and the lines; ``language`` is the target's code. Pure, and the same for the same seed.

    A pair are the first definitions of synsets that are linked with each other and no other, and that no other
    synset has. No definition of a pair is in any line of text.
    """
    random_numbers, is_source = random.Random(seed), resembles(lines(source), lines(target))
    source_keys, target_keys = (Counter(map(key, definitions(wordnet))) for wordnet in (source, target))
    links = Counter(link for synset in target.values() for link in synset.links)
    dangling = DANGLING.get(language)
    pairs = []
    for id in sorted(target):
        if len(target[id].links) != 1 or links[link := target[id].links[0]] > 1 or link not in source:
            continue
        for one, other in zip(source[link].definitions[:1], target[id].definitions[:1], strict=False):
            alone = source_keys[key(one)] == target_keys[key(other)] == 1 and key(other) not in source_keys
            usable = is_usable(one) and is_usable(other) and not (dangling and dangling.match(other))
            if alone and usable and not is_source(other):
                pairs.append((one, other))
    chosen = random_numbers.sample(pairs, min(most, len(pairs)))
    held_out = {code: [pair[side] for pair in chosen] for side, code in enumerate((SOURCE, language))}
    texts = [text for own in held_out.values() for text in own]
    return Definitions(unlabelled(source, target, language, texts, is_source, random_numbers), held_out)


def _files(folder: Path, target: str) -> DefinitionFiles:
    languages = (SOURCE, target)
    return DefinitionFiles(
        text={language: folder / "text" / f"{language}.txt" for language in languages},
        pairs={language: folder / "test" / f"definitions.{language}.txt" for language in languages},
    )
