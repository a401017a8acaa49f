"""Examples with the gold label and the predictions of teacher and student."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """One model's prediction for one example: "✓ right: animal" or "✗ wrong: plant"."""

    who: str
    right: bool
    prediction: str

    @property
    def mark(self) -> str:
        """Whether the prediction is correct, as a sign and a word, so that it does not depend on colour."""
        return "✓ right" if self.right else "✗ wrong"


@dataclass(frozen=True)
class ShownExample:
    """`words` are (word, gold label or "") of a tagged sentence; a text that is not tagged counts as one word."""

    tagged: bool
    words: tuple[tuple[str, str], ...]
    gold: str
    verdicts: tuple[Verdict, ...]

    @property
    def text(self) -> str:
        """The example's text, words separated by spaces."""
        return " ".join(word for word, _ in self.words)


def shown_examples(task: Mapping[str, Any], most: int = 10) -> list[ShownExample]:
    """The first examples of a task.

    Gold and predictions are one label each, or, for a tagged sentence, a list with one label a word, and the
    text is the list of its words. A label that marks nothing, such as O of IOB2, is not shown.
    """
    return [_shown(example, task.get("unmarked")) for example in task.get("examples", [])[:most]]


def _shown(example: Mapping[str, Any], unmarked: str | None) -> ShownExample:
    text, gold = example["text"], example["gold"]
    predictions = {who: example[who] for who in ("teacher", "student") if who in example}
    if isinstance(text, str):
        right = example.get("right", [who for who, label in predictions.items() if label == gold])
        verdicts = tuple(Verdict(who, who in right, label) for who, label in predictions.items())
        return ShownExample(False, ((text, ""),), gold, verdicts)
    verdicts = tuple(_tagged(who, text, gold, labels) for who, labels in predictions.items())
    words = tuple((word, "" if label == unmarked else label) for word, label in zip(text, gold, strict=True))
    return ShownExample(True, words, ", ".join(f"{word} {label}" for word, label in words if label), verdicts)


def _tagged(who: str, words: Sequence[str], gold: Sequence[str], labels: Sequence[str]) -> Verdict:
    wrong = [f"{word} {given}" for word, right, given in zip(words, gold, labels, strict=True) if given != right]
    count = f"{len(wrong)} of {len(gold)} words: {', '.join(wrong)}" if wrong else f"all {len(gold)} words"
    return Verdict(who, not wrong, count)
