"""What the kinds of vocabulary have in common: pieces are made of single characters."""

import json
from collections.abc import Mapping
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel

BYTE_PIECES = frozenset(f"<0x{byte:02X}>" for byte in range(256))  # what byte fallback writes


def required_always(specification: Mapping[str, Any]) -> set[str]:
    """Pieces that any text may come to: ``▁``, and all bytes of a byte-level model or one with byte fallback."""
    always = {"▁"}
    if '"type": "ByteLevel"' in json.dumps([specification["normalizer"], specification["pre_tokenizer"]]):
        always |= set(ByteLevel.alphabet())
    if specification["model"].get("byte_fallback"):
        always |= BYTE_PIECES
    return always


def symbols(piece: str, prefix: str = "", suffix: str = "") -> list[str]:
    """The single-character pieces that a piece is made of.

    `prefix` marks the pieces that continue a word, `suffix` those that end one.
    Example: ``symbols("##ab", "##")`` is ``["##a", "##b"]`` and ``symbols("ab", "##")`` is ``["a", "##b"]``.
    """
    rest = piece.removeprefix(prefix)
    inner = rest.removesuffix(suffix)
    if not inner:
        return [piece]
    parts = [prefix + character for character in inner]
    parts[0] = piece[: len(piece) - len(rest)] + inner[0]
    parts[-1] += rest[len(inner) :]
    return parts


def covering(piece: str, vocabulary: Mapping[str, int], prefix: str = "", suffix: str = "") -> set[int]:
    """Ids of a piece's single-character pieces; the piece itself stands in for those the vocabulary lacks."""
    return {vocabulary.get(symbol, vocabulary[piece]) for symbol in symbols(piece, prefix, suffix)}
