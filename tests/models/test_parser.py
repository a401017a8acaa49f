"""The parser as a model: its arithmetic by loops, and what transformers and distillation ask of a model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, BertConfig, BertForMaskedLM

import bistil
from bistil.evaluation.efficiency import size
from bistil.models.families import FAMILIES
from bistil.models.parser import BiaffineParser, ParserConfig, new_parser
from bistil.models.states import StateReader
from bistil.models.students import make_student
from bistil.sparse.delta import SparseDelta
from bistil.sparse.groups import encoder_parameters
from bistil.tasks import Parsing
from bistil.tasks.inference import max_length
from bistil.training.transfer import copy_head

RELATIONS = ("nsubj", "obj", "root")
BATCH = {
    "input_ids": torch.tensor([[5, 7, 8, 9, 6], [5, 11, 6, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
    "word_ids": torch.tensor([[-1, 0, 0, 1, -1], [-1, 0, -1, -1, -1]]),
}
GOLD = {"heads": torch.tensor([[2, 0], [0, -100]]), "labels": torch.tensor([[0, 2], [2, -100]])}


@pytest.fixture
def folder(tiny_encoder, tmp_path):
    """A function that saves the tiny encoder of a family."""

    def save(family, **changes):
        tiny_encoder(family, **changes).save_pretrained(tmp_path / family)
        return tmp_path / family

    return save


@pytest.fixture
def parser(folder):
    """A function that makes a parser of a family whose head gives large, varied scores."""

    def make(family, **changes):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = new_parser(folder(family, **changes), RELATIONS)
            inside = set(encoder_parameters(model))
            for name, value in model.named_parameters():
                if name not in inside:
                    torch.nn.init.normal_(value, 0.0, 0.3)
        return model.eval()

    return make


def activated(linear, vector):
    values = [float(row @ vector) + float(bias) for row, bias in zip(linear.weight, linear.bias, strict=True)]
    return torch.tensor([value if value > 0 else 0.1 * value for value in values])


@torch.no_grad()
def test_scores_agree_with_loops_over_words(parser):
    model = parser("bert")
    outputs = model(**BATCH)
    assert outputs.arc_logits.shape == (2, 2, 3)
    assert outputs.relation_logits.shape == (2, 2, 3, 3)
    for row, pieces in enumerate([[[1, 2], [3]], [[1]]]):
        states = model.encoder(BATCH["input_ids"][row : row + 1], BATCH["attention_mask"][row : row + 1])[0][0]
        words = [sum(states[piece] for piece in own) / len(own) for own in pieces]
        for word, dependent in enumerate(words):
            for column, head in enumerate([states[0], *words]):
                parts = (
                    (model.arc_dependents, model.arc_heads),
                    (model.relation_dependents, model.relation_heads),
                )
                (arc_d, arc_h), (relation_d, relation_h) = (
                    [
                        torch.cat([activated(side[0], vector), torch.ones(1)])
                        for side, vector in zip(pair, (dependent, head), strict=True)
                    ]
                    for pair in parts
                )
                arc = sum(float(arc_d[i] * (model.arcs.weight[0, i] @ arc_h)) for i in range(len(arc_d)))
                assert float(outputs.arc_logits[row, word, column]) == pytest.approx(arc, rel=1e-4, abs=1e-3)
                for relation in range(3):
                    score = float(relation_d @ (model.relations.weight[relation] @ relation_h))
                    found = float(outputs.relation_logits[row, word, column, relation])
                    assert found == pytest.approx(score, rel=1e-4, abs=1e-3)
    least = torch.finfo(torch.float32).min
    assert outputs.arc_logits[1, :, 2].tolist() == [least, least]  # there is no such word
    assert (outputs.arc_logits > least).sum() == 2 * 3 + 2 * 2


@torch.no_grad()
def test_loss_is_that_of_gold_heads_and_of_relations_to_them(parser):
    model = parser("bert")
    outputs = model(**BATCH, **GOLD)
    arcs, relations = outputs.arc_logits.log_softmax(-1), outputs.relation_logits.log_softmax(-1)
    gold = [(0, 0, 2, 0), (0, 1, 0, 2), (1, 0, 0, 2)]  # row, word, head, relation
    expected = -sum(arcs[r, w, h] for r, w, h, _ in gold) / 3 - sum(relations[place] for place in gold) / 3
    assert float(outputs.loss) == pytest.approx(float(expected), rel=1e-5)
    nothing = {name: torch.full_like(value, -100) for name, value in GOLD.items()}
    assert float(model(**BATCH, **nothing).loss) == 0


@torch.no_grad()
def test_padding_changes_nothing(parser):
    model = parser("xlm-roberta")
    alone = model(**{name: value[1:, :3] for name, value in BATCH.items()})
    beside = model(**BATCH)
    assert torch.allclose(alone.arc_logits[0], beside.arc_logits[1, :1, :2], atol=1e-4)
    assert torch.allclose(alone.relation_logits[0], beside.relation_logits[1, :1, :2], atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_loaded_whole_trained_saved_and_read(family, folder, tmp_path):
    encoder = AutoModel.from_pretrained(folder(family)).state_dict()
    with torch.random.fork_rng(devices=[]):
        model = new_parser(tmp_path / family, RELATIONS)
    assert model.base_model is model.encoder
    assert model.config.encoder is model.encoder.config
    inside = model.encoder.state_dict()
    assert set(inside) == {name for name in encoder if "pooler" not in name}
    assert all(torch.equal(value, encoder[name]) for name, value in inside.items())
    assert set(encoder_parameters(model)) == {f"encoder.{name}" for name, _ in model.encoder.named_parameters()}
    assert model.get_input_embeddings() is model.encoder.get_input_embeddings()
    assert model._supports_attention_backend == model.encoder._supports_attention_backend

    model.save_pretrained(tmp_path / "saved")
    assert {file.suffix for file in (tmp_path / "saved").iterdir()} == {".json", ".safetensors"}
    assert "auto_map" not in (tmp_path / "saved" / "config.json").read_text()
    again = AutoModel.from_pretrained(tmp_path / "saved")
    assert isinstance(again, BiaffineParser)
    assert again.config.to_dict() | {"_name_or_path": ""} == model.config.to_dict() | {
        "_name_or_path": "", "architectures": ["BiaffineParser"],
    }  # fmt: skip
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())

    before = again(**BATCH, **GOLD).loss.item()
    optimizer = torch.optim.SGD(again.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        again(**BATCH, **GOLD).loss.backward()
        optimizer.step()
    assert again(**BATCH, **GOLD).loss.item() < before


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_states_of_a_parser_are_those_of_its_encoder(family, parser):
    model = parser(family)
    inputs = {name: BATCH[name] for name in ("input_ids", "attention_mask")}
    expected = model.encoder(**inputs, output_hidden_states=True).hidden_states
    outputs, real = model(**BATCH), BATCH["attention_mask"].bool()
    found = StateReader(model, hidden=(2, 5), attention=(2, 5), relations=(5,))(BATCH | GOLD)
    for state, number in zip(found.hidden, (0, 2, 5), strict=True):
        assert torch.allclose(state[real], expected[number][real], atol=1e-4)
    assert [layer.shape for layer in found.attention] == [(2, 4, 5, 5)] * 2
    assert torch.allclose(found.attention[0][0].sum(-1), torch.ones(4, 5), atol=1e-4)
    assert torch.allclose(found.outputs.relation_logits[0], outputs.relation_logits[0], atol=1e-3)


def test_attention_implementations_reach_the_encoder(parser):
    model = parser("bert")
    model.set_attn_implementation("eager")
    assert model.encoder.config._attn_implementation == "eager"
    model.set_attn_implementation("sdpa")
    assert model.encoder.config._attn_implementation == model.config.encoder._attn_implementation == "sdpa"


def test_encoders_under_another_head_and_in_half_precision(tmp_path):
    """What the hub has of XLM-R or mBERT is a language model: its encoder is what the parser starts from."""
    config = BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    language_model = BertForMaskedLM(config).to(torch.float16)
    language_model.save_pretrained(tmp_path)
    model = new_parser(tmp_path, RELATIONS)
    for name, value in language_model.bert.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], value.float())
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert str(tmp_path) not in model.config.to_json_string()


def test_the_seed_fixes_the_head_and_the_rest_of_the_world_draws_on(folder):
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    one, same, other = (Parsing(RELATIONS).new_model(folder("bert"), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(one.arcs.weight, same.arcs.weight)
    assert not torch.equal(one.arcs.weight, other.arcs.weight)
    assert one.config.bistil_task == "parsing"


def test_length_and_size_are_those_of_the_encoder(folder, tiny_tokenizer):
    model = new_parser(folder("xlm-roberta"), RELATIONS)
    assert max_length(model, tiny_tokenizer) == 63  # of 64 positions the first, of padding, is free
    assert size(model)["layers"] == 5


@torch.no_grad()
def test_a_head_follows_the_projection_to_a_narrower_student(parser):
    """A state of the subspace and its projection give the same scores."""
    teacher, student = parser("bert"), parser("bert", hidden_size=8, num_attention_heads=2)
    projection = torch.linalg.qr(torch.randn(16, 8, generator=torch.Generator().manual_seed(0))).Q
    copy_head(teacher, student, projection)
    narrow = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    for name in ("arc_dependents", "arc_heads", "relation_dependents", "relation_heads"):
        ours, theirs = getattr(student, name)(narrow), getattr(teacher, name)(narrow @ projection.T)
        assert torch.allclose(ours, theirs, atol=1e-4)
    assert torch.equal(student.arcs.weight, teacher.arcs.weight)


def test_deltas_find_the_encoder_in_a_parser(parser, folder):
    """A language model's delta fits the parser on its encoder, and a parser's is taken of the bare encoder."""
    config = BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    path = folder("bert")
    BertForMaskedLM(config).save_pretrained(path)
    start = BertForMaskedLM.from_pretrained(path)
    model = new_parser(path, RELATIONS)
    tuned = BertForMaskedLM.from_pretrained(path)
    with torch.no_grad():
        tuned.bert.embeddings.word_embeddings.weight[3] += 1
        tuned.bert.encoder.layer[0].output.dense.bias[2] += 1
    everything = SparseDelta.diff(start, tuned)
    names = encoder_parameters(start)
    positions = {name: everything.indices[name] for name in names}
    language = SparseDelta.of(
        {name: start.get_parameter(name) for name in names}, tuned.requires_grad_(False), positions, "language"
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    language.apply(model)
    assert torch.equal(
        model.encoder.embeddings.word_embeddings.weight, tuned.bert.embeddings.word_embeddings.weight
    )
    assert torch.equal(
        model.encoder.encoder.layer[0].output.dense.bias, tuned.bert.encoder.layer[0].output.dense.bias
    )
    task = SparseDelta.diff(AutoModel.from_pretrained(path, add_pooling_layer=False), model)
    assert sum(map(len, task.indices.values())) == 17
    assert set(task.dense) == {name for name, _ in model.named_parameters() if not name.startswith("encoder.")}
    assert task.head["architecture"] == "BiaffineParser"
    language.remove(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_students_are_made_of_its_encoder(parser):
    student, _ = make_student(parser("bert").encoder, (2, 4))
    assert not student.config.hidden_dropout_prob


def test_configurations_hold_the_encoders(folder):
    config = new_parser(folder("modernbert"), RELATIONS).config
    again = ParserConfig.from_dict(config.to_dict())
    assert type(again.encoder).__name__ == "ModernBertConfig"
    assert again.to_dict() == config.to_dict()
    assert again.num_labels == 3


@pytest.mark.slow  # imports torch anew
def test_a_fresh_interpreter_loads_it_with_its_module_imported(parser, tmp_path):
    parser("bert").save_pretrained(tmp_path / "saved")
    code = (
        "import sys, bistil.models.parser\nfrom transformers import AutoModel\n"
        "model = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=False)\n"
        "print(type(model).__name__, len(model.config.id2label))"
    )
    source = str(Path(bistil.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "saved")],
        env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["BiaffineParser", "3"]
