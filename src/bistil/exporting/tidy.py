"""An exported graph, tidied: weights and dimensions with names, and nothing that does nothing."""

import ast
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

# Where a node has its weight.
WEIGHT = {"MatMul": 1, "Gemm": 1, "Gather": 0}
_SCOPES = "pkg.torch.onnx.name_scopes"


def tidied(model: onnx.ModelProto, inner: str) -> onnx.ModelProto:
    """The graph that torch exported, changed in place.

    Weights have the name of their module, ``bert.encoder.layer.0.output.dense.weight``, and stand there once;
    reshapes that lead back to the shape they began with are gone, as are torch's notes on the source code.
    ``inner`` is the attribute under which the exported module has the model.
    """
    graph = model.graph
    _multiply(graph)
    _name_weights(graph, f"{inner}.")
    _drop_reshapes(graph)
    _sum_before_norms(graph)
    _name_sizes(graph)
    for one in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        one.doc_string = ""
        del one.metadata_props[:]
    drop_unused(graph)
    return model


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and weights that lead to no output."""
    used = {one.name for one in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            nodes.append(node)
            used.update(node.input)
    replace(graph.node, reversed(nodes))
    replace(graph.initializer, [one for one in graph.initializer if one.name in used])
    replace(
        graph.value_info, [one for one in graph.value_info if one.name in used]
    )  # they let onnxruntime fuse more


def replace(field: Any, values: Any) -> None:
    """Put messages in the place of those that a repeated field has."""
    kept = list(values)
    del field[:]
    field.extend(kept)


def _multiply(graph: onnx.GraphProto) -> None:
    """A biaffine layer's sums over one dimension become a product of two matrices, which can be in int8."""
    weights = {one.name: one for one in graph.initializer}
    nodes = []
    for node in graph.node:
        sums = node.op_type == "Einsum" and node.attribute[0].s == b"bwd,ode->bowe" and node.input[1] in weights
        if not sums:
            nodes.append(node)
            continue
        source, old, out = node.input[0], node.input[1], node.output[0]
        values = numpy_helper.to_array(weights[old])  # [o, d, e]
        matrix, shape = f"{out}.matrix", f"{out}.shape"
        wide = values.transpose(1, 0, 2).reshape(values.shape[1], -1)
        sizes = np.array([0, 0, values.shape[0], values.shape[2]])
        graph.initializer.extend([numpy_helper.from_array(wide, matrix), numpy_helper.from_array(sizes, shape)])
        product = helper.make_node("MatMul", [source, matrix], [f"{out}.wide"], f"{out}.wide")
        product.metadata_props.extend(node.metadata_props)
        nodes += [
            product,
            helper.make_node("Reshape", [f"{out}.wide", shape], [f"{out}.split"], f"{out}.split"),
            helper.make_node("Transpose", [f"{out}.split"], [out], out, perm=[0, 2, 1, 3]),
        ]
    replace(graph.node, nodes)
    drop_unused(graph)


def _name_weights(graph: onnx.GraphProto, prefix: str) -> None:
    """A weight of a product is a constant that torch made by transposing; the node knows the module it is of."""
    weights = {one.name: one for one in graph.initializer}
    names = {name: name.removeprefix(prefix) for name in weights if name.startswith(prefix)}
    contents = {new: weights[old].raw_data for old, new in names.items()}
    for node in graph.node:
        place = WEIGHT.get(node.op_type)
        if place is None or node.input[place] not in weights or node.input[place] in names:
            continue
        if len(weights[node.input[place]].dims) < 2 or not (module := _module(node, prefix)):
            continue
        old = node.input[place]
        new = next(
            name for name in _candidates(f"{module}.weight") if contents.get(name) in (None, weights[old].raw_data)
        )
        names[old], contents[new] = new, weights[old].raw_data
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
    kept: dict[str, onnx.TensorProto] = {}
    for one in graph.initializer:
        one.name = names.get(one.name, one.name)
        kept.setdefault(one.name, one)
    replace(graph.initializer, kept.values())


def _candidates(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}.{number}"
        number += 1


def _module(node: onnx.NodeProto, prefix: str) -> str:
    """The path of the module that a node was exported from."""
    scopes: list[str] = next(
        (ast.literal_eval(one.value) for one in node.metadata_props if one.key == _SCOPES), []
    )
    inside = [scope for scope in scopes[:-1] if scope.startswith(prefix)]
    return inside[-1].removeprefix(prefix) if inside else ""


def _drop_reshapes(graph: onnx.GraphProto) -> None:
    shapes = {one.name: _shape(one) for one in (*graph.value_info, *graph.input)}
    made = {name: node for node in graph.node for name in node.output}
    same: dict[str, str] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = same.get(name, name)
        source = node
        while source is not None and source.op_type == "Reshape":
            if shapes.get(source.input[0]) == shapes.get(node.output[0]) is not None:
                same[node.output[0]] = source.input[0]
                break
            source = made.get(source.input[0])
    # an output keeps its name
    for one in graph.output:
        same.pop(one.name, None)


def _shape(value: onnx.ValueInfoProto) -> tuple[Any, ...] | None:
    sizes = [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
    return tuple(sizes) if sizes and all(sizes) else None


def _sum_before_norms(graph: onnx.GraphProto) -> None:
    """Of an Add and a norm onnxruntime makes SkipLayerNormalization, which takes three times as long on a CPU."""
    normed = {node.input[0] for node in graph.node if node.op_type == "LayerNormalization"}
    for node in graph.node:
        if node.op_type == "Add" and node.output[0] in normed:
            node.op_type = "Sum"


def _name_sizes(graph: onnx.GraphProto) -> None:
    names = {"u0 + 1": "words", "u0 + 2": "words + 1"}  # of the parser, which counts words as it goes
    for value in graph.input:
        for size, name in zip(value.type.tensor_type.shape.dim, ("batch", "length"), strict=True):
            names[size.dim_param] = name
    for value in (*graph.input, *graph.output, *graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param in names:
                size.dim_param = names[size.dim_param]
