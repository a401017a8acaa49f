"""A model and its tokenizer as a folder that transformers 4.57 loads as well as 5, and what builds on either."""

import inspect
import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from bistil.models import families
from bistil.runtime.positions import most_tokens
from bistil.sparse.tensors import open_tensors


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write ``config.json``, the weights, ``tokenizer.json``, its configuration and its special tokens.

    The files have the mode that the umask gives. Example: ``AutoModel.from_pretrained(folder)`` then has the
    weights of ``model`` to the bit.
    """
    model.save_pretrained(folder)
    open_tensors(folder)
    if model.config.model_type == "modernbert":
        _add_global_layers(model.config, folder / "config.json")
    _save_tokenizer(tokenizer, folder, families.encoder(model))


def _add_global_layers(config: PreTrainedConfig, path: Path) -> None:
    """Say in transformers 4.57's way too which layers of a ModernBERT see the whole text, and their rotations.

    There it is every n-th layer from the first. A student's may be placed differently: without a number 4.57
    refuses the model, where it would else take its default and compute something else.
    """
    kinds = config.layer_types
    steps = [
        n
        for n in range(1, len(kinds) + 1)
        if all((kind == "full_attention") == (layer % n == 0) for layer, kind in enumerate(kinds))
    ]
    rotations = {name: values["rope_theta"] for name, values in config.rope_parameters.items()}
    _write(
        path,
        json.loads(path.read_text(encoding="utf-8"))
        | {
            "global_attn_every_n_layers": steps[0] if steps else None,
            "global_rope_theta": rotations["full_attention"],
            "local_rope_theta": rotations["sliding_attention"],
        },
    )


def _save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path, encoder: PreTrainedModel) -> None:
    """As transformers 4.57 writes it, for 5 reads that, but 4.57 does not read what 5 writes."""
    specification = json.loads(tokenizer.backend_tokenizer.to_str())
    specification["padding"] = specification["truncation"] = None  # what the last call left there
    backend = Tokenizer.from_str(json.dumps(specification))
    backend.save(str(folder / "tokenizer.json"))

    added = {str(number): token.__getstate__() for number, token in backend.get_added_tokens_decoder().items()}
    named, further = tokenizer.special_tokens_map, list(map(str, tokenizer.extra_special_tokens))
    limits = [tokenizer.model_max_length]
    if getattr(encoder.config, "max_position_embeddings", None):
        limits.append(most_tokens(encoder.config))
    inputs = inspect.signature(encoder.forward).parameters  # in 4.57 another one is an error
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "added_tokens_decoder": added,
            # 4.57 overrides the pre-tokenizer with this
            "add_prefix_space": (specification["pre_tokenizer"] or {}).get("add_prefix_space", False),
            "additional_special_tokens": further,
            "clean_up_tokenization_spaces": tokenizer.clean_up_tokenization_spaces,
            "extra_special_tokens": {},
            "model_input_names": [name for name in tokenizer.model_input_names if name in inputs],
            "model_max_length": min(limits),
            "padding_side": tokenizer.padding_side,
            "split_special_tokens": tokenizer.split_special_tokens,
            "truncation_side": tokenizer.truncation_side,
            **named,
        },
    )
    plain = {
        token["content"]: {name: value for name, value in token.items() if name != "special"}
        for token in added.values()
    }
    # a special token need not be an added one
    special: dict[str, Any] = {name: plain.get(token, token) for name, token in named.items()}
    if further:
        special["additional_special_tokens"] = [plain.get(token, token) for token in further]
    _write(folder / "special_tokens_map.json", special)


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
