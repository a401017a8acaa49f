"""What another loader gave, against what bistil gives."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.loaders.folders import SHORT, encoded, outputs, softmax
from tokenizers import Encoding, Tokenizer

import bistil


def same_tags(
    found: Sequence[Mapping[str, Any]],
    folder: Path,
    engine: str,
    text: str,
    whole: bool = True,
    legible: bool = False,
) -> None:
    """Label and probability of each piece, and of each word of a short text as `bistil.load` tags it.

    ``whole``: whether the frame of a long text is kept; ``legible``: whether pieces that decode to nothing, as
    unknown ones do, are left out.
    """
    encoding = encoded(folder, text, whole=whole)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    likely = softmax(outputs(folder, engine, encoding)["logits"][0])
    model = bistil.load(folder, engine=engine)
    pieces = [
        place
        for place, special in enumerate(encoding.special_tokens_mask)
        if not special and not (legible and tokenizer.decode([encoding.ids[place]]) == "")
    ]
    assert [one["index"] for one in found] == pieces
    for one, place in zip(found, pieces, strict=True):
        assert one["entity"] == model.labels[likely[place].argmax()]
    same_numbers([one["score"] for one in found], likely[pieces].max(-1), engine)
    if text in SHORT:
        words = model(text).words
        given = {one["index"]: one for one in found}
        firsts = first_pieces(encoding, [word.end for word in words])
        assert len(firsts) == len(words) == len(text.split())
        for word, place in zip(words, firsts, strict=True):
            if place in given:
                assert given[place]["entity"] == word.tag
                assert given[place]["score"] == pytest.approx(word.probability, abs=1e-3)


def same_numbers(found: Any, expected: Any, engine: str) -> None:
    """To a thousandth; in int8 nearly all.

    Another version of onnxruntime may round a value of the 8 bits the other way, which shows in a few pieces.
    """
    expected = np.asarray(expected, dtype=float)
    apart = np.abs(np.asarray(found, dtype=float).reshape(expected.shape) - expected)
    most = 0.05 * np.abs(expected).max() if engine == "int8" else 1e-3
    assert np.quantile(apart, 0.8) < 1e-3, apart
    assert apart.max() < most, apart


def first_pieces(encoding: Encoding, ends: Sequence[int]) -> list[int]:
    """The place of the first piece of each word that ends there."""
    words = [
        None if special else int(np.searchsorted(ends, end))
        for (_, end), special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
    ]
    return [words.index(word) for word in range(len(ends)) if word in words]


def same_labels(found: Sequence[Mapping[str, Any]], expected: Mapping[str, float]) -> None:
    """Every label with its probability, the most probable first."""
    assert [one["label"] for one in found] == list(expected)
    assert [one["score"] for one in found] == pytest.approx(list(expected.values()), abs=1e-3)


def same_direction(found: Any, expected: Any, least: float = 1 - 1e-5) -> None:
    """Vectors, but for their lengths."""
    one, other = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) >= least
