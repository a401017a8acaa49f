"""A tokenizer's normalizer in steps that every loader knows."""

from collections.abc import Iterator, Mapping
from typing import Any

# What Nmt does, of which transformers.js knows nothing: SentencePiece's nmt_nfkc before its NFKC.
_REMOVED = "[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"
_SPACES = "[\t\n\x0c\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"


def known_steps(normalizer: Mapping[str, Any]) -> dict[str, Any]:
    """The same normalizer of a ``tokenizer.json``, its steps in one sequence, and Nmt as two replacements.

    Texts keep their ids and offsets. Example: ``known_steps({"type": "NFKC"})`` is ``{"type": "Sequence",
    "normalizers": [{"type": "NFKC"}]}``.
    """
    return {"type": "Sequence", "normalizers": list(_steps(normalizer))}


def known_tokenizer(values: dict[str, Any]) -> dict[str, Any]:
    """What a ``tokenizer.json`` says, with such steps where Nmt was one; the same object where it was not."""
    normalizer = values.get("normalizer") or {}
    return {**values, "normalizer": known_steps(normalizer)} if "'Nmt'" in repr(normalizer) else values


def _steps(normalizer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if normalizer["type"] == "Sequence":
        for one in normalizer["normalizers"]:
            yield from _steps(one)
    elif normalizer["type"] == "Nmt":
        yield {"type": "Replace", "pattern": {"Regex": _REMOVED}, "content": ""}
        yield {"type": "Replace", "pattern": {"Regex": _SPACES}, "content": " "}
    else:
        yield normalizer
