"""Unlabelled text as packed token blocks: no padding, balanced languages, masking that repeats exactly."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from bistil.errors import BistilError

_LINES_AT_ONCE = 4096


def pack(tokenizer: PreTrainedTokenizerFast, lines: Iterable[str], block: int) -> np.ndarray:
    """Token blocks [blocks, block] of int32: the start token, then lines that each end in the separator.

    Every token of the text appears once; the last, incomplete block is left out. Example: lines of 300
    tokens in all with ``block=128`` give 2 blocks.
    """
    start, separator = tokenizer.cls_token_id, tokenizer.sep_token_id
    stream: list[np.ndarray] = []
    iterator = iter(lines)
    while chunk := list(islice(iterator, _LINES_AT_ONCE)):
        for encoding in tokenizer.backend_tokenizer.encode_batch_fast(chunk, add_special_tokens=False):
            stream.append(np.array([*encoding.ids, separator], dtype=np.int32))
    tokens = np.concatenate(stream) if stream else np.zeros(0, dtype=np.int32)
    rows = len(tokens) // (block - 1)
    body = tokens[: rows * (block - 1)].reshape(rows, block - 1)
    return np.concatenate([np.full((rows, 1), start, dtype=np.int32), body], axis=1)


def split(blocks: np.ndarray, language: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Training and held-out blocks: 2 % at random, at least one and at most 2,048 tokens are held out."""
    if len(blocks) < 2:
        raise BistilError(
            f"The {language} text fills {len(blocks)} blocks; two are needed. "
            "Give more text or a smaller distil.block."
        )
    held = max(1, min(len(blocks) // 50, 2048 // blocks.shape[1]))
    order = np.random.default_rng(seed).permutation(len(blocks))
    return blocks[order[held:]], blocks[order[:held]]


@dataclass(frozen=True)
class Masking:
    """Masked-language-model corruption: of 15 % of the tokens, 80 % masked, 10 % random, 10 % kept."""

    mask_token: int
    special: tuple[int, ...]
    vocabulary: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> "Masking":
        """The masking of a tokenizer that has a mask token."""
        return cls(int(tokenizer.mask_token_id), tuple(tokenizer.all_special_ids), len(tokenizer))

    def __call__(self, tokens: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A corrupted copy of ``tokens``, special tokens untouched (Devlin et al. 2019, section 3.1)."""
        draw = generator.random(tokens.shape)
        kind = generator.random(tokens.shape)
        random = generator.integers(0, self.vocabulary, tokens.shape)
        chosen = (draw < 0.15) & ~np.isin(tokens, self.special)
        masked = np.where(chosen & (kind < 0.8), self.mask_token, tokens)
        return np.where(chosen & (kind >= 0.9), random, masked)


class BilingualBlocks(Dataset[dict[str, torch.Tensor]]):
    """Blocks in training order: monolingual batches, the languages in turn, reshuffled each pass.

    Item i is the same block with the same masking whenever it is asked for, so a resumed run sees what the
    interrupted one would have seen.
    """

    def __init__(
        self, blocks: Mapping[str, np.ndarray], masking: Masking, batch: int, batches: int, seed: int
    ) -> None:
        self.languages = tuple(blocks)
        self._blocks, self._masking, self._seed = dict(blocks), masking, seed
        self._batch, self._batches = batch, batches
        self._order: dict[tuple[int, int], np.ndarray] = {}

    def __len__(self) -> int:
        return self._batch * self._batches

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        batch, row = divmod(item, self._batch)
        turn, index = divmod(batch, len(self.languages))
        blocks = self._blocks[self.languages[index]]
        visit, position = divmod(turn * self._batch + row, len(blocks))
        tokens = blocks[self._shuffled(index, visit, len(blocks))[position]]
        corrupted = self._masking(tokens, np.random.default_rng([self._seed, item]))
        return {"input_ids": torch.from_numpy(corrupted.astype(np.int64))}

    def _shuffled(self, index: int, visit: int, blocks: int) -> np.ndarray:
        if (index, visit) not in self._order:
            self._order[index, visit] = np.random.default_rng([self._seed, index, visit]).permutation(blocks)
        return self._order[index, visit]


def held_out_batches(
    blocks: np.ndarray, masking: Masking, batch: int, seed: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Masked batches of held-out blocks, the same at every call."""
    for start in range(0, len(blocks), batch):
        tokens = np.asarray(blocks[start : start + batch])
        corrupted = masking(tokens, np.random.default_rng([seed, start]))
        yield {"input_ids": torch.from_numpy(corrupted.astype(np.int64))}


def save_blocks(folder: Path, language: str, training: np.ndarray, held_out: np.ndarray) -> None:
    """Writes one language's blocks as ``LANGUAGE.npy`` and ``LANGUAGE.held-out.npy``."""
    np.save(folder / f"{language}.npy", training)
    np.save(folder / f"{language}.held-out.npy", held_out)


def load_blocks(folder: Path, language: str) -> tuple[np.ndarray, np.ndarray]:
    """The memory-mapped training and held-out blocks of a language."""
    training = np.load(folder / f"{language}.npy", mmap_mode="r")
    return training, np.load(folder / f"{language}.held-out.npy", mmap_mode="r")
