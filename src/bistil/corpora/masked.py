"""Blocks for masked language modelling: inputs with gaps, and what was there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from bistil.corpora.blocks import Blocks, Rows
from bistil.corpora.masking import Masking
from bistil.corpora.mixed import MixedBlocks


class MaskedBlocks(Dataset[dict[str, torch.Tensor]]):
    """Blocks in training order, masked, with the chosen tokens as ``labels`` (−100 elsewhere).

    Batches are monolingual and the languages take turns. Item i is the same whenever it is asked for, so a resumed
    run sees what the interrupted one would have seen.
    """

    def __init__(self, blocks: Mapping[str, Blocks], masking: Masking, batch: int, steps: int, seed: int) -> None:
        self._blocks = MixedBlocks(blocks, replace(masking, share=0.0), batch=batch, batches=steps, seed=seed)
        self._masking, self._seed = masking, seed

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: Sequence[int]) -> list[dict[str, torch.Tensor]]:
        """Several items at once, as torch's loader asks for the items of a batch."""
        tokens = np.stack([item["input_ids"].numpy() for item in self._blocks.__getitems__(items)])
        chosen = masked(tokens.astype(np.int32), self._masking, self._seed, np.asarray(items, dtype=np.int64))
        return [{name: values[row] for name, values in chosen.items()} for row in range(len(items))]


def masked(tokens: Rows, masking: Masking, seed: int, items: Any) -> dict[str, torch.Tensor]:
    """``input_ids`` and ``labels`` of blocks [blocks, block], whose numbers are ``items`` [blocks]."""
    return {
        "input_ids": torch.from_numpy(masking(tokens, seed, items)),
        "labels": torch.from_numpy(masking.labels(tokens, seed, items)),
    }
