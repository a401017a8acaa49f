"""The tokenizer of a model folder, without transformers."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from bistil.errors import BistilError

_ENDLESS = 10**9  # what transformers writes where there is no limit is larger


class FolderTokenizer:
    """What tasks need of a transformers tokenizer: its backend, its special tokens, its limits.

    Raises BistilError for a folder without ``tokenizer.json`` or with one that cannot be read. Example:
    ``FolderTokenizer(Path("runs/tr/tasks/pos")).unk_token_id`` is 3.
    """

    padding_side = "right"

    def __init__(self, folder: Path) -> None:
        try:
            self.backend_tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            values = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        except Exception as error:  # all that the tokenizers library raises
            raise BistilError(
                f"{folder} has no tokenizer that can be read ({error}). Give a folder that bistil wrote."
            ) from error
        self.model_input_names: list[str] = values.get("model_input_names", ["input_ids", "attention_mask"])
        limit = values.get("model_max_length")
        self.model_max_length = int(limit) if limit and limit < _ENDLESS else 512
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
        return None if token is None else self.backend_tokenizer.token_to_id(token)


def _content(value: Any) -> str | None:
    """A token as it is written: a string, or an object with its content."""
    return value.get("content") if isinstance(value, dict) else value
