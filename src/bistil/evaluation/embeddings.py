"""How good sentence embeddings are: tests of translations, of similarity, of retrieval and of labels.

A test holds texts and what is right, and scores any model that encodes as sentence-transformers' models do. Every
score has a value of each item, so that two models are compared by the paired bootstrap.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Protocol

import numpy as np

from bistil.evaluation.itemscores import ItemScore, mean_score, rank_correlation
from bistil.evaluation.nearest import Vectors, found_first, ranked, unit, voted

QUERY, PASSAGE = ("query",), ("document", "passage", "corpus")  # sentence-transformers' names of prompts


class Encoder(Protocol):
    """A model of sentence embeddings: bistil's, or one of sentence-transformers."""

    @property
    def prompts(self) -> Mapping[str, str]:
        """What it puts before a text, by name: ``{"query": "query: ", "passage": "passage: "}``."""

    def encode(self, texts: list[str], /, *, prompt_name: str | None) -> Any:
        """Vectors, [texts, dimensions]."""


class EmbeddingTest(Protocol):
    """Texts and what is right of them."""

    metric: ClassVar[str]  # that of its scores by which models are compared

    def __len__(self) -> int:
        """How many items are scored."""

    @property
    def texts(self) -> Iterator[str]:
        """All that is encoded for it."""

    def scores(self, model: Encoder) -> dict[str, ItemScore]:
        """The model's scores by name."""


@dataclass(frozen=True)
class Bitext:
    """Lines in two languages, each the translation of the other's line of the same number.

    Scored by the share of lines whose own translation is the nearest of all: of the first language's lines
    (``src2trg_accuracy``), of the second's (``trg2src_accuracy``), and the mean of both, as sentence-transformers'
    TranslationEvaluator has it. Example: ``float(Bitext(["A cat."], ["Bir kedi."]).scores(model)
    ["mean_accuracy"])`` is 100, for there is no other line.
    """

    ones: Sequence[str]
    others: Sequence[str]
    metric: ClassVar[str] = "mean_accuracy"

    def __len__(self) -> int:
        return len(self.ones)

    @property
    def texts(self) -> Iterator[str]:
        """Both languages' lines."""
        return chain(self.ones, self.others)

    def scores(self, model: Encoder) -> dict[str, ItemScore]:
        """Accuracy at 1 in both directions."""
        ones, others = _alike(model, self.ones), _alike(model, self.others)
        there, back = found_first(ones, others), found_first(others, ones)
        found = {"mean_accuracy": (there + back) / 2, "src2trg_accuracy": there, "trg2src_accuracy": back}
        return {name: mean_score(values) for name, values in found.items()}


@dataclass(frozen=True)
class Similarity:
    """Pairs of texts and how alike people find them (STS), on any scale.

    Scored by Spearman's rank correlation of these with the cosines.
    """

    ones: Sequence[str]
    others: Sequence[str]
    gold: Sequence[float]
    metric: ClassVar[str] = "spearman"

    def __len__(self) -> int:
        return len(self.gold)

    @property
    def texts(self) -> Iterator[str]:
        """Both of each pair."""
        return chain(self.ones, self.others)

    def scores(self, model: Encoder) -> dict[str, ItemScore]:
        """Spearman's ρ, in per cent."""
        cosines = (_alike(model, self.ones) * _alike(model, self.others)).sum(1)
        return {"spearman": rank_correlation(np.asarray(self.gold), cosines)}


@dataclass(frozen=True)
class Retrieval:
    """Questions, the passages to look in, and for each question the numbers of those that answer it.

    Scored by nDCG@10 and by mean average precision over all passages (``map``).
    """

    questions: Sequence[str]
    passages: Sequence[str]
    right: Sequence[Set[int]]
    metric: ClassVar[str] = "ndcg@10"

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def texts(self) -> Iterator[str]:
        """Questions and passages."""
        return chain(self.questions, self.passages)

    def scores(self, model: Encoder) -> dict[str, ItemScore]:
        """nDCG@10 and mean average precision; questions and passages have the prompts of their own."""
        questions = _vectors(model, self.questions, QUERY)
        gains, precisions = ranked(questions, _vectors(model, self.passages, PASSAGE), self.right)
        return {"ndcg@10": mean_score(gains), "map": mean_score(precisions)}


@dataclass(frozen=True)
class Neighbours:
    """Texts with labels, such as topics, and others to label by the five nearest of these.

    Scored by accuracy. The two may be in different languages. How neighbours vote is in `nearest.voted`.
    """

    train: Sequence[str]
    train_labels: Sequence[str]
    test: Sequence[str]
    test_labels: Sequence[str]
    metric: ClassVar[str] = "accuracy"

    def __len__(self) -> int:
        return len(self.test)

    @property
    def texts(self) -> Iterator[str]:
        """Those that are labelled and those that are to be."""
        return chain(self.train, self.test)

    def scores(self, model: Encoder) -> dict[str, ItemScore]:
        """Accuracy."""
        found = voted(_alike(model, self.train), self.train_labels, _alike(model, self.test))
        return {"accuracy": mean_score(np.array(found) == np.array(self.test_labels))}


def _alike(model: Encoder, texts: Sequence[str]) -> Vectors:
    """Of texts that are compared with texts of their kind.

    A model with a prompt for passages, too, such as E5, has seen no text without one, and is given queries; any
    other is given bare text, or its default prompt.
    """
    passages = any(model.prompts.get(name) for name in PASSAGE)
    return _vectors(model, texts, QUERY if passages else ())


def _vectors(model: Encoder, texts: Sequence[str], prompts: Sequence[str]) -> Vectors:
    name = next((one for one in prompts if one in model.prompts), None)
    return unit(np.asarray(model.encode(list(texts), prompt_name=name)))
