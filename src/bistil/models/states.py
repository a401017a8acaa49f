"""Reads hidden states, attention, queries, keys and values of chosen layers from a running encoder."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

from bistil.errors import BistilError
from bistil.models import families
from bistil.models.attention import fused_attention

T = TypeVar("T")
Vectors = tuple[Tensor, Tensor, Tensor]
_ATTENTION = "bistil_states"


@dataclass(frozen=True)
class States:
    """What a distillation loss reads, layers in the order in which they were asked for.

    ``hidden``: [batch, tokens, width], the embedding output first; ``attention``: probabilities [batch, heads,
    queries, keys]; ``relations``: queries, keys and values, each [batch, heads, tokens, head width], as attention
    multiplies them (rotated, in families that rotate; of fewer heads, where heads share keys); ``outputs``: what
    the model itself returns, None if it stopped early.
    Example: ``len(StateReader(model, (2, 4))(inputs).hidden)`` is 3.
    """

    hidden: tuple[Tensor, ...]
    attention: tuple[Tensor, ...]
    relations: tuple[Vectors, ...]
    outputs: Any

    def split(self, sizes: Sequence[int]) -> list["States"]:
        """Those of each of several batches that ran as one, by their numbers of rows; without the outputs.

        Example: the states of 24 rows and ``(8, 16)`` give those of the first 8 rows, and of the last 16.
        """
        hidden = [state.split(sizes) for state in self.hidden]
        attention = [state.split(sizes) for state in self.attention]
        relations = [tuple(vectors.split(sizes) for vectors in layer) for layer in self.relations]
        return [
            States(
                tuple(state[number] for state in hidden),
                tuple(state[number] for state in attention),
                tuple((q[number], k[number], v[number]) for q, k, v in relations),
                None,
            )
            for number in range(len(sizes))
        ]


class StateReader:
    """Runs a model and returns states of some of its layers, which are counted from 1.

    The embedding output is read besides the layers in ``hidden``, whose states are those of transformers'
    ``output_hidden_states``: the last layer's comes after the final norm, where there is one. Only layers in
    ``attention`` compute their probabilities, all others use the fused kernel. In a model without a head the
    layers above the last one read are not run. Raises BistilError for a layer that the model lacks.
    Example: ``StateReader(model, hidden=(2, 4), attention=(4,))``.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        hidden: Sequence[int],
        attention: Sequence[int] = (),
        relations: Sequence[int] = (),
    ) -> None:
        self.model = model
        self._hidden, self._attention, self._relations = (0, *hidden), tuple(attention), tuple(relations)
        self._encoder, self._layers = families.encoder(model), families.layers(model)
        asked = {*self._hidden, *self._attention, *self._relations}
        if wrong := asked - set(range(len(self._layers) + 1)):
            raise BistilError(
                f"Layers {sorted(wrong)} of {type(model).__name__} are to be read, which has {len(self._layers)} "
                f"layers. Give layers from 1 to {len(self._layers)}."
            )
        self._last = max(asked) if self._encoder is model else len(self._layers)
        # DeBERTa computes explicit probabilities in a way of its own; the others ask the attention interface.
        self._own_attention = not model._supports_attention_backend
        if not self._own_attention:
            model.set_attn_implementation(_ATTENTION)

    def __call__(self, inputs: Mapping[str, Tensor], model: Any = None) -> States:
        """The states for one batch of model inputs (``input_ids``, ``attention_mask``, …).

        ``model`` is the reader's model as something wrapped it, for instance for distributed training.
        """
        hidden: dict[int, Tensor] = {}
        records = {
            layer: _Record(layer in self._attention, layer in self._relations)
            for layer in {*self._attention, *self._relations}
        }
        outputs = None
        with self._leaving_states(hidden, records), suppress(_Enough):
            outputs = (model or self.model)(**inputs)
        return States(
            tuple(_left(hidden.get(layer)) for layer in self._hidden),
            tuple(_left(records[layer].probabilities) for layer in self._attention),
            tuple(_left(records[layer].vectors) for layer in self._relations),
            outputs,
        )

    @contextmanager
    def _leaving_states(self, hidden: dict[int, Tensor], records: Mapping[int, "_Record"]) -> Iterator[None]:
        """While it lasts, the running model leaves its hidden states and what its attention computes."""

        def receiving(number: int) -> Any:
            # What a layer receives is the state below it, in every family, convolutions between layers included.
            def hook(module: nn.Module, arguments: tuple[Any, ...]) -> None:
                if number in self._hidden:
                    hidden[number] = arguments[0]
                if number == self._last:
                    raise _Enough

            return hook

        def finishing(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            hidden[len(self._layers)] = output[0]

        with ExitStack() as stack:
            for number in {*self._hidden, self._last} - {len(self._layers)}:
                stack.callback(self._layers[number].register_forward_pre_hook(receiving(number)).remove)
            if len(self._layers) in self._hidden:
                stack.callback(self._encoder.register_forward_hook(finishing).remove)
            watched = {families.attention(self.model, layer): record for layer, record in records.items()}
            if self._own_attention:
                for module, record in watched.items():
                    _watch_deberta(module, record, stack)
            else:
                stack.callback(_watched.reset, _watched.set(watched))
            yield


def _left(state: T | None) -> T:
    if state is None:  # transformers would return an empty tuple and say nothing
        raise RuntimeError("the model ran without leaving a state that was to be read")
    return state


class _Enough(Exception):
    """Breaks off a forward pass where the layers above are not read."""


@dataclass
class _Record:
    """What the attention of one layer is to leave, and has left."""

    wants_probabilities: bool
    wants_vectors: bool
    probabilities: Tensor | None = None
    vectors: Vectors | None = None


_watched: ContextVar[Mapping[nn.Module, _Record]] = ContextVar("_watched", default={})  # noqa: B039, never changed


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    record = _watched.get().get(module)
    if record is not None and record.wants_vectors:
        record.vectors = query, key, value
    if record is None or not record.wants_probabilities:
        return fused_attention(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    batch, heads, tokens, width = query.shape
    # Heads that share keys are rows of one product.
    rows = (batch * key.shape[1], -1, width)
    keys, values = key.reshape(rows), value.reshape(rows)
    scores = torch.baddbmm(  # scales in passing
        query.new_empty(()),
        query.reshape(rows),
        keys.mT,
        beta=0,
        alpha=width**-0.5 if scaling is None else scaling,
    )
    if attention_mask is not None:
        scores.view(batch, heads, tokens, -1).masked_fill_(~attention_mask, torch.finfo(scores.dtype).min)
    shared = torch.softmax(scores, -1) if scores.requires_grad else torch.softmax(scores, -1, out=scores)
    probabilities = shared.view(batch, heads, tokens, -1)
    record.probabilities = probabilities
    if dropout:
        shared = F.dropout(shared, dropout)
    mixed = torch.bmm(shared, values).view(batch, heads, tokens, -1)
    return mixed.transpose(1, 2).contiguous(), probabilities


AttentionInterface.register(_ATTENTION, _attention)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)


def _watch_deberta(module: Any, record: _Record, stack: ExitStack) -> None:
    """Has DeBERTa's attention leave what it computes, until the stack closes."""
    if record.wants_probabilities:

        def ask(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            states, mask, _ = arguments
            return states, mask, True  # output_attentions

        def keep(module: nn.Module, arguments: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
            record.probabilities = output[1]

        stack.callback(module.register_forward_pre_hook(ask).remove)
        stack.callback(module.register_forward_hook(keep).remove)
    if record.wants_vectors:
        found: list[Tensor] = []

        def project(projection: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
            # Queries, keys and values come first, then perhaps positions by the same projections.
            if len(found) < 3:
                found.append(output.unflatten(-1, (module.num_attention_heads, -1)).transpose(1, 2))
                record.vectors = (found[0], found[1], found[2]) if len(found) == 3 else None

        for projection in (module.query_proj, module.key_proj, module.value_proj):
            stack.callback(projection.register_forward_hook(project).remove)
