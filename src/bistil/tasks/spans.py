"""A question and its context as overlapping windows of tokens, and the search for the best span in them."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from bistil.corpora.tokenizers import Frame, bare, encodings, named_unless_read, placeholder, room
from bistil.tasks.squad import Answer, Question

LONGEST = 30  # tokens of an answer, as in BERT's script for SQuAD
_MOST_QUESTION_TOKENS = 64  # as there


@dataclass(frozen=True)
class Window:
    """Part of a context behind its question, as model input.

    ``first`` is the number of its first context token among those of the context, ``position`` that token's place
    in the input, ``tokens`` how many of the context it holds. Example: behind "<s> Who ? </s> </s>", ``position``
    is 5.
    """

    inputs: dict[str, list[int]]
    first: int
    position: int
    tokens: int

    def positions(self, span: tuple[int, int] | None) -> tuple[int, int]:
        """Where a span of context tokens, both ends included, starts and ends in the input.

        The first token, which is not of the context, stands for what is not whole in the window.
        """
        if span is None or span[0] < self.first or span[1] >= self.first + self.tokens:
            return 0, 0
        shift = self.position - self.first
        return span[0] + shift, span[1] + shift


@dataclass(frozen=True)
class Passage:
    """All windows of one question; ``offsets`` [tokens, 2] say which characters each context token is of."""

    windows: tuple[Window, ...]
    offsets: npt.NDArray[np.int32]

    def span(self, answer: Answer) -> tuple[int, int] | None:
        """The first and the last context token that share a character with an answer; None if none does."""
        starts, ends = self.offsets.T
        inside = np.flatnonzero((starts < answer.start + len(answer.text)) & (ends > answer.start))
        return (int(inside[0]), int(inside[-1])) if len(inside) else None

    def characters(self, context: str, first: int, last: int) -> tuple[int, int]:
        """The characters from one context token to another, white space at the ends apart: ``(177, 183)``.

        The second is the one after the last. An answer ends with all marks and jamo of its last letter: where a
        tokenizer composes them, its offsets end before them.
        """
        start, end = int(self.offsets[first, 0]), int(self.offsets[last, 1])
        while 0 < end < len(context) and _joins(context[end]):
            end += 1
        found = context[start:end]
        return start + len(found) - len(found.lstrip()), start + len(found.rstrip())


def _joins(character: str) -> bool:
    """Whether it is part of the letter before it: a mark, or a vowel or final consonant of a Hangul syllable."""
    return unicodedata.category(character).startswith("M") or "\u1160" <= character <= "\u11ff"


def passages(questions: Sequence[Question], tokenizer: Any, max_length: int) -> Iterator[Passage]:
    """Each question with its context in windows of at most ``max_length`` tokens.

    Windows overlap by a third of that, 128 tokens of 384, or by half the context that fits where that is less. A
    question keeps its first 64 tokens, or as many as leave half of a window to the context.
    """
    around = Frame.of(tokenizer, pair=True)
    free = room(max_length, around.special)
    most = min(_MOST_QUESTION_TOKENS, free // 2)
    overlap = min(max_length // 3, (free - most) // 2)
    sources = [one.source for one in questions]
    asked, contexts = (
        _encoded(tokenizer, [getattr(one, name) for one in questions], sources) for name in ("question", "context")
    )
    for one, question, context in zip(questions, asked, contexts, strict=True):
        asks, answers = question.ids[:most], context.ids
        if not around.special and not asks:
            asks = [placeholder(tokenizer, one.question, one.source)]
        own = free - len(asks)
        last = max(1, len(answers) - overlap)
        starts = range(0, last, own - overlap)
        windows = [_window(around, asks, answers[start : start + own], start, tokenizer) for start in starts]
        yield Passage(tuple(windows), np.array(context.offsets, dtype=np.int32).reshape(-1, 2))


def _encoded(tokenizer: Any, texts: list[str], sources: Sequence[str]) -> Iterator[Any]:
    with named_unless_read(tokenizer, texts, sources):
        yield from encodings(bare(tokenizer), texts)


def _window(around: Frame, question: list[int], part: list[int], first: int, tokenizer: Any) -> Window:
    inputs = around.inputs(question, part)
    if "token_type_ids" not in tokenizer.model_input_names:
        del inputs["token_type_ids"]
    return Window(inputs, first, around.position(question, part) if part else 0, len(part))


def best_span(
    passage: Passage, outputs: Sequence[npt.NDArray[Any]], no_answer: bool
) -> tuple[tuple[int, int] | None, float]:
    """The span of context tokens whose logits of start and end have the largest sum, and its probability.

    ``outputs`` has one array [tokens, 2] a window, start and end. All spans of up to 30 tokens within a window
    are candidates; one in several windows counts as in its best. With ``no_answer``, so is None: the first token,
    in the window where it is least likely (Devlin et al. 2019, section 4.3). The probability is the softmax over
    the candidates. Example: ``((17, 19), 0.83)``.
    """
    if not len(passage.offsets):
        return None, 1.0
    # Of each start and number of tokens, and of nothing. It is large where the context is: nothing copies it.
    candidates = np.full(len(passage.offsets) * LONGEST + 1, -np.inf, np.float32)
    sums = candidates[:-1].reshape(-1, LONGEST)
    for window, output in zip(passage.windows, outputs, strict=True):
        own = slice(window.first, window.first + window.tokens)
        starts, ends = output[window.position : window.position + window.tokens].T
        if not len(ends):
            continue
        following = sliding_window_view(np.pad(ends, (0, LONGEST - 1), constant_values=-np.inf), LONGEST)
        sums[own] = np.maximum(sums[own], starts[:, None] + following)
    if no_answer:
        candidates[-1] = min(float(output[0].sum()) for output in outputs)
    best = int(candidates.argmax())
    np.exp(np.subtract(candidates, candidates[best], out=candidates), out=candidates)
    probability = float(candidates[best] / candidates.sum())
    if best == sums.size:
        return None, probability
    first, more = divmod(best, LONGEST)
    return (first, first + more), probability
