"""From a transformers folder to an encoder and its tokenizer."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from bistil.errors import BistilError
from bistil.models import families, pretrained

MOST_LAYERS = 1000  # each is made before its weights are looked for
_FAST_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json")


def load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load the encoder (no pooler, no head, eval mode, float32) and the tokenizer of a transformers folder.

    No pickle and no remote code is loaded. Raises BistilError for another kind of model, a tokenizer without
    a fast form, or weights that are missing from the folder.
    """
    options = {"add_pooling_layer": False} if families.family(read_config(folder)).pooler else {}
    tokenizer = _tokenizer(folder)
    model, missing = _model(folder, AutoModel, dtype=torch.float32, **options)
    _check_whole(folder, missing)
    return model, tokenizer


def read_config(folder: Path) -> PreTrainedConfig:
    """The configuration of an encoder in a transformers folder; raises BistilError for another kind of model."""
    config = _read(folder, pretrained.config)
    try:
        families.family(config)
    except BistilError as error:
        raise BistilError(f"{folder}: {error}") from None
    return config


def read_any_config(folder: Path) -> PreTrainedConfig:
    """The configuration in a transformers folder, of any kind of model; raises BistilError for another folder."""
    return cast(PreTrainedConfig, _read(folder, pretrained.config))


def load_as_saved(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load the model of any transformers folder as it was saved: its architecture, its head, its precision.

    No pickle and no remote code is loaded. Raises BistilError for an encoder-decoder, a tokenizer without a
    fast form, or weights that are missing from the folder.
    """
    config = _read(folder, pretrained.config)
    if config.is_encoder_decoder:
        raise BistilError(f"{folder} holds an encoder-decoder ({config.model_type}). Choose an encoder.")
    tokenizer = _tokenizer(folder)
    architecture = config.architectures[0] if config.architectures else ""
    if not isinstance(architecture, str):
        raise BistilError(f"{folder}: config.json names {architecture!r} as its architecture. Fetch it again.")
    kind = getattr(transformers, architecture, AutoModel)
    model, missing = _model(folder, kind, dtype="auto")
    if missing and all(".pooler." in f".{name}" for name in missing):
        # Saved without the pooler, which must not be made up.
        model, missing = _model(folder, kind, dtype="auto", add_pooling_layer=False)
    _check_whole(folder, missing)
    return model, tokenizer


def _tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    # Without a vocabulary transformers would quietly make an empty one up.
    has_vocabulary = any((folder / name).is_file() for name in _FAST_TOKENIZER_FILES)
    tokenizer = _read(folder, pretrained.tokenizer) if has_vocabulary else None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise BistilError(
            f"{folder} has no tokenizer that transformers reads in its fast form (tokenizer.json). "
            "Choose a teacher that has one."
        )
    return tokenizer


def _model(folder: Path, kind: Any, **options: Any) -> tuple[PreTrainedModel, list[str]]:
    """The model in eval mode, and the names of the weights that its files lack."""
    layers = getattr(_read(folder, pretrained.config), "num_hidden_layers", 0)
    if isinstance(layers, int) and layers > MOST_LAYERS:
        raise BistilError(
            f"{folder}: config.json says {layers:,} layers, more than any encoder has. Fetch it again."
        )
    model, info = _read(folder, partial(pretrained.model, kind, output_loading_info=True, **options))
    return model.eval(), sorted(info["missing_keys"])


def _check_whole(folder: Path, missing: list[str]) -> None:
    if missing:
        raise BistilError(
            f"The weights in {folder} lack {len(missing)} tensors of the encoder, {missing[0]} for one. "
            "Save the model again or choose another."
        )


def _read(folder: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(folder)
    except Exception as error:  # transformers, tokenizers and safetensors have no error in common
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BistilError(f"{folder} is not a whole transformers folder: {first_line}") from error
