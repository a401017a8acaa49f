"""A model in ONNX form, run by onnxruntime."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bistil.errors import BistilError
from bistil.runtime.threads import available

Batch = Mapping[str, NDArray[Any]]
# In a model folder, the one that is preferred first.
FILES = {"int8": "onnx/model_quantized.onnx", "onnx": "onnx/model.onnx"}
VOCABULARY = "bistil.vocabulary"  # the digest of that which the model was exported with


class OnnxEngine:
    """Runs the ONNX file of a model folder on the CPU; several threads may call it at once.

    ``config`` has the values of the folder's config.json, ``id2label`` by number, as the transformers model has
    them. Raises BistilError for a file that onnxruntime cannot read. Example: ``OnnxEngine(Path("pos"),
    "int8").run({"input_ids": ids, "attention_mask": mask})["logits"].shape`` is (2, 9, 17).
    """

    def __init__(self, folder: Path, form: str) -> None:
        import onnxruntime  # takes a tenth of a second

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = available()
        options.log_severity_level = 4  # what goes wrong is raised, too
        self.file = folder / FILES[form]
        try:
            self._session = onnxruntime.InferenceSession(self.file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # those of onnxruntime have no base of their own
            raise BistilError(
                f"{self.file} cannot be loaded: {_reason(error)}. Export the model again."
            ) from error
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._outputs = [one.name for one in self._session.get_outputs()]
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        labels = {int(number): label for number, label in (values.get("id2label") or {}).items()}
        self.config = SimpleNamespace(
            **{**values, "id2label": labels, "num_labels": len(labels), "name_or_path": str(folder)}
        )

    def run(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """The outputs by name, for padded inputs by name, all [batch, …]."""
        rows, tokens = batch["input_ids"].shape
        given = {name: batch[name] if name in batch else _absent(name, rows, tokens) for name in self._inputs}
        try:
            found = self._session.run(self._outputs, given)
        except Exception as error:
            raise BistilError(f"{self.file} cannot be run: {_reason(error)}. Export the model again.") from error
        return dict(zip(self._outputs, found, strict=True))

    def metadata(self) -> dict[str, str]:
        """What else the file says, by name: ``{"bistil.vocabulary": "9f86d081884c7d65"}``."""
        found: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return found


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def _absent(name: str, rows: int, tokens: int) -> NDArray[np.int64]:
    """What stands for an input that the tokenizer does not give: one kind of token throughout."""
    if name != "token_type_ids":
        raise BistilError(f"The ONNX file asks for {name}, which its task does not give. Export the model again.")
    return np.zeros((rows, tokens), dtype=np.int64)
