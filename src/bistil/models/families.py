"""What differs between the families of encoders: where their parts are, and which layers they cannot lack."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from bistil.errors import BistilError


@dataclass(frozen=True)
class Family:
    """Where an encoder keeps its parts.

    ``layers`` is the list of layers, ``attention`` within a layer the module that mixes tokens; the feed-forward
    ``reads`` hidden states by some linear layers, one of which may hold several side by side, and ``writes`` them
    by another; ``inner_size`` is how the configuration calls its width; ``pooler``: the encoder may carry one,
    which is part of a head; ``final_norm``: there is a norm after the last layer. Example: BERT's layers are at
    ``encoder.layer``.
    """

    layers: str
    attention: str
    reads: tuple[str, ...]
    writes: str
    inner_size: str = "intermediate_size"
    pooler: bool = False
    final_norm: bool = False


_BERT = Family("encoder.layer", "attention.self", ("intermediate.dense",), "output.dense", pooler=True)
FAMILIES = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "deberta-v2": replace(_BERT, pooler=False),
    "distilbert": Family("transformer.layer", "attention", ("ffn.lin1",), "ffn.lin2", "hidden_dim"),
    "modernbert": Family("layers", "attn", ("mlp.Wi",), "mlp.Wo", final_norm=True),
    "eurobert": Family("layers", "self_attn", ("mlp.gate_proj", "mlp.up_proj"), "mlp.down_proj", final_norm=True),
}


def family(config: PreTrainedConfig) -> Family:
    """The family of a model with this configuration; raises BistilError for a type that is none of ours."""
    if config.model_type not in FAMILIES:
        raise BistilError(
            f"The model is of type {config.model_type!r}. Choose one of type {', '.join(FAMILIES)} "
            "(multilingual E5, mDeBERTa, mmBERT and others are of these types)."
        )
    return FAMILIES[config.model_type]


def encoder(model: PreTrainedModel) -> PreTrainedModel:
    """The encoder of a model with a head; a model without one is its own encoder."""
    return cast(PreTrainedModel, model.base_model)


def layers(model: PreTrainedModel) -> Sequence[Any]:
    """The layers, modules of their family's own kind, of a model with or without a head: 12 in E5-small."""
    return cast(Sequence[Any], encoder(model).get_submodule(family(encoder(model).config).layers))


def attention(model: PreTrainedModel, layer: int) -> nn.Module:
    """The module that mixes tokens in a layer, counted from 1."""
    return cast(nn.Module, layers(model)[layer - 1].get_submodule(family(encoder(model).config).attention))


def indispensable_layers(config: PreTrainedConfig) -> tuple[int, ...]:
    """The layers, counted from 1, that every student of such a teacher must keep.

    The first where its place makes it differ: ModernBERT's has no norm before attention, and that of some DeBERTas
    has a convolution after it. The last where a norm comes after it, for its output is only read through that
    norm. Example: (1, 22) for mmBERT-base, () for XLM-R.
    """
    first = config.model_type == "modernbert" or getattr(config, "conv_kernel_size", 0) > 0
    return (1,) * first + (config.num_hidden_layers,) * family(config).final_norm


def without_dropout(config: PreTrainedConfig, of: str = "") -> dict[str, Any]:
    """The dropout rates of a configuration, or those of its ``attention`` alone, set to 0.

    Example: ``{"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}`` for BERT.
    """
    return {name: 0.0 for name, value in config.to_dict().items() if "dropout" in name and of in name and value}


def feed_forward_size(config: PreTrainedConfig) -> int:
    """The width inside the feed-forward: 1,536 for multilingual-E5-small."""
    return int(getattr(config, family(config).inner_size))
