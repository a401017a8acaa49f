"""The ``tokenizer.json`` that gives the ids that transformers gives: the folder's own, or another."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from bistil.errors import BistilError
from bistil.runtime.tokenizer import backend

# What settings of a tokenizer_config.json change: case, accents, Chinese, the space in front, the frame.
_PROBES = (
    "The Teacher READS fresh Bread.",
    "Café, Ağrı, İzmir and naïve ΑΘΉΝΑ",
    "漢字とかな, 한국어",
    " two  spaces\tand\na line",
    "don't well-known 3,5 % :)",
    "",
)


def rewritten(folder: Path, tokenizer: Any) -> str | None:
    """What ``tokenizer.json`` has to say for the runtime; None where the folder's says it.

    Settings in ``tokenizer_config.json``, such as ``do_lower_case``, and what a tokenizer's class adds change in
    transformers what the file says, and of a ``vocab.txt`` transformers makes the whole.

    Args:
        folder: of the model.
        tokenizer: what transformers made of it.

    Raises:
        BistilError: it has no fast tokenizer, and no file for one.
    """
    used = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(used, Tokenizer):
        backend(folder)  # raises where there is none
        return None
    used = Tokenizer.from_str(used.to_str())
    used.no_truncation()
    used.no_padding()
    try:
        same = _ids(backend(folder)) == _ids(used)
    except BistilError:
        same = False
    return None if same else str(used.to_str(pretty=True)) + "\n"


def _ids(tokenizer: Tokenizer) -> list[tuple[list[int], list[int]]]:
    """Tokens, and which text of a pair each belongs to."""
    pairs = zip(_PROBES, reversed(_PROBES), strict=True)
    found = [tokenizer.encode(text) for text in _PROBES] + [tokenizer.encode(*pair) for pair in pairs]
    return [(one.ids, one.type_ids) for one in found]
