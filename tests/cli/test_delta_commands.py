"""The delta commands on tiny model folders, from the outside."""

import copy
import json
import shutil

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    AutoTokenizer,
)
from typer.testing import CliRunner

from bistil.cli import app, main
from bistil.runtime.pooling import Pooling
from bistil.sparse.delta import SparseDelta
from bistil.tasks import PartOfSpeech, QuestionAnswering


@pytest.fixture
def folders(tiny_teacher, tiny_tokenizer, tmp_path):
    """The encoder's folder, a tagger's folder whose encoder differs in places, and where to write."""
    tagger = PartOfSpeech(("DET", "NOUN")).new_model(tiny_teacher, seed=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in tagger.bert.parameters():
            value[torch.rand(value.shape, generator=generator) < 0.1] += 1
    tagger.save_pretrained(tmp_path / "tagger")
    tiny_tokenizer.save_pretrained(tmp_path / "tagger")
    return str(tiny_teacher), str(tmp_path / "tagger"), tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["delta", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_difference_put_on_the_base_is_the_tuned_model(folders):
    base, tuned, out = folders
    run("diff", base, tuned, "--out", str(out / "delta"))
    run("apply", str(out / "delta"), "--model", base, "--out", str(out / "again"))
    mine, theirs = (AutoModelForTokenClassification.from_pretrained(f) for f in (out / "again", tuned))
    assert mine.config.id2label == theirs.config.id2label
    assert mine.config.bistil_task == "pos"
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)
    assert len(AutoTokenizer.from_pretrained(out / "again")) == len(AutoTokenizer.from_pretrained(base))


def test_a_delta_that_was_trained_in_float32_on_a_model_saved_in_bfloat16(folders, tiny_tokenizer):
    base, _, out = folders
    saved = AutoModel.from_pretrained(base, dtype=torch.bfloat16)
    for part in (saved, tiny_tokenizer):
        part.save_pretrained(out / "saved")
    start = saved.float()
    tuned = copy.deepcopy(start)
    with torch.no_grad():
        tuned.embeddings.word_embeddings.weight[3] += 0.1
    SparseDelta.diff(start, tuned, "language").save(out / "delta")
    run("apply", str(out / "delta"), "--model", str(out / "saved"), "--out", str(out / "again"))
    again = AutoModel.from_pretrained(out / "again").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in tuned.state_dict().items())


def test_what_a_task_keeps_in_its_model_comes_back(folders, tiny_teacher, tiny_tokenizer, capsys):
    base, _, out = folders
    for part in (QuestionAnswering(no_answer=True).new_model(tiny_teacher), tiny_tokenizer):
        part.save_pretrained(out / "tuned")
    run("diff", base, str(out / "tuned"), "--out", str(out / "delta"))
    run("apply", str(out / "delta"), "--model", base, "--out", str(out / "again"))
    assert QuestionAnswering.from_model(AutoModelForQuestionAnswering.from_pretrained(out / "again")).no_answer
    description = out / "delta" / "sparse_delta.json"
    text = description.read_text()
    earlier = json.loads(text)
    del earlier["head"]["settings"]
    description.write_text(json.dumps(earlier))
    run("apply", str(out / "delta"), "--model", base, "--out", str(out / "earlier"))
    description.write_text(text.replace("bistil_no_answer", "auto_map"))
    assert main(["delta", "apply", str(out / "delta"), "--model", base, "--out", str(out / "never")]) == 2
    assert "settings" in capsys.readouterr().err


def test_a_sentence_embedding_model_stays_one_but_under_the_head_of_a_task(folders, tiny_teacher):
    base, tuned, out = folders
    shutil.copytree(base, out / "embeds")
    Pooling("cls", False, {"query": "query: "}).save(out / "embeds", 32)
    learned = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False)
    with torch.no_grad():
        learned.encoder.layer[0].output.dense.bias += 1
    for part in (learned, AutoTokenizer.from_pretrained(base)):
        part.save_pretrained(out / "learned")
    run("diff", base, str(out / "learned"), "--out", str(out / "language"))
    run("diff", base, tuned, "--out", str(out / "task"))
    for name in ("language", "task"):
        run("apply", str(out / name), "--model", str(out / "embeds"), "--out", str(out / f"{name}-applied"))
    assert Pooling.of(out / "language-applied") == Pooling.of(out / "embeds")
    assert Pooling.known(out / "task-applied") is None


