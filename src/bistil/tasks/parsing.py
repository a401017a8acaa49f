"""Dependency parsing: for each word of a sentence its head and its relation to it, from CoNLL-U or rows."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bistil.errors import BistilError
from bistil.runtime.arrays import softmax
from bistil.runtime.padding import IGNORED, NO_WORD, of_tokens, padded
from bistil.runtime.results import ParsedText, ParsedWord
from bistil.runtime.trees import Heads, best_tree
from bistil.tasks.heads import Head
from bistil.tasks.inference import batched, max_length
from bistil.tasks.rows import ROWS, columns
from bistil.tasks.task import Prediction, gold_of, quiet
from bistil.tasks.treebank import (
    DEPS,
    HEAD,
    RELATION,
    SUFFIXES,
    TreebankSentence,
    dependencies,
    filled,
    from_row,
    raw_lines,
    read_treebank,
)
from bistil.tasks.words import Sentence, SentenceTask, Window, windows

# The relations of Universal Dependencies 2: those that a treebank may have though the training data do not.
_UNIVERSAL = """
    acl advcl advmod amod appos aux case cc ccomp clf compound conj cop csubj dep det discourse dislocated expl
    fixed flat goeswith iobj list mark nmod nsubj nummod obj obl orphan parataxis punct reparandum root vocative
    xcomp
