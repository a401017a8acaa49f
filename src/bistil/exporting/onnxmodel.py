"""An ONNX file called like the transformers model it was exported from."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from bistil.exporting.graph import feeds, session


class OnnxModel:
    """Runs a graph through onnxruntime; all other attributes are those of the transformers model.

    As many threads are used as torch does. Example: ``OnnxModel(file, model)(**inputs).logits``.
    """

    def __init__(self, file: Path, model: Any) -> None:
        self._model, self._session = model, session(file)
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._outputs = [one.name for one in self._session.get_outputs()]

    def __call__(self, **inputs: Tensor) -> SimpleNamespace:
        """The outputs by name, for inputs by name."""
        found = self._session.run(self._outputs, feeds(self._inputs, inputs))
        return SimpleNamespace(**dict(zip(self._outputs, map(torch.from_numpy, found), strict=True)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)
