"""Models as ONNX graphs give the outputs of torch, for any size of input, and every family is one small graph."""

from collections import Counter

import onnx
import pytest
import torch
from transformers import AutoModel, AutoModelForQuestionAnswering, AutoModelForTokenClassification

from bistil.errors import BistilError
from bistil.exporting import graph
from bistil.exporting.graph import difference, write_graph
from bistil.models.families import FAMILIES
from bistil.models.folder import save_model
from bistil.runtime.engine import OnnxEngine
from bistil.runtime.tokenizer import FolderTokenizer
from bistil.tasks.registry import task_kind


def inputs(rows, tokens, vocabulary=60):
    chance = torch.Generator().manual_seed(tokens)
    ids = torch.randint(5, vocabulary, (rows, tokens), generator=chance)
    mask = torch.ones_like(ids)
    mask[-1, tokens // 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def outputs_of(file, **batch):
    """What onnxruntime makes of a batch of tensors."""
    found = OnnxEngine(file, {}).run({name: values.numpy() for name, values in batch.items()})
    return {name: torch.from_numpy(values) for name, values in found.items()}


SIZES = ((3, 11), (1, 4), (5, 29))


class Spelled:
    """A tokenizer of 60 tokens, for models that have no other."""

    model_input_names = ("input_ids", "attention_mask")

    def __call__(self, text, **_):
        ids = [ord(character) % 60 for character in text]
        return {"input_ids": ids, "attention_mask": [1] * len(ids)}


@pytest.mark.parametrize(
    "family", [name if name == "bert" else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)
def test_every_family(family, tiny_encoder, tmp_path):
    model = tiny_encoder(family, AutoModelForTokenClassification, num_labels=3).eval()
    before = model.config._attn_implementation
    written = write_graph(model, Spelled(), tmp_path / "model.onnx")
    assert model.config._attn_implementation == before
    assert (written.inputs, written.outputs) == (("input_ids", "attention_mask"), ("logits",))
    for size in SIZES:
        batch = inputs(*size)
        with torch.no_grad():
            expected = model(**batch).logits
        real = batch["attention_mask"].bool()
        assert torch.allclose(outputs_of(written.file, **batch)["logits"][real], expected[real], atol=1e-4)
    nodes = Counter(node.op_type for node in onnx.load(written.file).graph.node)
    if family != "deberta-v2":  # whose attention is relative
        assert nodes["MultiHeadAttention"] == 5
        assert nodes["Softmax"] == 0


def test_is_one_file_with_the_names_of_the_model(tiny_encoder, tmp_path):
    model = tiny_encoder("bert", AutoModelForTokenClassification, num_labels=3).eval()
    written = write_graph(model, Spelled(), tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    read = onnx.load(written.file)
    names = {one.name for one in read.graph.initializer}
    assert {name for name, _ in model.named_parameters()} <= names | {
        "bert.embeddings.token_type_embeddings.weight"
    }
    shapes = [[size.dim_param for size in one.type.tensor_type.shape.dim] for one in read.graph.input]
    assert shapes == [["batch", "length"]] * 2
    assert b"site-packages" not in written.file.read_bytes()  # nor where torch found its source


@pytest.mark.slow
def test_a_narrow_student(tiny_encoder, tmp_path):
    model = tiny_encoder("bert", hidden_size=12, num_attention_heads=3, intermediate_size=10)
    written, batch = write_graph(model, Spelled(), tmp_path / "model.onnx"), inputs(3, 9)
    with torch.no_grad():
        expected = model(**batch).last_hidden_state
    found = outputs_of(written.file, **batch)["last_hidden_state"]
    assert difference(found.numpy(), expected.numpy(), batch["attention_mask"].numpy() > 0) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pos", "classification", "parsing", "qa"])
def test_every_task(kind, tiny_teacher, tiny_tokenizer, tmp_path):
    task = task_kind(kind)(no_answer=False) if kind == "qa" else task_kind(kind)(("A", "B", "C"))
    model = task.new_model(tiny_teacher).eval()
    written = write_graph(model, tiny_tokenizer, tmp_path / "model.onnx")
    exported = OnnxEngine(written.file, model.config.to_dict())
    lines = ["Öğretmen kitabı okuyor, 3.", "bir", "Çocuklarımız her hafta ırmağın yanında yedi kitabı okuyor."]
    row = {"question": "Kim okuyor?", "context": lines[2]}
    examples = [task.parse_row(row)] if kind == "qa" else [task.parse(line) for line in lines]
    expected = task.predict(model, tiny_tokenizer, examples)
    save_model(model, tiny_tokenizer, tmp_path / "saved")
    found = task.predict(exported, FolderTokenizer(tmp_path / "saved", exported), examples)
    assert [one.labels for one in found] == [one.labels for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)
    outputs = {"parsing": ("arc_logits", "relation_logits"), "qa": ("start_logits", "end_logits")}
    assert written.outputs == outputs.get(kind, ("logits",))
    assert written.inputs[2:] == (("word_ids",) if kind == "parsing" else ())


@pytest.mark.slow
def test_a_bare_encoder(tiny_encoder, tmp_path):
    model = tiny_encoder("bert", AutoModel, type_vocab_size=1).eval()
    written = write_graph(model, Spelled(), tmp_path / "model.onnx")
    batch = inputs(3, 9)
    with torch.no_grad():
        expected = model(**batch).last_hidden_state
    found = outputs_of(written.file, **batch)["last_hidden_state"]
    assert written.outputs == ("last_hidden_state",)
    assert difference(found.numpy(), expected.numpy(), batch["attention_mask"].numpy() > 0) < 1e-4


@pytest.mark.slow
def test_token_types_where_the_tokenizer_gives_them(tiny_encoder, tmp_path):
    class Typed(Spelled):
        model_input_names = ("input_ids", "token_type_ids", "attention_mask")

        def __call__(self, text, **_):
            one = super().__call__(text)
            return one | {"token_type_ids": [0] * len(one["input_ids"])}

    model = tiny_encoder("bert", AutoModelForQuestionAnswering).eval()
    written = write_graph(model, Typed(), tmp_path / "model.onnx")
    assert written.inputs == ("input_ids", "attention_mask", "token_type_ids")
    batch = inputs(3, 9)
    types = torch.arange(9).ge(4).long().expand(3, 9)
    for given in ({}, {"token_type_ids": types}):
        with torch.no_grad():
            expected = model(**batch, **given).start_logits
        found = outputs_of(written.file, **batch, **given)["start_logits"]
        assert torch.allclose(found[:2], expected[:2], atol=1e-4)


@pytest.mark.slow
def test_a_graph_that_differs_is_refused(tiny_encoder, tmp_path, monkeypatch):
    model = tiny_encoder("bert", AutoModel).eval()
    monkeypatch.setattr(graph, "_SAME", 1e-12)
    with pytest.raises(BistilError, match="last_hidden_state of BertModel differ by"):
        write_graph(model, Spelled(), tmp_path / "model.onnx")


def test_difference_is_of_the_largest_value_at_real_tokens():
    import numpy as np

    expected = np.array([[[1.0], [4.0]], [[2.0], [9.0]]], dtype=np.float32)
    found = expected + np.array([[[0.0], [0.2]], [[0.0], [5.0]]], dtype=np.float32)
    real = np.array([[True, True], [True, False]])
    assert difference(found, expected, real) == pytest.approx(0.05)
    assert difference(found[:1], expected, real) == float("inf")
    low = np.full((1, 1), np.finfo(np.float32).min, dtype=np.float32)
    assert difference(low, low, real) == 0
    assert difference(low / 2, low, real) == float("inf")