@pytest.mark.parametrize("architecture", ["NoSuchModel", "pipeline"])
def test_head_that_is_no_model_of_transformers(folders, capsys, architecture):
    base, tuned, out = folders
    run("diff", base, tuned, "--out", str(out / "delta"))
    description = out / "delta" / "sparse_delta.json"
    description.write_text(description.read_text().replace("BertForTokenClassification", architecture))
    arguments = ["delta", "apply", str(out / "delta"), "--model", base, "--out", str(out / "again")]
    assert main(arguments) == 2
    assert f"head is of a {architecture}, which transformers does not have" in capsys.readouterr().err
    assert not (out / "again").exists()


def test_info(folders):
    base, tuned, out = folders
    run("diff", base, tuned, "--out", str(out / "delta"))
    lines = dict(line.split(maxsplit=1) for line in run("info", str(out / "delta")).splitlines() if line)
    assert lines["kind"] == "difference"
    assert 9 < float(lines["density"].rstrip("%")) < 11
    assert lines["head"] == "BertForTokenClassification"
    assert lines["labels"] == "DET, NOUN"
    assert lines["bert.encoder.layer.0.attention.self.query.weight"].split()[0] == "32×32"


def test_merge_adds_up_with_factors(folders, tiny_teacher):
    base, _, out = folders
    tuned = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False)
    with torch.no_grad():
        tuned.encoder.layer[0].output.dense.bias += 1
    tuned.save_pretrained(out / "tuned")
    AutoTokenizer.from_pretrained(tiny_teacher).save_pretrained(out / "tuned")
    run("diff", base, str(out / "tuned"), "--out", str(out / "a"))
    run("merge", str(out / "a"), f"0.5*{out / 'a'}", "--model", base, "--out", str(out / "sum"))
    before = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False)
    expected = before.encoder.layer[0].output.dense.bias + 1.5
    SparseDelta.load(out / "sum").merge(before)
    assert torch.allclose(before.encoder.layer[0].output.dense.bias, expected)


def test_import_for_a_trimmed_model(folders, tiny_teacher):
    base, _, out = folders
    rows = AutoModel.from_pretrained(tiny_teacher).get_input_embeddings().weight.shape[0]
    kept = np.arange(0, 2 * rows, 2)  # as if the published model had twice the rows
    (out / "kept_tokens.tsv").write_text(
        "id\told_id\n" + "".join(f"{new}\t{old}\n" for new, old in enumerate(kept))
    )
    size, step = (2 * rows, 32), 2 * rows * 5  # a difference of 1 in column 5 of old row 0 and of old row 1
    encoded = {"size": torch.Size(size), "index_steps": [step, 1], "values": torch.ones(2)}
    torch.save({"diffs": {"bert.embeddings.word_embeddings.weight": encoded}, "abs": {}}, out / "pytorch_diff.bin")
    table = str(out / "kept_tokens.tsv")
    text = run("import", str(out), "--model", base, "--kept-tokens", table, "--out", str(out / "delta"))
    assert f"{1 / (32 * rows):.2%} of the entries" in text
    delta = SparseDelta.load(out / "delta")
    assert delta.indices["bert.embeddings.word_embeddings.weight"].tolist() == [5]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "none/at/all"], "no folder none/at/all"),
        (["apply", "x*tagger", "--model", "base", "--out", "o"], "no delta with a factor"),
        (["apply", "nan*tagger", "--model", "base", "--out", "o"], "not finite"),
        (["merge", "1e400*tagger", "--model", "base", "--out", "o"], "not finite"),
        (["apply", "tagger", "--model", "base", "--out", "tagger"], "exists already"),
        (["import", "tagger", "--model", "base", "--out", "o"], "pytorch_diff.bin does not exist"),
    ],
)
def test_errors_are_one_line(folders, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(folders[2])
    assert main(["delta", *arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("bistil: ")
    assert message.count("\n") == 1
    assert words in message


@pytest.mark.parametrize(
    "command", ["delta info", "delta apply", "delta merge", "delta diff", "delta import", "adapt"]
)
def test_help_has_examples(command):
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert f"\n  bistil {command} " in result.stdout
