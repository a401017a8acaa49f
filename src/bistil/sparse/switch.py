"""One model for several languages in turn, each with its own language delta."""

from collections.abc import Mapping

import torch
from torch import nn

from bistil.errors import BistilError
from bistil.sparse.delta import Applicable
from bistil.sparse.patch import Patch
from bistil.sparse.targets import aliases, own_names, taken


class DeltaSwitch:
    """Holds one delta per language for one model, and applies the wanted one in place.

    ``deltas[language]`` may be a sum. A switch writes the positions that any of the deltas touches, all at
    once and by copying, so that any number of switches leaves no trace. The model must be the base of all, with
    no delta applied; its own values are read here once, so it must not be trained meanwhile. For n languages it
    keeps 8 + 8·n bytes per position. As a context manager it restores the base model at the end.

    Example: ``switch = DeltaSwitch(teacher, {"en": english, "tr": turkish}); switch.to("tr")``.
    """

    def __init__(self, model: nn.Module, deltas: Mapping[str, Applicable]) -> None:
        targets, own = aliases(model), own_names(model)
        resolved = {language: delta.resolved(model).renamed(own) for language, delta in deltas.items()}
        names = dict.fromkeys(name for delta in resolved.values() for name in delta.indices)
        whole = dict.fromkeys(name for delta in resolved.values() for name in delta.dense)
        indices = {
            name: torch.cat([d.indices[name] for d in resolved.values() if name in d.indices]).unique()
            for name in names
        }
        self._patches: dict[str, Patch] = {}
        for language, delta in resolved.items():
            values = {name: taken(targets[name], index) for name, index in indices.items()}
            for name, index in delta.indices.items():
                values[name][torch.searchsorted(indices[name], index)] = delta.values[name].to(values[name].dtype)
            dense = {name: delta.dense.get(name, targets[name].detach().clone()) for name in whole}
            self._patches[language] = Patch(targets, indices, values, dense)
        self._language: str | None = None

    @property
    def language(self) -> str | None:
        """The language whose delta is applied, or None for the base model."""
        return self._language

    def to(self, language: str | None) -> None:
        """Applies that language's delta; None restores the base. Raises BistilError for an unknown language."""
        if language is not None and language not in self._patches:
            raise BistilError(
                f"There is no delta for {language!r}. Give one of {', '.join(self._patches)}, or None."
            )
        if language == self._language:
            return
        if language is not None:
            self._patches[language].on()
        elif self._language is not None:
            self._patches[self._language].off()
        self._language = language

    def __enter__(self) -> "DeltaSwitch":
        return self

    def __exit__(self, *_: object) -> None:
        self.to(None)
