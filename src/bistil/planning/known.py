"""Tables: the shapes of common teachers, and the rates of common graphics cards."""

from transformers import AutoConfig, PreTrainedConfig

_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
_XLM_R = {"model_type": "xlm-roberta", "vocab_size": 250_002, "max_position_embeddings": 514, "type_vocab_size": 1}
_SMALL = {"hidden_size": 384, "intermediate_size": 1536}
# As in the config.json of each, so that a recipe can be planned where there is no model hub.
_TEACHERS = {
    "google-bert/bert-base-multilingual-cased": {"model_type": "bert", "vocab_size": 119_547, **_BASE},
    "FacebookAI/xlm-roberta-base": {**_XLM_R, **_BASE},
    "FacebookAI/xlm-roberta-large": {
        **_XLM_R,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
    "intfloat/multilingual-e5-small": {**_XLM_R, **_BASE, **_SMALL, "model_type": "bert", "vocab_size": 250_037},
    "microsoft/mdeberta-v3-base": {
        **_BASE,
        "model_type": "deberta-v2",
        "vocab_size": 251_000,
        "relative_attention": True,
        "position_buckets": 256,
        "max_relative_positions": -1,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
}

# Peak rate of dense products in what bistil trains in, bfloat16 or, on T4 and V100, float32; from the data sheets.
GPUS = {
    "t4": 8.1e12,
    "v100": 15.7e12,
    "a10": 125e12,
    "l4": 121e12,
    "l40s": 362e12,
    "rtx3090": 71e12,
    "rtx4090": 165e12,
    "a100": 312e12,
    "h100": 989e12,
    "h200": 989e12,
}
GPU_SHARE = 0.25  # of the peak that a small encoder's training gets: an assumption, not a measurement


def known_config(name: str) -> PreTrainedConfig | None:
    """The configuration of a common teacher by its hub id; None for others."""
    found = {known.split("/")[1]: values for known, values in _TEACHERS.items()} | _TEACHERS
    if name not in found:
        return None
    values = dict(found[name])
    config: PreTrainedConfig = AutoConfig.for_model(values.pop("model_type"), **values)
    return config
