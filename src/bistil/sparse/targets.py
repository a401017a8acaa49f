"""The parameters of a model that a delta changes, and whether they are the ones it was made for."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn
from transformers import PreTrainedModel

from bistil.errors import BistilError
from bistil.sparse.fingerprint import combined, digests


class Delta(Protocol):
    """The part of a `bistil.sparse.delta.SparseDelta` that says which model it was made for."""

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def base(self) -> str: ...  # noqa: D102

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...  # noqa: D102

    @property
    def indices(self) -> Mapping[str, Tensor]: ...  # noqa: D102

    @property
    def dense(self) -> Mapping[str, Tensor]: ...  # noqa: D102


def aliases(model: nn.Module) -> dict[str, nn.Parameter]:
    """All parameters by name: a tied one by each of its names, an encoder's with and without its prefix.

    transformers names the encoder's parameters ``embeddings.…`` when it stands alone, ``bert.embeddings.…`` under
    a head; under a parser's they are ``encoder.embeddings.…``.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    if not isinstance(model, PreTrainedModel):
        return named
    inside = f"{model.base_model_prefix}."
    alone = {name.removeprefix(inside): value for name, value in named.items() if name.startswith(inside)} or named
    own = f"{model.base_model.base_model_prefix}."
    return {**{own + name: value for name, value in alone.items()}, **alone, **named}


def own_names(model: nn.Module) -> dict[str, str]:
    """The one name of ``named_parameters()`` for each of the `aliases`."""
    names = {id(value): name for name, value in model.named_parameters()}
    return {alias: names[id(value)] for alias, value in aliases(model).items()}


def taken(tensor: Tensor, index: Tensor) -> Tensor:
    """The values at flat positions, on the CPU."""
    return tensor.detach().take(index.to(tensor.device)).cpu()


def check_base(model: nn.Module, deltas: Sequence[Delta]) -> None:
    """Raises BistilError unless the model is the one that each delta was made for."""
    named = aliases(model)
    for delta in deltas:
        for name, shape in {**delta.shapes, **{name: value.shape for name, value in delta.dense.items()}}.items():
            if name not in named:
                raise BistilError(
                    f"This {delta.kind} delta was made for another model: {type(model).__name__} has no {name}. "
                    "Apply it to a model of the architecture, head included, that it was made for."
                )
            if named[name].shape != shape:
                raise BistilError(
                    f"This {delta.kind} delta was made for another model: {name} is {list(named[name].shape)} "
                    f"here and {list(shape)} there. Apply it to a model of the same size, vocabulary and labels."
                )
    found = digests({name: named[name] for delta in deltas for name in delta.indices})
    for delta in deltas:
        base = combined({name: found[name] for name in delta.indices})
        if base != delta.base:
            raise BistilError(
                f"This {delta.kind} delta was made for another model: the fingerprint is {base[:12]} here and "
                f"{delta.base[:12]} there. Apply it to the very weights, in the same precision, that its training "
                "started from."
            )
