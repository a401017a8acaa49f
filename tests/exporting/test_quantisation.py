"""int8 graphs: integers where they should be, small errors, and float32 where that is asked for."""

from collections import Counter
from statistics import median

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from tests.exporting.test_graph import Spelled, inputs, outputs_of
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForTokenClassification

from bistil.errors import BistilError
from bistil.exporting.graph import difference, write_graph
from bistil.exporting.quantisation import in_int8, products, quantise
from bistil.models.families import FAMILIES
from bistil.runtime.engine import OnnxEngine
from bistil.tasks.registry import task_kind


@pytest.fixture(scope="module")
def graphs(tiny_teacher, tiny_tokenizer, tmp_path_factory):
    """A tagger and a parser as graphs, and their models."""
    folder = tmp_path_factory.mktemp("graphs")
    made = {}
    for kind in ("pos", "parsing", "classification"):
        model = task_kind(kind)(("A", "B", "C")).new_model(tiny_teacher).eval()
        made[kind] = write_graph(model, tiny_tokenizer, folder / f"{kind}.onnx").file, model
    return made


def weights(file):
    return {one.name: numpy_helper.to_array(one) for one in onnx.load(file).graph.initializer}


def test_values_come_back_to_half_a_step():
    values = np.random.default_rng(0).normal(size=(50, 30)).astype(np.float32)
    values[3] = 0
    for axis, top in ((0, 64), (1, 127)):
        small, scales = in_int8(values, axis, top)
        assert small.dtype == np.int8
        assert np.abs(small).max() <= top
        assert scales.size == values.shape[1 - axis]
        assert (np.abs(small * scales - values) <= scales / 2 + 1e-7).all()


