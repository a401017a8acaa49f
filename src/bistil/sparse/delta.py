"""A sparse delta: the changes that sparse fine-tuning made to a model, in a few megabytes."""

import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bistil.errors import BistilError
from bistil.sparse import files
from bistil.sparse.fingerprint import fingerprint
from bistil.sparse.groups import encoder_parameters
from bistil.sparse.patch import Patch
from bistil.sparse.targets import aliases, check_base, own_names, taken


class Applicable(ABC):
    """What can be applied to a model and removed from it: a `SparseDelta`, or a `DeltaSum` of several.

    Deltas on one model add up, in whatever order they are applied and removed: its values are always the base
    model's plus the sum of their differences, computed anew from the base (LT-SFT, Ansell et al. 2022,
    section 3.2).
    """

    @property
    @abstractmethod
    def terms(self) -> tuple[tuple["SparseDelta", float], ...]:
        """The deltas of the sum, each with its factor."""

    def __add__(self, other: "Applicable") -> "DeltaSum":
        return DeltaSum((*self.terms, *other.terms))

    def __mul__(self, factor: float) -> "DeltaSum":
        return DeltaSum(tuple((delta, factor * own) for delta, own in self.terms))

    __rmul__ = __mul__

    def apply(self, model: nn.Module) -> None:
        """Applies the delta to ``model`` in place, on top of those already applied.

        Raises BistilError, and changes nothing, where the base model is not the one the delta was made for.
        Example: ``language.apply(model); task.apply(model)`` equals ``(language + task).apply(model)``.
        """
        _apply_only(model, (*_applied_to(model), self))

    def remove(self, model: nn.Module) -> None:
        """Removes the delta: the values that it replaced are restored, bit for bit."""
        deltas = list(_applied_to(model))
        if self not in deltas:
            raise BistilError("This delta is not applied to the model. Only an applied delta can be removed.")
        deltas.remove(self)
        _apply_only(model, tuple(deltas))

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Applies the delta to ``model`` inside the block: ``with delta.on(model): model(**batch)``."""
        self.apply(model)
        try:
            yield
        finally:
            self.remove(model)

    def merge(self, model: nn.Module) -> None:
        """Applies the delta for good, so that it cannot be removed: the result is a plain model."""
        if model in _applied:
            raise BistilError("Deltas are applied to the model. Remove them first, or merge their sum.")
        self.patch(model).on()

    def patch(self, model: nn.Module) -> Patch:
        """The values to write into ``model``, which must be the base model that the delta was made for."""
        delta = self.resolved(model)
        return Patch(aliases(model), delta.indices, delta.values, delta.dense)

    def resolved(self, model: nn.Module) -> "SparseDelta":
        """One delta that changes the base ``model`` as all terms together do.

        A value is base + Σ factor · (value − base), summed in float64; where a single term of factor 1 has a
        position, it is that term's value to the bit. Whole tensors can come from one term only, and have no
        factor. Raises BistilError for a model other than the one a term was made for.
        """
        check_base(model, [delta for delta, _ in self.terms])
        if len(self.terms) == 1 and self.terms[0][1] == 1:
            return self.terms[0][0]
        targets, own = aliases(model), own_names(model)
        terms = [(delta.renamed(own), factor) for delta, factor in self.terms]
        dense: dict[str, Tensor] = {}
        for delta, _ in terms:
            if twice := dense.keys() & delta.dense.keys():
                raise BistilError(
                    f"Two deltas of the sum set {sorted(twice)[0]} as a whole. "
                    "Add up deltas of which one has a head."
                )
            dense |= delta.dense
        indices, values = {}, {}
        for name in dict.fromkeys(name for delta, _ in terms for name in delta.indices):
            parts = [(d.indices[name], d.values[name], factor) for d, factor in terms if name in d.indices]
            indices[name], values[name] = _sum(targets[name].detach(), parts)
        group = {name: targets[name] for name in indices}
        shapes = {name: tuple(value.shape) for name, value in group.items()}
        kind = " + ".join(dict.fromkeys(delta.kind for delta, _ in terms))
        head = next((delta.head for delta, _ in terms if delta.head), {})
        return SparseDelta(indices, values, dense, shapes, fingerprint(group), kind, head)


@dataclass(frozen=True, eq=False)
class SparseDelta(Applicable):
    """New values at some positions of some parameters, and whole new tensors for heads.

    ``indices[name]`` are flat positions, ascending; ``values[name]`` the values there with the delta
    applied; ``dense[name]`` whole tensors; ``shapes[name]`` the shapes of the parameters in ``indices``; ``base``
    the fingerprint of these parameters in the model that the delta was made for. Names are those of
    ``named_parameters``; the encoder's may have the prefix that transformers puts before them under a head, or
    not. ``head`` says under which transformers class the whole tensors belong, its labels, and what else a task
    keeps in its model's configuration: ``{"architecture": "BertForTokenClassification", "labels": ["ADJ", …],
    "task": "pos", "settings": {}}``, empty for none. Example:
    ``delta.density`` is 0.08.
    """

    indices: Mapping[str, Tensor]
    values: Mapping[str, Tensor]
    dense: Mapping[str, Tensor]
    shapes: Mapping[str, tuple[int, ...]]
    base: str
    kind: str
    head: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, start: Mapping[str, Tensor], model: nn.Module, positions: Mapping[str, Tensor], kind: str
    ) -> "SparseDelta":
        """The values of ``model`` at some positions, and its other trainable parameters.

        Args:
            start: the parameters of the sparse group by name, as they were.
            model: the model as it is after training.
            positions: the changed positions of each parameter, flat and ascending.
            kind: what the delta is for, such as "task" or "language".
        """
        now = {name: value for name, value in model.named_parameters() if name in start or value.requires_grad}
        dense = {name: value.detach().cpu().clone() for name, value in now.items() if name not in start}
        return cls(
            indices=dict(positions),
            values={name: taken(now[name], index) for name, index in positions.items()},
            dense=dense,
            shapes={name: tuple(value.shape) for name, value in start.items()},
            base=fingerprint(start),
            kind=kind,
            head=_head(model) if dense else {},
        )

    @classmethod
    def diff(cls, base: nn.Module, tuned: nn.Module, kind: str = "difference") -> "SparseDelta":
        """The delta that turns ``base`` into ``tuned``: every position whose bits differ.

        Args:
            base: the model that the delta is applied to.
            tuned: the model that it gives.
            kind: what the delta is for, such as "task" or "language".

        Parameters that only ``tuned`` has, its head, are stored whole; a head that only ``base`` has is ignored.
        Raises BistilError where a shape or type differs, no parameter is in both, or ``tuned`` has fewer layers.
        """
        mine, theirs = aliases(base), dict(tuned.named_parameters())
        names = own_names(tuned)
        shared = {name: mine[name if name in mine else alias] for alias, name in names.items() if alias in mine}
        if not shared:
            raise BistilError("The two models have no parameter in common. Give two models of one architecture.")
        both = set(map(id, shared.values()))
        encoder = encoder_parameters(base) if isinstance(base, PreTrainedModel) else ()
        if missing := next((name for name in encoder if id(mine[name]) not in both), None):
            raise BistilError(
                f"{missing} is in the base alone, whose layers a delta cannot take away. Give as the base what "
                "the other model was tuned from, such as the student of a task student."
            )
        indices = {}
        for name, before in shared.items():
            after = theirs[name]
            if (before.shape, before.dtype) != (after.shape, after.dtype):
                raise BistilError(
                    f"{name} is {_described(before)} in one model and {_described(after)} in the other. "
                    "Give two models of one vocabulary, architecture and precision."
                )
            indices[name] = (_bits(before) != _bits(after.to(before.device))).nonzero().flatten().cpu()
        dense = {name: value.detach().cpu().clone() for name, value in theirs.items() if name not in shared}
        return cls(
            indices=indices,
            values={name: taken(theirs[name], index) for name, index in indices.items()},
            dense=dense,
            shapes={name: tuple(value.shape) for name, value in shared.items()},
            base=fingerprint(shared),
            kind=kind,
            head=_head(tuned) if dense else {},
        )

    @property
    def terms(self) -> tuple[tuple["SparseDelta", float], ...]:
        """The delta itself, once."""
        return ((self, 1.0),)

    @property
    def density(self) -> float:
        """The share of the entries of the parameters in ``indices`` that the delta changes."""
        return sum(map(len, self.indices.values())) / max(sum(map(math.prod, self.shapes.values())), 1)

    def renamed(self, names: Mapping[str, str]) -> "SparseDelta":
        """The same with other names for its parameters, ``names[old]``; its base is then no longer known."""
        return SparseDelta(
            {names[old]: index for old, index in self.indices.items()},
            {names[old]: value for old, value in self.values.items()},
            {names[old]: value for old, value in self.dense.items()},
            {names[old]: shape for old, shape in self.shapes.items()},
            "",
            self.kind,
            self.head,
        )

    def save(self, folder: str | Path) -> None:
        """Writes ``sparse_delta.safetensors`` and ``sparse_delta.json`` into a folder."""
        description = {
            "kind": self.kind,
            "base": self.base,
            "density": self.density,
            "head": dict(self.head),
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
        }
        files.write(Path(folder), self.indices, self.values, self.dense, description)

    @classmethod
    def load(cls, name: str | Path) -> "SparseDelta":
        """Reads what `save` wrote, from a folder or from the hub (``me/basque-pos-delta``).

        Raises BistilError for a folder without a delta and for files that are cut off or something else; nothing
        is ever unpickled.
        """
        indices, values, dense, description = files.read(files.locate(name))
        shapes = {name: tuple(shape) for name, shape in description["shapes"].items()}
        base, kind, head = (description[key] for key in ("base", "kind", "head"))
        return cls(indices, values, dense, shapes, base, kind, head)

    def push_to_hub(self, name: str, *, private: bool = False) -> None:
        """Uploads the delta to the hub under an id such as ``me/basque-pos-delta``, which `load` takes."""
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder))
            files.push(Path(folder), name, private)


@dataclass(frozen=True, eq=False)
class DeltaSum(Applicable):
    """A sum of deltas, each with a factor: ``language + 0.5 * task``. To save one, save its `resolved` delta."""

    parts: tuple[tuple[SparseDelta, float], ...]

    @property
    def terms(self) -> tuple[tuple[SparseDelta, float], ...]:
        """The parts."""
        return self.parts


_applied: WeakKeyDictionary[nn.Module, tuple[tuple[Applicable, ...], Patch]] = WeakKeyDictionary()


def _applied_to(model: nn.Module) -> tuple[Applicable, ...]:
    return _applied[model][0] if model in _applied else ()


def _apply_only(model: nn.Module, deltas: tuple[Applicable, ...]) -> None:
    """Makes ``deltas`` the ones applied to the model, or leaves it unchanged and raises."""
    before = _applied.pop(model, None)
    if before is not None:
        before[1].off()
    if not deltas:
        return
    try:
        patch = DeltaSum(tuple(term for delta in deltas for term in delta.terms)).patch(model)
    except BistilError:
        if before is not None:
            before[1].on()
            _applied[model] = before
        raise
    patch.on()
    _applied[model] = (deltas, patch)


def _sum(base: Tensor, parts: Sequence[tuple[Tensor, Tensor, float]]) -> tuple[Tensor, Tensor]:
    """All positions of the parts, ascending, and base + Σ factor · (value − base) there."""
    places = torch.cat([index for index, _, _ in parts]).unique()
    there = taken(base, places).double()
    total, terms = there.clone(), torch.zeros(len(places), dtype=torch.int64)
    exact = there.to(base.dtype)
    for index, values, factor in parts:
        at = torch.searchsorted(places, index)
        total[at] += factor * (values.double() - there[at])
        terms[at] += 1 if factor == 1 else 2
        exact[at] = values.to(base.dtype)
    return places, torch.where(terms == 1, exact, total.to(base.dtype))


def _head(model: nn.Module) -> dict[str, Any]:
    """The `SparseDelta.head` of a transformers model; empty for any other."""
    config = getattr(model, "config", None)
    labels = getattr(config, "id2label", None)
    if labels is None:
        return {}
    own = {name: value for name, value in vars(config).items() if name.startswith("bistil_")}
    task = own.pop("bistil_task", None)
    return {
        "architecture": type(model).__name__,
        "labels": [labels[index] for index in sorted(labels)],
        **({"task": task} if task else {}),
        "settings": own,
    }


def _bits(tensor: Tensor) -> Tensor:
    integers = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.detach().reshape(-1).view(integers[tensor.element_size()])


def _described(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"
