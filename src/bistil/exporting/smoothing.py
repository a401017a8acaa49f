"""Channels of activations that are much larger than the others, and what makes them even.

A few channels of an encoder are many times larger than the rest, the same ones in every text (Dettmers et al.
2022, LLM.int8). With one scale for all, 8 bits are spent on them, and the others are rounded to little. They
are divided before they are rounded, and the rows of the weight are multiplied by as much, as in SmoothQuant
(Xiao et al. 2023): there by a power of every channel's size, here down to the 98th percentile and no further,
so that the weights of the other channels keep their bits. Random tokens show which channels they are as well as
text does.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from bistil.exporting.quantisation import products
from bistil.runtime.engine import OnnxEngine

_LARGE = 0.98

Divisors = Mapping[str, NDArray[np.float32]]


def divisors(graph: Path, batches: Sequence[Mapping[str, NDArray[Any]]]) -> Divisors:
    """What the channels of each product's input are divided by, at least 1, by the name of the input.

    Args:
        graph: one that `write_graph` wrote.
        batches: inputs by name, [batch, tokens].

    Example:
        ``{"layer_norm_3": [1.0, 6.6, 1.0, …]}``, of 384 channels.
    """
    sources = list(dict.fromkeys(one.source for one in products(graph) if not one.table))
    model = onnx.load(graph)
    shown = {one.name for one in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in sources if name not in shown)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(model.SerializeToString())
        engine = OnnxEngine(file, {})
        found = [engine.run(batch) for batch in batches]
    return {name: even([one[name] for one in found]) for name in sources}


def even(states: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What divides the channels, the last axis, of some states.

    Example: 50 channels of which one reaches 20.0 and 49 reach 2.0 are divided by 10.0 and by 1.0.
    """
    largest = np.max([np.abs(one).reshape(-1, one.shape[-1]).max(0) for one in states], axis=0)
    usual = np.quantile(largest, _LARGE, method="lower")
    return np.maximum(1, largest / usual).astype(np.float32) if usual else np.ones_like(largest)