@pytest.mark.parametrize("kind", ["pos", "parsing", "classification"])
def test_all_products_and_the_table_are_integers(kind, graphs, tmp_path):
    file, _ = graphs[kind]
    changed = quantise(file, tmp_path / "int8.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["int8.onnx"]
    assert changed == products(file)
    before, after = (
        Counter(node.op_type for node in onnx.load(path).graph.node) for path in (file, tmp_path / "int8.onnx")
    )
    layers = 4 * 6
    multiplied = sum(not one.table for one in changed)
    assert after["MatMulInteger"] == multiplied >= layers + 1
    # what is left are sums over two states, not over a weight
    assert after["MatMul"] + after["Gemm"] == before["MatMul"] + before["Gemm"] - multiplied
    held = weights(tmp_path / "int8.onnx")
    table = next(name for name in held if name.endswith("word_embeddings.weight.int8"))
    scales = held[table.replace(".int8", ".scale")]
    assert held[table].dtype == np.int8
    assert scales.shape == (len(held[table]), 1)
    assert not any(name.endswith("word_embeddings.weight") for name in held)
    for one in changed:
        if not one.table:
            assert np.abs(held[f"{one.name}.int8"].astype(int)).max() == 64


def test_onnxruntime_makes_one_node_of_each_product(graphs, tmp_path):
    quantise(graphs["pos"][0], tmp_path / "int8.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(tmp_path / "int8.onnx", options, providers=["CPUExecutionProvider"])
    nodes = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert nodes["DynamicQuantizeMatMul"] + nodes["MatMulIntegerToFloat"] == 4 * 6 + 1
    assert nodes["MatMulInteger"] == 0
    assert nodes["DynamicQuantizeLinear"] == 4  # query, key and value have it in common
    assert (nodes["SkipLayerNormalization"], nodes["LayerNormalization"]) == (0, 4 * 2 + 1)


@pytest.mark.parametrize("kind", ["pos", "parsing", "classification"])
def test_outputs_are_near_those_of_float32(kind, graphs, tmp_path):
    file, _ = graphs[kind]
    quantise(file, tmp_path / "int8.onnx")
    ids = np.random.default_rng(0).integers(5, 200, (4, 12))
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    if kind == "parsing":
        batch["word_ids"] = np.tile(np.arange(12) // 2, (4, 1))
    exact, small = (OnnxEngine(path, {}).run(batch) for path in (file, tmp_path / "int8.onnx"))
    for name, values in exact.items():
        apart = difference(small[name], values, batch["attention_mask"] > 0)
        assert 0 < apart < 0.25  # random weights; a wrong scale is off by its size


def rounded(model: nn.Module) -> None:
    """Puts into a model in torch what int8 does to it: weights, tables, and what goes into each product."""

    def to_8_bits(module: nn.Module, given: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        low, high = given[0].min().clamp(max=0), given[0].max().clamp(min=0)
        scale = (high - low) / 255
        zero = torch.round(-low / scale)
        return (((torch.round(given[0] / scale) + zero).clamp(0, 255) - zero) * scale,)

    for module in model.modules():
        table = isinstance(module, nn.Embedding) and len(module.weight) >= 128
        if table or isinstance(module, nn.Linear):
            step = module.weight.detach().abs().amax(1, keepdim=True) / (127 if table else 64)
            step[step == 0] = 1
            module.weight.data = torch.round(module.weight / step) * step
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(to_8_bits)


@pytest.mark.parametrize(
    "family", [name if name == "bert" else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)
def test_every_family(family, tiny_encoder, tmp_path):
    """All that its code in torch multiplies with a weight is in int8, and its table, as exactly as could be."""
    model = tiny_encoder(family, AutoModelForTokenClassification, num_labels=3, vocab_size=200).eval()
    file = write_graph(model, Spelled(), tmp_path / "model.onnx").file
    changed = quantise(file, tmp_path / "int8.onnx")
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert {one.name for one in changed if not one.table} == linear
    tokens = [name for name, values in model.named_parameters() if len(values) == 200]
    assert [one.name for one in changed if one.table] == tokens
    held, nodes = weights(tmp_path / "int8.onnx"), onnx.load(tmp_path / "int8.onnx").graph.node
    for name in (*linear, *tokens):
        assert held[f"{name}.int8"].dtype == np.int8
        assert name not in held
    multiplied = [node.input[1] for node in nodes if node.op_type == "MatMulInteger"]
    assert set(multiplied) == {f"{name}.int8" for name in linear}
    if family != "deberta-v2":  # which multiplies keys and queries of positions with the same weights
        assert len(multiplied) == len(linear)
    assert f"{tokens[0]}.int8" in [node.input[0] for node in nodes if node.op_type == "Gather"]
    assert not [node for node in nodes if node.op_type in ("MatMul", "Gemm") and set(node.input) & held.keys()]

    quantize_dynamic(
        file, tmp_path / "others.onnx", weight_type=QuantType.QInt8, per_channel=True, reduce_range=True
    )
    batches = [inputs(4, tokens, 200) for tokens in range(16, 25)]
    for batch in batches:
        batch["attention_mask"][:] = 1
    exact, own, others = (
        [outputs_of(tmp_path / name, **batch)["logits"] for batch in batches]
        for name in ("model.onnx", "int8.onnx", "others.onnx")
    )
    alike = [F.cosine_similarity(*pair, dim=-1).mean() for pair in zip(own, exact, strict=True)]
    assert min(alike) > 0.98
    losses, theirs = ([(one - of).norm() for one, of in zip(some, exact, strict=True)] for some in (own, others))
    assert min(losses) > 0
    assert sum(losses) < 1.5 * sum(theirs)
    rounded(model)
    with torch.no_grad():
        expected = [model(**batch).logits for batch in batches]
    # In some batches one value lies between two steps, is rounded one way here, the other way there, and with it
    # much that follows; a wrong scale is off by as much as the loss in all of them.
    off = [(one - of).norm() / loss for one, of, loss in zip(own, expected, losses, strict=True)]
    assert median(off) < 0.05


def test_what_is_kept_is_in_float32_to_the_bit(graphs, tmp_path):
    file, _ = graphs["pos"]
    names = [one.name for one in products(file)]
    keep = [name for name in names if "layer.1.attention" in name or "word_embeddings" in name]
    changed = quantise(file, tmp_path / "int8.onnx", keep)
    assert [one.name for one in changed] == [name for name in names if name not in keep]
    before, after = weights(file), weights(tmp_path / "int8.onnx")
    for name in keep:
        assert np.array_equal(before[name], after[name])
        assert f"{name}.int8" not in after


def test_names_that_are_not_there(graphs, tmp_path):
    file, _ = graphs["pos"]
    with pytest.raises(BistilError, match="has no product 'classifer'"):
        quantise(file, tmp_path / "int8.onnx", ["classifer"])
    with pytest.raises(BistilError, match=r"Nothing in .* is left for int8"):
        quantise(file, tmp_path / "int8.onnx", [one.name for one in products(file)])
    (tmp_path / "half.onnx").write_bytes(file.read_bytes()[:5000])
    with pytest.raises(BistilError, match=r"half\.onnx is no whole ONNX file"):
        quantise(tmp_path / "half.onnx", tmp_path / "int8.onnx")
    assert not (tmp_path / "int8.onnx").exists()
