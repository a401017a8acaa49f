"""A graph in int8: its products with weights, and its embedding tables."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bistil.errors import BistilError
from bistil.exporting.tidy import WEIGHT, drop_unused, replace

_TOP = 64  # of 127: the sum of two products of 8 and 7 bits fits the 16 that processors without VNNI add them in
_TABLE_TOP = 127  # nothing is added there
_ROWS = 128  # a smaller table is not worth it


@dataclass(frozen=True)
class Product:
    """A weight of a graph that can be in int8, by its name, and the name of what it is multiplied with.

    A table is looked up, not multiplied. Example: ``Product("bert.encoder.layer.0.output.dense.weight", "gelu",
    589824, False)``.
    """

    name: str
    source: str
    size: int
    table: bool


def products(graph: Path) -> list[Product]:
    """The products of a graph with a weight, and its embedding tables, in the order in which they are computed."""
    model = _read(graph)
    weights = {one.name: one for one in model.graph.initializer}
    found: dict[str, Product] = {}
    for node in model.graph.node:
        if (place := _weight(node, weights)) is not None:
            name = node.input[place]
            table = node.op_type == "Gather"
            found.setdefault(name, Product(name, node.input[1 - place], int(np.prod(weights[name].dims)), table))
    return list(found.values())


def quantise(
    graph: Path,
    out: Path,
    keep: Collection[str] = (),
    divisors: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
) -> list[Product]:
    """Write a graph in int8, as one file.

    A product is of activations in 8 bits, each time by their smallest and largest value, and of a weight in 7 bits
    by column: so the sums are right on every processor. A table has 8 bits and a scale for each row.

    Args:
        graph: one that `write_graph` wrote.
        out: the file to write.
        keep: names of products that stay in float32.
        divisors: what the channels of a product's input are divided by, by the name of the input, as
            `bistil.exporting.smoothing.divisors` finds them. The rows of the weight are multiplied by as much.

    Returns:
        The products that are in int8.

    Raises:
        BistilError: a name that is none of the graph's, or a graph in which nothing is left for int8.
    """
    known = {one.name: one for one in products(graph)}
    if unknown := sorted(set(keep) - known.keys()):
        raise BistilError(f"{graph} has no product {unknown[0]!r}. It has {', '.join(known) or 'none'}.")
    changed = [one for name, one in known.items() if name not in keep]
    if not changed:
        raise BistilError(f"Nothing in {graph} is left for int8. Keep fewer products in float32.")
    model = _read(graph)
    quantiser = _Quantiser(model.graph, {one.name for one in changed}, divisors)
    replace(model.graph.node, [node for old in model.graph.node for node in quantiser.nodes(old)])
    model.graph.initializer.extend(quantiser.weights.values())
    drop_unused(model.graph)
    out.write_bytes(model.SerializeToString())
    return changed


def _read(graph: Path) -> onnx.ModelProto:
    try:
        return onnx.load(graph)
    except Exception as error:  # protobuf's is not onnx's
        raise BistilError(f"{graph} is no whole ONNX file ({error}). Export the model again.") from error


def _weight(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> int | None:
    """Where a node has a weight that can be in int8, if it has."""
    place = WEIGHT.get(node.op_type)
    tensor = None if place is None else weights.get(node.input[place])
    if tensor is None or len(tensor.dims) != 2 or tensor.data_type != TensorProto.FLOAT:
        return None
    if node.op_type == "Gather" and (tensor.dims[0] < _ROWS or _attribute(node, "axis", 0) != 0):
        return None
    if node.op_type == "Gemm" and _attribute(node, "transA", 0):
        return None
    return place


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


class _Quantiser:
    """Nodes in int8 for nodes in float32, and the weights that they need."""

    def __init__(
        self, graph: onnx.GraphProto, chosen: Collection[str], divisors: Mapping[str, NDArray[np.float32]]
    ) -> None:
        self.weights: dict[str, onnx.TensorProto] = {}
        self._old = {one.name: one for one in graph.initializer}
        self._chosen, self._divisors = chosen, divisors
        self._inputs: set[str] = set()  # those in 8 bits already: query, key and value have one in common
        self._first: dict[str, str] = {}  # what each weight is multiplied with first

    def nodes(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """What stands in the place of a node."""
        place = _weight(node, self._old)
        if place is None or node.input[place] not in self._chosen:
            yield node
        elif node.op_type == "Gather":
            yield from self._looked_up(node)
        else:
            yield from self._multiplied(node)

    def _looked_up(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        table, ids = node.input
        out = node.output[0]
        values, scales = self._put(table, lambda rows: in_int8(rows, 1, _TABLE_TOP))
        yield helper.make_node("Gather", [values, ids], [f"{out}.int8"], f"{out}.int8")
        yield helper.make_node("Gather", [scales, ids], [f"{out}.scale"], f"{out}.scale")
        yield helper.make_node("Cast", [f"{out}.int8"], [f"{out}.float"], f"{out}.float", to=TensorProto.FLOAT)
        yield helper.make_node("Mul", [f"{out}.float", f"{out}.scale"], [out], out)

    def _multiplied(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """The nodes that onnxruntime makes one of, DynamicQuantizeMatMul or MatMulIntegerToFloat."""
        source, weight, *bias = node.input
        out = node.output[0]
        product = f"{out}.product" if bias else out
        turned = node.op_type == "Gemm" and _attribute(node, "transB", 0)
        # A weight is stored once: whatever else DeBERTa multiplies it with is divided by what the first one is.
        first = self._first.setdefault(weight, source)
        place = source if source == first else f"{source}.for.{first}"
        large = self._divisors.get(first, np.ones(1, np.float32))

        def by_column(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
            rows = values.T if turned else values
            small, scales = in_int8(rows * large[:, None], 0, _TOP)
            return small, scales[0]

        values, scales = self._put(weight, by_column)
        low, scale, zero = (f"{place}.{name}" for name in ("uint8", "scale", "zero"))
        if place not in self._inputs:
            self._inputs.add(place)
            rounded = source
            if (large != 1).any():
                shares, rounded = f"{place}.share", f"{place}.even"
                self.weights[shares] = numpy_helper.from_array((1 / large).astype(np.float32), shares)
                yield helper.make_node("Mul", [source, shares], [rounded], rounded)
            yield helper.make_node("DynamicQuantizeLinear", [rounded], [low, scale, zero], low)
        yield helper.make_node("MatMulInteger", [low, values, zero], [f"{out}.int32"], f"{out}.int32")
        yield helper.make_node("Cast", [f"{out}.int32"], [f"{out}.float"], f"{out}.float", to=TensorProto.FLOAT)
        yield helper.make_node("Mul", [scale, scales], [f"{out}.scale"], f"{out}.scale")
        yield helper.make_node("Mul", [f"{out}.float", f"{out}.scale"], [product], product)
        if bias:
            yield helper.make_node("Add", [product, *bias], [out], out)

    def _put(self, name: str, small: Callable[[Any], tuple[Any, Any]]) -> tuple[str, str]:
        names = (f"{name}.int8", f"{name}.scale")
        if names[0] not in self.weights:
            for new, values in zip(names, small(numpy_helper.to_array(self._old[name])), strict=True):
                self.weights[new] = numpy_helper.from_array(np.ascontiguousarray(values), new)
        return names


def in_int8(values: NDArray[np.floating], axis: int, top: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Values from −top to top, and the scale of each row (axis 1) or column (axis 0) that gives them back.

    Example: ``in_int8(np.array([[1.0, -2.0]]), 1, 64)`` is [[32, −64]] and [[0.03125]].
    """
    scales = np.abs(values).max(axis, keepdims=True) / top
    scales[scales == 0] = 1
    return np.rint(values / scales).astype(np.int8), scales.astype(np.float32)
