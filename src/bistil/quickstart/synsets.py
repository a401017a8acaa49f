"""Wordnets read from their files, and which of ten kinds of thing a synset is.

In Princeton WordNet a synset's label is that of the nearest ancestors in ``ANCHORS``; a synset of another
wordnet takes its label from the English concepts that it is linked to.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

OTHER = "other"  # is something else than the ten labels, or also something else; never a row of the task

# Synsets of Princeton WordNet 3.1 and the label of everything below them. A deeper anchor wins.
ANCHORS: Mapping[str, str] = {
    "ENG31-00007846-n": "person",
    "ENG31-00015568-n": "animal",
    "ENG31-00017402-n": "plant",
    "ENG31-00021445-n": "food",  # nutrient
    "ENG31-07571428-n": "food",  # solid food
    "ENG31-07897775-n": "food",  # beverage
    "ENG31-05227735-n": "body part",
    "ENG31-14075528-n": "illness",
    "ENG31-00027365-n": "place",  # location
    "ENG31-09310874-n": "place",  # geological formation
    "ENG31-09248053-n": "place",  # body of water
    "ENG31-00022119-n": "object",  # artifact
    "ENG31-02965981-n": "object",  # playing cards, which WordNet files under paper, a substance
    "ENG31-00030657-n": "activity",
    "ENG31-00019793-n": "substance",
    "ENG31-00020270-n": "substance",
    "ENG31-08610818-n": OTHER,  # lines such as isotherms, which WordNet files under location
    "ENG31-06262268-n": OTHER,  # communication such as hypermedia, which WordNet files under act
    "ENG31-00033319-n": OTHER,  # communication
    "ENG31-00026390-n": OTHER,  # feeling
    "ENG31-15137796-n": OTHER,  # time period
    "ENG31-00031563-n": OTHER,  # group
    "ENG31-00024444-n": OTHER,  # attribute
    "ENG31-00023451-n": OTHER,  # cognition
    "ENG31-00024900-n": OTHER,  # state
}


@dataclass(frozen=True, slots=True)
class Synset:
    """A concept: its definitions and examples, the concepts above it, the English ones linked to it."""

    noun: bool
    definitions: tuple[str, ...]
    examples: tuple[str, ...] = ()
    hypernyms: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


Wordnet = Mapping[str, Synset]


def read(path: Path) -> dict[str, Synset]:
    """Read a wordnet in the XML format of the BalkaNet project, as both files have it."""
    wordnet = {}
    for _, element in ElementTree.iterparse(path):
        if element.tag == "SYNSET":
            wordnet[element.findtext("ID", "")] = Synset(
                noun=element.findtext("POS") == "n",
                definitions=_texts(element, "DEF"),
                examples=_texts(element, "EXAMPLE"),
                hypernyms=tuple(
                    relation.text or ""
                    for relation in element.findall("SR")
                    if relation.findtext("TYPE") in ("HYPERNYM", "INSTANCE_HYPERNYM")
                ),
                links=tuple(link.text or "" for link in element.findall("ILR")),
            )
            element.clear()
    return wordnet


def labels_by_anchor(wordnet: Wordnet) -> dict[str, frozenset[str]]:
    """Return the labels of every noun of Princeton WordNet: those of its nearest anchors, or none."""
    anchors = {id: frozenset([label]) for id, label in ANCHORS.items()}
    return {id: labels_above(wordnet, [id], anchors) for id in wordnet if wordnet[id].noun}


def labels_by_link(target: Wordnet, source_labels: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Return the labels of target nouns: those of the linked English concepts, where their hypernyms agree.

    A link alone can be wrong (KeNet's redwood, a tree, is linked to its wood), so the nearest linked
    synsets above must give the very same label.
    """
    unlabelled = frozenset([OTHER])
    linked = {
        id: frozenset[str]().union(*(source_labels.get(link) or unlabelled for link in synset.links))
        for id, synset in target.items()
        if synset.links
    }
    return {
        id: labels
        for id, labels in linked.items()
        if target[id].noun and labels_above(target, target[id].hypernyms, linked) - unlabelled == labels
    }


def labels_above(wordnet: Wordnet, start: Iterable[str], known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the labels of the nearest synsets in ``known`` on every way up from ``start`` (included)."""
    labels: frozenset[str] = frozenset()
    waiting, seen = list(start), set[str]()
    while waiting:
        id = waiting.pop()
        if id in seen or id not in wordnet:
            continue
        seen.add(id)
        if id in known:
            labels |= known[id]
        else:
            waiting += wordnet[id].hypernyms
    return labels


def _clean(text: str) -> str:
    # English has `quotes' of this kind, and Turkish some quotes of Windows-1252.
    text = text.replace("`", "'").replace("\x93", '"').replace("\x94", '"')
    return re.sub(r" (?=[.,;?!](?: |$))", "", " ".join(text.split())).strip(" ;")


def _texts(element: ElementTree.Element, tag: str) -> tuple[str, ...]:
    # KeNet separates several examples by bars.
    texts = (_clean(part) for child in element.findall(tag) for part in (child.text or "").split("|"))
    return tuple(text for text in texts if text)
