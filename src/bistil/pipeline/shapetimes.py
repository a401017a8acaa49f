"""How long shapes of an encoder take for a text, on random weights in the engine in which they are deployed."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoModel, PreTrainedConfig

from bistil.exporting.graph import write_graph
from bistil.exporting.quantisation import quantise
from bistil.models.families import family
from bistil.runtime.engine import OnnxEngine

Engine = Literal["int8", "onnx", "torch"]
_ROWS, _BATCHES, _ROUNDS = 8, 4, 5


def text_seconds(shapes: Sequence[PreTrainedConfig], tokenizer: Any, engine: Engine, tokens: int) -> list[float]:
    """Seconds a text of so many tokens, for each shape: the median of rounds in which all take turns, A B A B.

    Args:
        shapes: configurations with one vocabulary.
        tokenizer: that of the vocabulary.
        engine: int8 and onnx run in onnxruntime, several batches beside each other; torch in float32.
        tokens: of a text, special ones included.

    Example: ``text_seconds([twelve_layers, six_layers], tokenizer, "int8", 64)`` is about [0.0052, 0.0027].
    """
    with TemporaryDirectory() as folder:
        runs = [
            _run(shape, tokenizer, engine, Path(folder) / f"{number}.onnx", tokens)
            for number, shape in enumerate(shapes)
        ]
        rounds = [[_seconds(run) for run in runs] for _ in range(_ROUNDS + 1)]
    return [median(own) / (_ROWS * _BATCHES) for own in zip(*rounds[1:], strict=True)]  # the first warms up


def _run(config: PreTrainedConfig, tokenizer: Any, engine: Engine, file: Path, tokens: int) -> Callable[[], None]:
    """What passes some batches through a random encoder."""
    with torch.random.fork_rng(devices=[]):
        model = AutoModel.from_config(config, **({"add_pooling_layer": False} if family(config).pooler else {}))
    model.eval()
    chance = np.random.default_rng(0)
    drawn = [chance.integers(config.vocab_size, size=(_ROWS, tokens)) for _ in range(_BATCHES)]
    batches = [{"input_ids": ids, "attention_mask": np.ones_like(ids)} for ids in drawn]
    if engine == "torch":
        inputs = [{name: torch.from_numpy(values) for name, values in batch.items()} for batch in batches]
        return lambda: _through(model, inputs)
    write_graph(model, tokenizer, file)
    if engine == "int8":
        smaller = file.with_suffix(".int8.onnx")
        quantise(file, smaller)
        file = smaller
    session = OnnxEngine(file, config.to_dict())
    return lambda: deque(session.each(batches), 0).clear()


@torch.inference_mode()
def _through(model: Any, batches: Sequence[dict[str, torch.Tensor]]) -> None:
    for batch in batches:
        model(**batch)


def _seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
