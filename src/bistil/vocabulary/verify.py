"""A check that a trimmed model gives the same hidden states, and a measure of what trimming changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bistil.corpora.encoding import encoded
from bistil.errors import BistilError
from bistil.vocabulary.select import Ids

TOLERANCE = 1e-5
COMPARED_LINES = 32  # by language; the weights are copies, so that few lines tell as much as many
COMPARED_TOKENS = 64


@dataclass(frozen=True)
class LanguageVerification:
    """What trimming did to the held-out lines of one language; shares are between 0 and 1, None of nothing."""

    lines: int
    coverage: float | None  # share of the tokens before that are kept
    changed_share: float | None  # share of the lines that are segmented differently
    unknown_before: float | None  # share of the tokens that are unknown
    unknown_after: float | None
    tokens_per_word_before: float | None
    tokens_per_word_after: float | None


@dataclass(frozen=True)
class Verification:
    """Held-out lines by language, and the largest difference of hidden states on unchanged ones."""

    languages: Mapping[str, LanguageVerification]
    max_difference: float


def verify(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    trimmed_model: PreTrainedModel,
    trimmed_tokenizer: PreTrainedTokenizerFast,
    ids: Ids,
    held_out: Mapping[str, Sequence[str]],
) -> Verification:
    """Compare a model and its trimmed copy on held-out lines.

    The first 32 lines of a language that are segmented alike must have the same last hidden
    states up to 1e-5 (on at most 64 tokens each), else `BistilError`.
    """
    languages: dict[str, LanguageVerification] = {}
    difference = 0.0
    for language, lines in held_out.items():
        before = _encode(tokenizer, lines)
        after = _encode(trimmed_tokenizer, lines)
        same = [old == ids[new].tolist() for old, new in zip(before, after, strict=True)]
        alike = [new[:COMPARED_TOKENS] for new, equal in zip(after, same, strict=True) if new and equal]
        difference = max(difference, _max_difference(model, trimmed_model, ids, alike[:COMPARED_LINES]))
        old, new = np.concatenate([*before, ids[:0]]), np.concatenate([*after, ids[:0]])
        words = sum(len(line.split()) for line in lines)
        languages[language] = LanguageVerification(
            lines=len(lines),
            coverage=_share(int(np.isin(old, ids).sum()), len(old)),
            changed_share=_share(same.count(False), len(lines)),
            unknown_before=_share(int((old == tokenizer.unk_token_id).sum()), len(old)),
            unknown_after=_share(int((new == trimmed_tokenizer.unk_token_id).sum()), len(new)),
            tokens_per_word_before=_share(len(old), words),
            tokens_per_word_after=_share(len(new), words),
        )
    if not difference <= TOLERANCE:
        raise BistilError(
            f"The trimmed model's hidden states differ from the teacher's by {difference:.1e}, more than "
            f"{TOLERANCE:.0e}. Check that the model and the tokenizer belong together."
        )
    return Verification(languages, difference)


def _encode(tokenizer: PreTrainedTokenizerFast, lines: Sequence[str]) -> list[list[int]]:
    return [encoding.ids for encodings in encoded(tokenizer, lines) for encoding in encodings]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@torch.inference_mode()
def _max_difference(
    model: PreTrainedModel, trimmed_model: PreTrainedModel, ids: Ids, sequences: list[list[int]]
) -> float:
    """Largest difference of the last hidden states, of sequences in the new ids."""
    if not sequences:
        return 0.0
    mask = torch.zeros(len(sequences), max(len(sequence) for sequence in sequences), dtype=torch.long)
    new = torch.zeros_like(mask)
    for row, sequence in enumerate(sequences):
        mask[row, : len(sequence)] = 1
        new[row, : len(sequence)] = torch.tensor(sequence)
    states = []
    for each, tokens in ((model, torch.from_numpy(ids)[new]), (trimmed_model, new)):
        training = each.training
        each.eval()
        output = each(tokens.to(each.device), mask.to(each.device), output_hidden_states=True)
        each.train(training)
        states.append(output.hidden_states[-1][mask.bool().to(each.device)])
    return float((states[0] - states[1]).abs().max())