"""
_ROOT = "root"
Scores = NDArray[Any]


@dataclass(frozen=True)
class ParsedSentence(Sentence):
    """A sentence with a head and a relation a word, such as "3:nsubj"."""

    def renamed(self, labels: Mapping[str, str]) -> "ParsedSentence":
        """The sentence with some relations renamed: ``{"nmod": "obl"}``."""
        parts = [item.partition(":") for item in self.gold or ()]
        return replace(
            self, gold=self.gold and tuple(f"{head}:{labels.get(name, name)}" for head, _, name in parts)
        )


class Parsing(SentenceTask):
    """A head and a universal relation for each word: "3:nsubj" is the subject of word 3, "0:root" the root.

    A sentence too long for the model is cut between words into windows. Of those, words whose head is in another
    window are not learned from. To parse, each window is parsed by itself, and the roots of all but the first are
    attached to the root of the first, by their likeliest relation other than "root".
    """

    kind = "parsing"
    title = "dependency-parsing"
    returns = ParsedText
    suffixes = SUFFIXES
    metric = "las"
    metric_title = "LAS"
    head = Head("bistil.models.parser", "BiaffineParser")
    outputs: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "arc_logits": ("words", "heads"),
        "relation_logits": ("words", "heads", "labels"),
    }
    subtypes: ClassVar[bool] = False

    @classmethod
    def read(cls, path: Path, *, labelled: bool = True) -> list[Sentence]:
        """The sentences of a CoNLL-U file, or of rows (.jsonl, .parquet) with ``tokens``, ``head`` and ``deprel``.

        Multi-word tokens and empty nodes of CoNLL-U are passed over. A sentence without any head and relation is
        unlabelled. Heads that make no tree with one root are an error.
        """

        def gold(one: TreebankSentence) -> tuple[str, ...] | None:
            tree = dependencies(one) if labelled else None
            if tree is None:
                return None
            return tuple(f"{head}:{name if cls.subtypes else name.partition(':')[0]}" for head, name in tree)

        sentences = read_treebank(path, [HEAD, RELATION] if labelled else [])
        return [ParsedSentence(one.words, gold(one), one.lines, one.source) for one in sentences]

    @classmethod
    def columns(cls, path: Path) -> tuple[str, ...]:
        """Those of rows."""
        return columns(path) if path.suffix.lower() in ROWS else ()

    @staticmethod
    def label_in(gold: str) -> str:
        """The relation: "nsubj:pass" of "3:nsubj:pass"."""
        return gold.partition(":")[2]

    def check(self, examples: Sequence[Sentence]) -> None:
        """Raise where an example is unlabelled, or has a relation that is neither among the labels nor UD's.

        Treebanks differ in the relations of UD that they use: one that training never showed is only scored as
        wrong.
        """
        universal = set(_UNIVERSAL.split())
        for example in examples:
            for relation in map(self.label_in, gold_of(example)):
                if relation not in self.labels and relation.partition(":")[0] not in universal:
                    raise BistilError(
                        f"{example.source}: the relation {relation!r} is not in the training data, which have "
                        f"{', '.join(self.labels)}, nor one of Universal Dependencies. Correct it."
                    )

    def new_model(self, encoder: Path, seed: int = 0) -> Any:
        """The encoder of a transformers folder under a new random head, float32; the seed fixes the head."""
        import torch

        from bistil.models.parser import new_parser

        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = new_parser(encoder, self.labels)
        model.config.bistil_task = self.kind
        return model

    def features(self, examples: Sequence[Sentence], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        """One feature a window: the model's inputs, and the ``heads`` and relations (``labels``) of its words.

        Heads are counted from 1 in the window, 0 is the root; −100 stands for both where the head is outside.
        """
        self.check(examples)
        index = {label: number for number, label in enumerate(self.labels)}
        features = []
        for window in windows(examples, tokenizer, max_length):
            gold = gold_of(examples[window.example])[window.first : window.first + len(window.starts)]
            heads = [_head_in(window, int(item.partition(":")[0])) for item in gold]
            labels = [
                IGNORED if head == IGNORED else index.get(self.label_in(item), IGNORED)
                for head, item in zip(heads, gold, strict=True)
            ]
            features.append({**_inputs(window), "heads": heads, "labels": labels})
        return features

    def collator(self, tokenizer: Any) -> Any:
        """Pads tokens to the longest of the batch and words to the most, with what does not count."""
        import torch

        padding = of_tokens(tokenizer)
        return lambda features: {
            name: torch.from_numpy(values) for name, values in padded(features, padding).items()
        }

    def with_any_label(self, examples: Sequence[Sentence]) -> list[Sentence]:
        """The sentences with each word under the root, by the first relation."""
        found = super().with_any_label(examples)
        return [replace(one, gold=tuple(f"0:{label}" for label in gold_of(one))) for one in found]

    @staticmethod
    def head_loss(student: Any, teacher: Any, inputs: Mapping[str, Any]) -> Any:
        """How far the student's heads are from the teacher's, and its relations at the teacher's likeliest heads.

        Both are soft cross-entropies (`bistil.training.losses.logits_loss`) over all words, whatever their gold
        labels.
        """
        import torch

        from bistil.training import losses

        words = inputs["word_ids"].amax(1, keepdim=True) + 1
        real = torch.arange(teacher.arc_logits.shape[1], device=words.device) < words
        at_head = teacher.arc_logits.argmax(-1)[..., None, None]
        ours, theirs = (
            torch.take_along_dim(outputs.relation_logits, at_head, 2)[:, :, 0] for outputs in (student, teacher)
        )
        arcs = losses.logits_loss(student.arc_logits, teacher.arc_logits, real)
        return arcs + losses.logits_loss(ours, theirs, real)

    def predict(
        self, model: Any, tokenizer: Any, examples: Sequence[Sentence], batch_size: int = 32
    ) -> list[Prediction]:
        """The best tree of each sentence with the likeliest relation to each head, and the probability of both."""
        labels: list[list[str]] = [[] for _ in examples]
        probabilities: list[list[float]] = [[] for _ in examples]
        parsed = {
            (window.example, window.first): self._parsed(window, arcs, relations)
            for window, arcs, relations in self._scored(model, tokenizer, examples, batch_size)
        }
        root = 0  # of the sentence
        for number, first in sorted(parsed):
            heads, relations, likely = parsed[number, first]
            if first == 0:
                root = int(heads.argmin()) + 1
            outer = root if first else 0
            at = np.where(heads > 0, heads + first, outer).tolist()
            labels[number] += [f"{head}:{relation}" for head, relation in zip(at, relations, strict=True)]
            probabilities[number] += likely
        return [Prediction(tuple(a), tuple(b)) for a, b in zip(labels, probabilities, strict=True)]

    def score(self, gold: Sequence[Sentence], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Shares of words, punctuation included, in per cent: with the right head, and relation too.

        These are UAS and LAS of CoNLL 2018 (Zeman et al. 2018) for gold words; with all relations
        universal, subtypes count as little as there. Example: ``{"las": 75.0, "uas": 87.5}``.
        """
        pairs = list(zip(*self._paired(gold, predictions), strict=True))
        both = sum(one == other for one, other in pairs)
        heads = sum(one.partition(":")[0] == other.partition(":")[0] for one, other in pairs)
        return {"las": _percent(both, len(pairs)), "uas": _percent(heads, len(pairs))}

    def per_label(
        self, gold: Sequence[Sentence], predictions: Sequence[Prediction]
    ) -> dict[str, dict[str, float]]:
        """Precision, recall and F1 of (head, relation) in per cent, and support, of each relation in either."""
        expected, predicted = self._paired(gold, predictions)
        right = Counter(self.label_in(one) for one, other in zip(expected, predicted, strict=True) if one == other)
        there, found = (Counter(map(self.label_in, items)) for items in (expected, predicted))
        return {
            label: {
                "precision": _percent(right[label], found[label]),
                "recall": _percent(right[label], there[label]),
                "f1": _percent(2 * right[label], there[label] + found[label]),
                "support": there[label],
            }
            for label in sorted(there | found)
        }

    def lenient_scores(self, model: Any, tokenizer: Any, examples: Sequence[Sentence]) -> dict[str, float]:
        """UAS and LAS in per cent as the BiStil paper's tables were probably made, more lenient than `score`.

        A head is the likeliest of each word, tree or no tree; the relation is the likeliest to the gold head. LAS
        counts words of which both are right. A head in another window is wrong. Example: ``{"las": 76.2,
        "uas": 87.9}``.
        """
        self.check(examples)
        heads_right = both_right = 0
        for window, arcs, relations in self._scored(model, tokenizer, examples, 32):
            gold = gold_of(examples[window.example])[window.first : window.first + len(window.starts)]
            for word, (head, item) in enumerate(zip(arcs.argmax(-1).tolist(), gold, strict=True)):
                if head == _head_in(window, int(item.partition(":")[0])):
                    heads_right += 1
                    both_right += self.labels[int(relations[word, head].argmax())] == self.label_in(item)
        words = sum(len(example.words) for example in examples)
        return {"las": _percent(both_right, words), "uas": _percent(heads_right, words)}

    def parse(self, line: str) -> Sentence:
        """A raw line, split at white space and at the punctuation around words: "Evet!" gives two words."""
        words, lines = raw_lines(line)
        return ParsedSentence(words, lines=lines, plain=line)

    def of_tokens(self, row: Mapping[str, Any], source: str) -> Sentence:
        """A row with ``tokens``."""
        one = from_row(row, source)
        return ParsedSentence(one.words, None, one.lines, source)

    def result(self, example: Sentence, prediction: Prediction) -> ParsedText:
        """The words with their heads, relations and offsets."""
        text, placed = example.placed()
        words = []
        for place, label, probability in zip(placed, prediction.labels, prediction.probabilities, strict=True):
            head, _, relation = label.partition(":")
            words.append(ParsedWord(*place, int(head), relation, probability))
        return ParsedText(text, tuple(words))

    def render(self, example: Sentence, prediction: Prediction) -> str:
        """The sentence's CoNLL-U with the predicted heads and relations, DEPS emptied, all else as it came."""

        def fill(word: int, columns: list[str]) -> None:
            columns[HEAD], _, columns[RELATION] = prediction.labels[word].partition(":")
            columns[DEPS] = "_"

        return filled(example.lines, fill)

    def _scored(
        self, model: Any, tokenizer: Any, examples: Sequence[Sentence], batch_size: int
    ) -> Iterator[tuple[Window, Scores, Scores]]:
        """Each window, in any order, with the scores of heads [words, words + 1] and of relations to each."""
        cut = windows(examples, tokenizer, max_length(model, tokenizer))
        inputs = [_inputs(window) for window in cut]
        for numbers, outputs in batched(model, tokenizer, inputs, batch_size):
            rows = zip(numbers, outputs["arc_logits"], outputs["relation_logits"], strict=True)
            for number, arcs, relations in rows:
                words = len(cut[number].starts)
                yield cut[number], arcs[:words, : words + 1], relations[:words, : words + 1]

    def _parsed(self, window: Window, arcs: Scores, relations: Scores) -> tuple[Heads, list[str], list[float]]:
        """The heads in the window, the relations to them, and the probabilities of both."""
        heads = best_tree(arcs)
        chosen = np.arange(len(heads)), heads
        scores = softmax(relations[chosen])
        # "root" is the relation of the root and of no other word, as in Universal Dependencies
        if _ROOT in self.labels:
            root = np.arange(len(self.labels)) == self.labels.index(_ROOT)
            is_root = (heads == 0) & (window.first == 0)
            scores = np.where(is_root[:, None] == root, scores, np.float32(0))
        likely = scores.max(-1) * softmax(arcs)[chosen]
        return heads, [self.labels[number] for number in scores.argmax(-1)], likely.tolist()


class SubtypeParsing(Parsing):
    """A head and a relation for each word, subtypes kept: "4:nsubj:pass"."""

    kind = "parsing-subtypes"
    subtypes = True


def _inputs(window: Window) -> dict[str, list[int]]:
    """What the model is given, with the word that each piece belongs to."""
    words = np.full(len(window.input_ids), NO_WORD)
    words[window.starts[0] : window.end] = np.repeat(
        np.arange(len(window.starts)), np.diff([*window.starts, window.end])
    )
    return {**window.inputs(), "word_ids": words.tolist()}


def _head_in(window: Window, head: int) -> int:
    """A head in a sentence as one in a window of it, −100 where it is outside."""
    if head == 0:
        return 0
    inside = head - window.first
    return inside if 1 <= inside <= len(window.starts) else IGNORED


def _percent(count: int, of: int) -> float:
    return 100 * count / of if of else 0.0
