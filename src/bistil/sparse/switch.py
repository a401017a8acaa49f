"""One model that speaks several languages in turn, each by its own delta."""

from collections.abc import Mapping

from torch import nn

from bistil.errors import BistilError
from bistil.sparse.delta import Applicable


class DeltaSwitch:
    """Holds one delta a language for one model, and puts the wanted one on it in place.

    ``deltas[language]`` may be a sum. A switch writes only the positions of the delta that leaves and of the one
    that comes, by copying, so that however many switches leave no trace. The model must be the base of all, with
    no delta on; its own values are read here once, so it must not be trained meanwhile. On a model of M entries
    a delta of density d takes 16·d·M bytes. As a context it leaves the base model behind.

    Example: ``switch = DeltaSwitch(teacher, {"en": english, "tr": turkish}); switch.to("tr")``.
    """

    def __init__(self, model: nn.Module, deltas: Mapping[str, Applicable]) -> None:
        self._patches = {language: delta.patch(model) for language, delta in deltas.items()}
        self._language: str | None = None

    @property
    def language(self) -> str | None:
        """The language whose delta is on the model, or None for the base."""
        return self._language

    def to(self, language: str | None) -> None:
        """Puts that language's values on the model; None gives the base. Raises BistilError for an unknown one."""
        if language is not None and language not in self._patches:
            raise BistilError(
                f"There is no delta for {language!r}. Give one of {', '.join(self._patches)}, or None."
            )
        if language == self._language:
            return
        if self._language is not None:
            self._patches[self._language].off()
        if language is not None:
            self._patches[language].on()
        self._language = language

    def __enter__(self) -> "DeltaSwitch":
        return self

    def __exit__(self, *_: object) -> None:
        self.to(None)
