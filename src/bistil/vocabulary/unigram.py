"""The Unigram model inside a tokenizer.json: what it needs to keep, and how it is cut."""

from typing import Any

import numpy as np

from bistil.vocabulary.count import Counts
from bistil.vocabulary.select import Ids


def closure(model: dict[str, Any], counts: Counts) -> set[int]:
    """Ids of the pieces without which counted text could gain an unknown token.

    They are ``▁``, the single-character piece of every character that occurs, the byte pieces
    of a model with byte fallback, and the piece of the lowest score: the unknown token's score is 10 below it
    (Kudo 2018 as the `tokenizers` library has it), so that the best segmentation of a text stays the
    best whenever all its pieces are kept. A character that has no piece of its own keeps
    all the pieces that cover it in the text.
    """
    pieces: list[str] = [piece for piece, _ in model["vocab"]]
    single = {piece: number for number, piece in enumerate(pieces) if len(piece) == 1}
    kept = {int(np.argmin([score for _, score in model["vocab"]]))}
    if "▁" in single:
        kept.add(single["▁"])
    # Whatever is not unknown in the counted text lies in some counted piece.
    for number in np.flatnonzero(counts[: len(pieces)]).tolist():
        kept.update(single.get(character, number) for character in pieces[number])
    if model.get("byte_fallback"):
        bytes_ = {f"<0x{byte:02X}>" for byte in range(256)}
        kept.update(number for number, piece in enumerate(pieces) if piece in bytes_)
    return kept


def trim(model: dict[str, Any], ids: Ids) -> dict[str, Any]:
    """The model with the pieces of `ids` alone, in their order and with their scores."""
    vocabulary, unknown = model["vocab"], model["unk_id"]
    kept = ids[ids < len(vocabulary)]  # ids beyond are added tokens, which are not the model's
    return {
        **model,
        "vocab": [vocabulary[number] for number in kept.tolist()],
        "unk_id": None if unknown is None else int(np.searchsorted(kept, unknown)),
    }
