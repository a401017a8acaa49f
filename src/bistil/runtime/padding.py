"""Inputs of different lengths as one batch. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORED = -100  # the label index that the cross-entropy of torch and transformers ignores
NO_WORD = -1  # the number of the word that special tokens and padding belong to


def padded(
    features: Sequence[Mapping[str, Sequence[int]]], padding: Mapping[str, int], other: int = IGNORED
) -> dict[str, NDArray[np.int64]]:
    """Lists of numbers by name as arrays [batch, longest] by name, filled up at the end.

    ``padding`` says by name what with, and ``other`` for the rest. Example: ``padded([{"input_ids": [5, 6]},
    {"input_ids": [7]}], {"input_ids": 1})`` is ``{"input_ids": [[5, 6], [7, 1]]}``.
    """
    arrays: dict[str, NDArray[np.int64]] = {}
    for name in features[0]:
        longest = max(len(feature[name]) for feature in features)
        arrays[name] = np.full((len(features), longest), padding.get(name, other), dtype=np.int64)
        for row, feature in zip(arrays[name], features, strict=True):
            row[: len(feature[name])] = feature[name]
    return arrays


def of_tokens(tokenizer: Any) -> dict[str, int]:
    """What a tokenizer's padding puts into each input of a model."""
    pad = 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return {"input_ids": pad, "attention_mask": 0, "token_type_ids": 0, "word_ids": NO_WORD}
