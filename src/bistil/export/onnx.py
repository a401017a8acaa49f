"""A model in ONNX form, called like the transformers model it was exported from."""

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from bistil.errors import BistilError

_SAME = 1e-3  # between logits of one engine and the other
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def check_onnx() -> None:
    """Raises BistilError where a package that ONNX needs is not installed."""
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise BistilError(f"ONNX needs {' and '.join(missing)}. Install: pip install {' '.join(missing)}.")


class OnnxModel:
    """Runs a model through onnxruntime; all other attributes are those of the transformers model.

    ``batch`` are inputs such as the model will be given, of any size, the first row without padding: by it the
    graph is checked. The graph is written to ``file``; as many threads are used as torch does. Example:
    ``OnnxModel(model, tokenizer(["b c", "a"], return_tensors="pt", padding=True), path)(**inputs).logits``.
    """

    def __init__(self, model: nn.Module, batch: Mapping[str, Tensor], file: Path) -> None:
        check_onnx()
        import onnxruntime

        self._model, self._inputs = model, tuple(batch)
        with torch.inference_mode():
            outputs = model(**batch)
        self._outputs = tuple(name for name, value in outputs.items() if isinstance(value, Tensor))
        sizes = {name: dict.fromkeys(range(value.dim()), torch.export.Dim.AUTO) for name, value in batch.items()}
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of torchvision, which no encoder needs
        try:
            torch.onnx.export(
                _Positional(model, self._inputs, self._outputs).eval(),
                tuple(batch.values()),
                file,
                input_names=self._inputs,
                output_names=self._outputs,
                dynamic_shapes=(tuple(sizes.values()),),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error).strip().splitlines()[0]
            raise BistilError(f"torch cannot export {type(model).__name__} to ONNX: {reason}") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

        found = self(**{name: values[:1] for name, values in batch.items()})
        for name in self._outputs:
            apart = float((getattr(found, name) - outputs[name][:1]).abs().max())
            if apart > _SAME:
                raise BistilError(f"{name} of {type(model).__name__} differ by {apart:.2g} in ONNX form.")

    def __call__(self, **inputs: Tensor) -> SimpleNamespace:
        """The outputs by name, for inputs by name."""
        found = self._session.run(None, {name: inputs[name].numpy() for name in self._inputs})
        tensors = map(torch.from_numpy, found)
        return SimpleNamespace(**dict(zip(self._outputs, tensors, strict=True)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class _Positional(nn.Module):
    """A model with inputs and outputs in order, as graphs have them."""

    def __init__(self, model: nn.Module, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        super().__init__()
        self._model, self._inputs, self._outputs = model, inputs, outputs

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        found = self._model(**dict(zip(self._inputs, values, strict=True)))
        return tuple(found[name] for name in self._outputs)
