"""How long shapes of an encoder take for a text, on random weights in the engine in which they are deployed."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoModel, PreTrainedConfig

from bistil.exporting.graph import write_graph
from bistil.exporting.quantisation import quantise
from bistil.models.families import family
from bistil.runtime.engine import Batch, OnnxEngine

Engine = Literal["int8", "onnx", "torch"]
Runner = Callable[[Sequence[Batch]], None]
_ROWS, _BATCHES, _ROUNDS = 8, 4, 6


def text_seconds(
    shapes: Sequence[PreTrainedConfig], tokenizer: Any, engine: Engine, lengths: Sequence[int]
) -> dict[int, list[float]]:
    """Seconds a text of so many tokens, for each shape: the least of rounds in which all take turns, A B A B.

    Args:
        shapes: configurations with one vocabulary.
        tokenizer: that of the vocabulary.
        engine: int8 and onnx run in onnxruntime, several batches beside each other; torch in float32.
        lengths: tokens of a text, special ones included.

    Example: ``text_seconds([twelve_layers, six_layers], tokenizer, "int8", [64])[64]`` has two numbers.
    """
    with TemporaryDirectory() as folder:
        runs = [
            _runner(shape, tokenizer, engine, Path(folder) / f"{number}.onnx")
            for number, shape in enumerate(shapes)
        ]
        vocabulary = min(shape.vocab_size for shape in shapes)
        return {tokens: _least(runs, _texts(vocabulary, tokens)) for tokens in lengths}


def _least(runs: Sequence[Runner], texts: Sequence[Batch]) -> list[float]:
    """Warming up and what else runs on the machine only add to the time of a round."""
    rounds = [[_seconds(run, texts) for run in runs] for _ in range(_ROUNDS)]
    return [min(own) / (_ROWS * _BATCHES) for own in zip(*rounds, strict=True)]


def _texts(vocabulary: int, tokens: int) -> list[Batch]:
    chance = np.random.default_rng(0)
    drawn = [chance.integers(vocabulary, size=(_ROWS, tokens)) for _ in range(_BATCHES)]
    return [{"input_ids": ids, "attention_mask": np.ones_like(ids)} for ids in drawn]


def _runner(config: PreTrainedConfig, tokenizer: Any, engine: Engine, file: Path) -> Runner:
    """What passes batches through a random encoder."""
    with torch.random.fork_rng(devices=[]):
        model = AutoModel.from_config(config, **({"add_pooling_layer": False} if family(config).pooler else {}))
    model.eval()
    if engine == "torch":
        return lambda batches: _through(model, batches)
    write_graph(model, tokenizer, file)
    if engine == "int8":
        smaller = file.with_suffix(".int8.onnx")
        quantise(file, smaller)
        file = smaller
    session = OnnxEngine(file, config.to_dict())
    return lambda batches: deque(session.each(batches), 0).clear()


@torch.inference_mode()
def _through(model: Any, batches: Sequence[Batch]) -> None:
    for batch in batches:
        model(**{name: torch.from_numpy(values) for name, values in batch.items()})


def _seconds(run: Runner, batches: Sequence[Batch]) -> float:
    started = time.perf_counter()
    run(batches)
    return time.perf_counter() - started
