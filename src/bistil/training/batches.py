"""Labelled features in training order: like lengths together, and batches of one language."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

LANGUAGE = "language"
_TOGETHER = 1_000  # examples whose features are lists at a time


def as_arrays(
    features: Callable[[Sequence[Any]], Sequence[Mapping[str, Any]]], examples: Sequence[Any]
) -> Iterator[dict[str, Any]]:
    """The features of examples, their lists of numbers as arrays: 4 bytes a number instead of 8 to 36.

    ``features`` makes lists of features of some examples. Example: a feature ``{"input_ids": [5, 6], "labels":
    1}`` comes out as ``{"input_ids": array([5, 6], dtype=int32), "labels": 1}``.
    """
    for start in range(0, len(examples), _TOGETHER):
        for feature in features(examples[start : start + _TOGETHER]):
            yield {
                name: np.array(value, dtype=np.int32) if isinstance(value, Sequence) else value
                for name, value in feature.items()
            }


class OrderedFeatures(Dataset[dict[str, Any]]):
    """Features in training order over so many steps; like lengths share a batch, so that little is padded.

    The order depends on the seed alone, so a resumed run goes on where the interrupted one stopped. Batches
    are cut from a shuffled pool of 16 batches sorted by length, then shuffled.
    """

    def __init__(self, features: Sequence[dict[str, Any]], batch: int, steps: int, seed: int) -> None:
        self._features = features
        epochs = -(-steps * batch // len(features))
        order = training_order([len(f["input_ids"]) for f in features], batch, epochs, seed)
        self._order = order[: steps * batch]

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, item: int) -> dict[str, Any]:
        return self._features[self._order[item]]


def training_order(lengths: Sequence[int], batch: int, epochs: int, seed: int) -> np.ndarray:
    """Indices of examples, epoch after epoch; each epoch has every example once, its short batch last.

    The first examples of the next epoch fill that batch up, so that all others have like lengths. Example: three
    examples, batch 2, 2 epochs give 6 indices.
    """
    order: list[np.ndarray] = []
    sizes = np.asarray(lengths)
    for epoch in range(epochs):
        generator = np.random.default_rng([seed, epoch])
        shuffled = generator.permutation(len(sizes))
        lead = min(-epoch * len(sizes) % batch, len(sizes))
        full = (len(sizes) - lead) // batch * batch
        before, whole, rest = np.split(shuffled, (lead, lead + full))
        pools = np.split(whole, range(16 * batch, full, 16 * batch))
        ordered = np.concatenate([pool[np.argsort(sizes[pool], kind="stable")] for pool in pools])
        batches = ordered.reshape(-1, batch)
        order += [before, batches[generator.permutation(len(batches))].ravel(), rest]
    return np.concatenate(order)


class MonolingualBatches(Dataset[dict[str, Any]]):
    """Features of several languages in training order; every ``batch`` items are of one language, and say so.

    A language has batches in proportion to its features, in an order that depends on the seed alone. Within a
    language the features come as in `OrderedFeatures`. Example: 64 English and 32 Swahili features in batches
    of 32 give two English batches and a Swahili one in every three.
    """

    def __init__(
        self, features: Mapping[str, Sequence[dict[str, Any]]], batch: int, steps: int, seed: int
    ) -> None:
        turn = [language for language, own in features.items() for _ in range(-(-len(own) // batch))]
        turns = -(-steps // len(turn))
        orders = (np.random.default_rng([seed, number]).permutation(len(turn)) for number in range(turns))
        self._schedule = [turn[place] for order in orders for place in order][:steps]
        seen: Counter[str] = Counter()
        self._visits: list[int] = []
        for language in self._schedule:
            self._visits.append(seen[language])
            seen[language] += 1
        self._batch = batch
        self._ordered = {
            language: OrderedFeatures(features[language], batch, visits, seed) for language, visits in seen.items()
        }

    def __len__(self) -> int:
        return self._batch * len(self._schedule)

    def __getitem__(self, item: int) -> dict[str, Any]:
        step, row = divmod(item, self._batch)
        language = self._schedule[step]
        return {**self._ordered[language][self._visits[step] * self._batch + row], LANGUAGE: language}


def monolingual(collator: Callable[[list[dict[str, Any]]], Any]) -> Callable[[list[dict[str, Any]]], Any]:
    """A collator of features that name their language: the batch has it too, under ``language``."""

    def collated(features: list[dict[str, Any]]) -> Any:
        (language,) = {feature[LANGUAGE] for feature in features}
        batch = collator([{key: feature[key] for key in feature if key != LANGUAGE} for feature in features])
        batch[LANGUAGE] = language
        return batch

    return collated
