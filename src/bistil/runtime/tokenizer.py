"""The tokenizer of a model folder, without transformers."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from bistil.corpora.strict import parse_json
from bistil.errors import BistilError
from bistil.runtime.engine import OnnxEngine
from bistil.runtime.positions import most_tokens

FILE, SETTINGS = "tokenizer.json", "tokenizer_config.json"
_ENDLESS = 10**9  # what transformers writes where there is no limit is larger
_INPUTS = ["input_ids", "attention_mask"]
_LIMIT = 512  # where nothing says one
_SAMPLE = 1024  # tokens


class FolderTokenizer:
    """What tasks need of a transformers tokenizer: its backend, its special tokens, its limits.

    transformers leaves out of a folder what a tokenizer's class says of its own. Inputs and length are then those
    of ``model``, its ONNX file, which has segments among its inputs where that tokenizer gives them.
    Raises BistilError for a folder without ``tokenizer.json`` or with one that cannot be read. Example:
    ``FolderTokenizer(Path("runs/tr/tasks/pos"), model).unk_token_id`` is 3.
    """

    padding_side = "right"

    def __init__(self, folder: Path, model: OnnxEngine | None = None) -> None:
        self.backend_tokenizer, values = backend(folder), settings(folder)
        segments = ["token_type_ids"] if model is not None and "token_type_ids" in model.inputs else []
        self.model_input_names: list[str] = values.get("model_input_names", [*_INPUTS, *segments])
        limit, config = values.get("model_max_length") or _ENDLESS, getattr(model, "config", None)
        if hasattr(config, "max_position_embeddings"):
            limit = min(limit, most_tokens(config))
        self.model_max_length = int(limit if limit < _ENDLESS else _LIMIT)
        self._named = {name: _content(value) for name, value in values.items() if name.endswith("_token")}

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size())

    def get_vocab(self) -> dict[str, int]:
        """The id of every token."""
        vocabulary: dict[str, int] = self.backend_tokenizer.get_vocab()
        return vocabulary

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many tokens frame a text, or a pair of them."""
        return int(self.backend_tokenizer.num_special_tokens_to_add(pair))

    @property
    def unk_token_id(self) -> int | None:
        """The id of the unknown token."""
        return self._id("unk_token")

    @property
    def mask_token_id(self) -> int | None:
        """The id of the mask token."""
        return self._id("mask_token")

    @property
    def pad_token_id(self) -> int | None:
        """The id of the padding token."""
        return self._id("pad_token")

    def _id(self, name: str) -> int | None:
        token = self._named.get(name)
        return self.backend_tokenizer.token_to_id(token) if isinstance(token, str) else None


def backend(folder: Path) -> Tokenizer:
    """What ``tokenizer.json`` in a model folder says, without BPE dropout, truncation and padding.

    A text has the same pieces each time, and all of them: the last call before it was saved may have left the
    latter two there. Raises BistilError where it is not there or cannot be read.
    """
    try:
        made = Tokenizer.from_file(str(folder / FILE))
    except Exception as error:  # all that the tokenizers library raises
        raise _unreadable(folder, FILE, error) from error
    if getattr(made.model, "dropout", None):
        made.model.dropout = None  # type: ignore[attr-defined]
    made.no_truncation()
    made.no_padding()
    return made


def settings(folder: Path) -> dict[str, Any]:
    """What ``tokenizer_config.json`` in a model folder says: ``{"model_max_length": 512, …}``.

    Raises BistilError for a file that cannot be read, that names no inputs that a model could take, or a length
    that none could have.
    """
    try:
        values = parse_json((folder / SETTINGS).read_text(encoding="utf-8"), SETTINGS)
    except (OSError, ValueError, BistilError) as error:
        raise _unreadable(folder, SETTINGS, error) from error
    if not isinstance(values, dict):
        raise _unreadable(folder, SETTINGS, f"it is a JSON {type(values).__name__}")
    limit, names = values.get("model_max_length"), values.get("model_input_names", _INPUTS)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 1):
        raise _unreadable(folder, SETTINGS, f"model_max_length is {limit!r:.80}")
    if not isinstance(names, list) or not set(_INPUTS) <= set(map(str, names)):
        raise _unreadable(folder, SETTINGS, f"model_input_names is {names!r:.80}")
    return values


def vocabulary_digest(tokenizer: Tokenizer) -> str:
    """Tells a vocabulary from others of the same size, by 1,024 of its tokens: ``"9f86d081884c7d65"``."""
    size = tokenizer.get_vocab_size()
    sample = [tokenizer.id_to_token(size * number // _SAMPLE) for number in range(_SAMPLE)]
    return hashlib.sha256(json.dumps([size, sample]).encode()).hexdigest()[:16]


def _unreadable(folder: Path, name: str, reason: object) -> BistilError:
    return BistilError(f"{folder} has no {name} that can be read ({reason}). Give a folder that bistil wrote.")


def _content(value: Any) -> Any:
    """A token as it is written: a string, or an object with its content."""
    return value.get("content") if isinstance(value, dict) else value
