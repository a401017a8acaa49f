"""A model in ONNX form, run by onnxruntime."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bistil.errors import BistilError
from bistil.runtime.threads import available

Batch = Mapping[str, NDArray[Any]]
Outputs = Mapping[str, NDArray[Any]]
# In a model folder, the one that is preferred first.
FILES = {"int8": "onnx/model_quantized.onnx", "onnx": "onnx/model.onnx"}
VOCABULARY, WEIGHTS = "bistil.vocabulary", "bistil.weights"  # digests of what the model was exported with


class OnnxEngine:
    """Runs an ONNX file on the CPU; several threads may call it at once.

    ``config`` has the values of the model's config.json, ``id2label`` by number, as the transformers model has
    them.

    Args:
        file: what `bistil.export` wrote.
        config: the values of the model's config.json.
        threads: how many it runs on; as many as the process may use by default.

    Raises:
        BistilError: a file that onnxruntime cannot read.

    Example:
        ``OnnxEngine(Path("pos/onnx/model.onnx"), config).run({"input_ids": ids, "attention_mask":
        mask})["logits"].shape`` is (2, 9, 17).
    """

    def __init__(self, file: Path, config: Mapping[str, Any], threads: int | None = None) -> None:
        self.file, self._threads = file, threads or available()
        self._session = _session(file, self._threads)
        self.inputs = [one.name for one in self._session.get_inputs()]
        self._outputs = [one.name for one in self._session.get_outputs()]
        labels = {int(number): label for number, label in (config.get("id2label") or {}).items()}
        self.config = SimpleNamespace(**{**config, "id2label": labels, "num_labels": len(labels)})

    def run(self, batch: Batch) -> Outputs:
        """The outputs by name, for padded inputs by name, all [batch, …]."""
        return self._run(self._session, batch)

    def each(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        """What `run` returns for each batch, in their order.

        Several batches run beside one another, each on one thread: threads that share every product of one batch
        wait for each other more than they work.
        """
        remaining = iter(batches)
        first = list(islice(remaining, 2))
        if len(first) < 2 or self._threads == 1:
            yield from map(self.run, chain(first, remaining))
            return
        session = self._on_one_thread
        with ThreadPoolExecutor(self._threads) as pool:
            begun: deque[Future[Outputs]] = deque()
            for batch in chain(first, remaining):
                if len(begun) == 2 * self._threads:  # no more outputs are held than these
                    yield begun.popleft().result()
                begun.append(pool.submit(self._run, session, batch))
            while begun:
                yield begun.popleft().result()

    @cached_property
    def _on_one_thread(self) -> Any:
        return _session(self.file, 1)

    def _run(self, session: Any, batch: Batch) -> Outputs:
        rows, tokens = batch["input_ids"].shape
        given = {name: batch[name] if name in batch else _absent(name, rows, tokens) for name in self.inputs}
        try:
            found = session.run(self._outputs, given)
        except Exception as error:
            raise BistilError(f"{self.file} cannot be run: {_reason(error)}. Export the model again.") from error
        return dict(zip(self._outputs, found, strict=True))

    def metadata(self) -> dict[str, str]:
        """What else the file says, by name: ``{"bistil.vocabulary": "9f86d081884c7d65"}``."""
        found: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return found


def _session(file: Path, threads: int) -> Any:
    # its import starts sending usage to its maker, and keeps files for that in the user's home
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # takes a tenth of a second

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised, too
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # those of onnxruntime have no base of their own
        raise BistilError(f"{file} cannot be loaded: {_reason(error)}. Export the model again.") from error


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def _absent(name: str, rows: int, tokens: int) -> NDArray[np.int64]:
    """What stands for an input that the tokenizer does not give: one kind of token throughout."""
    if name != "token_type_ids":
        raise BistilError(f"The ONNX file asks for {name}, which its task does not give. Export the model again.")
    return np.zeros((rows, tokens), dtype=np.int64)
