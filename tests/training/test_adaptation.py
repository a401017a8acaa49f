"""Language adaptation of tiny models: what learns, what stays, and what a model without a head is told."""

import copy
from dataclasses import replace

import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, BertConfig, BertForMaskedLM
from typer.testing import CliRunner

from bistil.cli import app, main
from bistil.corpora.blocks import load_blocks, pack, save_blocks
from bistil.corpora.masked import MaskedBlocks
from bistil.corpora.masking import Masking
from bistil.sparse.delta import SparseDelta
from bistil.training.adaptation import Adaptation, adapt, masked_loss
from bistil.training.ticket import Length


@pytest.fixture
def blocks(tiny_lines, tiny_tokenizer, tmp_path):
    save_blocks(tmp_path, "tr", pack(tiny_tokenizer, tiny_lines["tr"], 32, "tr"))
    return load_blocks(tmp_path, "tr")


@pytest.fixture
def model(tiny_tokenizer) -> BertForMaskedLM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(tiny_tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            pad_token_id=1,
        )
        return BertForMaskedLM(config).eval()


TRAINING = Adaptation((Length(3), Length(3)), batch=8, learning_rate=3e-3, density=0.3, seed=0)
SHORT = replace(TRAINING, lengths=(Length(1, max_steps=3), Length(1, max_steps=4)))


def test_only_the_encoder_learns_and_the_loss_falls(model, blocks, tiny_tokenizer, tmp_path):
    training, held_out = blocks
    masking = Masking.of(tiny_tokenizer)
    start = copy.deepcopy(model)
    seen: list[int] = []
    delta = adapt(model, training, masking, TRAINING, tmp_path / "ticket", lambda step, text: seen.append(step))
    assert sorted(set(seen)) == list(range(sum(TRAINING.phase_steps(len(training))) + 1))
    assert masked_loss(model, held_out, masking, 8) < masked_loss(start, held_out, masking, 8) - 0.05
    assert not delta.dense
    assert all(name.startswith("bert.") and "LayerNorm" not in name for name in delta.indices)
    assert delta.density == pytest.approx(0.3, abs=1e-3)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    before = dict(start.named_parameters())
    for name, value in model.named_parameters():
        if name not in delta.indices:
            assert torch.equal(value, before[name]), name
    again = copy.deepcopy(start)
    delta.merge(again)
    for one, other in zip(again.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_delta_fits_the_encoder_alone(model, blocks, tiny_tokenizer, tmp_path):
    model.save_pretrained(tmp_path / "model")
    delta = adapt(model, blocks[0], Masking.of(tiny_tokenizer), SHORT, tmp_path / "t", lambda step, text: None)
    encoder = AutoModel.from_pretrained(tmp_path / "model", add_pooling_layer=False)
    delta.merge(encoder)
    for one, other in zip(encoder.parameters(), model.bert.parameters(), strict=True):
        assert torch.equal(one, other)


def test_killed_adaptation_goes_on_to_the_same_delta(model, blocks, tiny_tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr("bistil.training.trainer._CHECKPOINT_SECONDS", 0.0)  # a checkpoint every step
    masking = Masking.of(tiny_tokenizer)
    whole, broken, again = (copy.deepcopy(model) for _ in range(3))
    expected = adapt(whole, blocks[0], masking, SHORT, tmp_path / "a", lambda step, text: None)
    stop = sum(SHORT.phase_steps(len(blocks[0]))) - 1

    def killed(step: int, text: str) -> None:
        if step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(broken, blocks[0], masking, SHORT, tmp_path / "b", killed)
    assert broken.get_output_embeddings().weight is broken.get_input_embeddings().weight
    steps: list[int] = []
    found = adapt(again, blocks[0], masking, SHORT, tmp_path / "b", lambda step, text: steps.append(step))
    assert steps[0] == stop - 1
    for name, values in expected.values.items():
        assert torch.equal(values, found.values[name]), name


def test_items_repeat_in_any_company(blocks, tiny_tokenizer):
    data = MaskedBlocks({"": blocks[0]}, Masking.of(tiny_tokenizer), 4, 3, seed=1)
    assert len(data) == 12
    together = data.__getitems__([3, 7])
    for item, row in zip((3, 7), together, strict=True):
        for name in ("input_ids", "labels"):
            assert torch.equal(row[name], data[item][name])
    assert (together[0]["labels"] >= 0).any()


@pytest.fixture
def text(tiny_lines, tmp_path) -> str:
    (tmp_path / "tr.txt").write_text("\n".join(tiny_lines["tr"]))
    return str(tmp_path / "tr.txt")


def test_teacher_without_a_head_is_explained(tiny_teacher, text, tmp_path, capsys):
    out = tmp_path / "delta"
    assert main(["adapt", str(tiny_teacher), "--text", text, "--out", str(out), "--sequence-length", "32"]) == 2
    message = capsys.readouterr().err
    assert "BertModel has no language-modelling head" in message
    assert "--head-steps 1000" in message
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--learning-rate", "nan"], "learning_rate is nan. Give one above 0"),
        (["--learning-rate", "-1"], "learning_rate is -1.0"),
        (["--learning-rate", "0"], "learning_rate is 0.0"),
        (["--epochs", "0", "0"], "0 epochs and at least 0 steps trains nothing. Give 1 epoch or more"),
        (["--epochs", "-1", "-1", "--min-steps", "9"], "-1 epochs"),
    ],
)
def test_settings_that_train_nothing_are_refused_before_anything_runs(options, words, text, tmp_path, capsys):
    assert main(["adapt", "no/such/model", "--text", text, "--out", str(tmp_path / "delta"), *options]) == 2
    assert words in capsys.readouterr().err


def test_head_first_then_the_language(tiny_teacher, text, tmp_path):
    out = tmp_path / "delta"
    arguments = [
        "adapt",
        str(tiny_teacher),
        "--text",
        text,
        "--out",
        str(out),
        "--sequence-length",
        "32",
        "--density",
        "0.1",
    ]
    arguments += ["--head-steps", "20", "--epochs", "2", "2", "--learning-rate", "1e-3", "--max-steps", "9"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "Training a head: done" in result.stdout
    assert "loss on held-out text" in result.stdout
    delta = SparseDelta.load(out)
    encoder = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False)
    delta.merge(encoder)  # the encoder under the new head was the teacher's own
    (head,) = (out / "stages").glob("head-*")
    trained = AutoModelForMaskedLM.from_pretrained(head / "model")
    assert not torch.equal(trained.cls.predictions.transform.dense.weight, torch.zeros(32, 32))
    assert torch.equal(trained.bert.embeddings.word_embeddings.weight, trained.get_output_embeddings().weight)
    again = CliRunner().invoke(app, arguments)
    assert "Language adaptation: reused" in again.stdout
