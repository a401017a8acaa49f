"""Groups of parameters, by name."""

from torch import nn
from transformers import PreTrainedModel


def encoder_parameters(model: PreTrainedModel) -> tuple[str, ...]:
    """Names of the parameters that existed before the task: the encoder without a pooler, which is a new head.

    A model without a head is all encoder. Example: ``("bert.embeddings.word_embeddings.weight", …)``.
    """
    inside = "" if model.base_model is model else f"{model.base_model_prefix}."
    return tuple(
        name
        for name, _ in model.named_parameters()
        if name.startswith(inside) and not name.startswith(f"{inside}pooler.")
    )


def layer_norms(model: nn.Module) -> tuple[str, ...]:
    """The names of the parameters of all normalisation layers: ``LayerNorm``, ``RMSNorm`` and their like."""
    return tuple(
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if type(module).__name__.endswith(("LayerNorm", "RMSNorm"))
        for name, _ in module.named_parameters(recurse=False)
    )
