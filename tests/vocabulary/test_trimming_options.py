import csv
import json

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForMaskedLM, BertModel

import bistil
from bistil.cli import main
from bistil.errors import BistilError
from bistil.models.teachers import load_as_saved
from bistil.pipeline.trimmed import save_trimmed
from bistil.report.vocabularyplot import coverage_curve
from bistil.vocabulary import trim_vocabulary


@pytest.fixture(scope="module")
def teacher(tiny_teacher):
    return load_as_saved(tiny_teacher)


@pytest.fixture(scope="module")
def texts(tiny_lines, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    for language, lines in tiny_lines.items():
        (folder / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
    return {language: folder / f"{language}.txt" for language in tiny_lines}


@pytest.fixture
def masked(tiny_tokenizer, tmp_path):
    """A folder with a tiny BERT for masked language modelling."""
    config = BertConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=128,
        pad_token_id=1,
    )
    BertForMaskedLM(config).save_pretrained(tmp_path / "masked")
    tiny_tokenizer.save_pretrained(tmp_path / "masked")
    return tmp_path / "masked"


def test_exact_size(teacher, texts):
    outcome = trim_vocabulary(*teacher, texts, top_k=150)
    assert len(outcome.selection.ids) == len(outcome.tokenizer) == outcome.report["after"] == 150
    assert outcome.report["top_k"] == 150
    with pytest.raises(BistilError, match=r"top_k allows 9 tokens, but \d+ must be kept"):
        trim_vocabulary(*teacher, texts, top_k=9)


def test_sizes_are_rounded_up(teacher, texts):
    outcome = trim_vocabulary(*teacher, texts, min_probability=0.002, size_multiple=64)
    assert len(outcome.selection.ids) % 64 == 0
    assert outcome.report["reasons"]["multiple"] < 64


def test_a_list_is_kept(teacher, texts):
    options = {"min_probability": 0.01}
    plain = trim_vocabulary(*teacher, texts, **options)
    lost = sorted(set(teacher[1].get_vocab()) - set(plain.tokenizer.get_vocab()))
    kept = trim_vocabulary(*teacher, texts, keep=[lost[0], "mühendis okuyor"], **options)
    assert lost[0] in kept.tokenizer.get_vocab()
    assert kept.tokenizer.tokenize("mühendis okuyor") == teacher[1].tokenize("mühendis okuyor")
    assert kept.report["reasons"]["listed"] >= 1


def test_a_word_of_a_list_is_kept_behind_a_space_too(tmp_path, layouts):
    """There it is another token of byte-level BPE."""
    tokenizer = layouts["modernbert"]
    known = tokenizer.get_vocab()
    word = next(one[1:] for one in sorted(known) if one[0] == "Ġ" and one[1:].isalpha() and len(one) > 5)
    config = BertConfig(
        vocab_size=max(known.values()) + 1, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    text = {"en": tmp_path / "en.txt"}
    text["en"].write_text("a b\n", "utf-8")
    for part in (BertModel(config), tokenizer):
        part.save_pretrained(tmp_path / "whole")
    bistil.trim(
        tmp_path / "whole", text=text, keep=[word], min_count=1, output_dir=tmp_path / "small",
        progress=False,
    )  # fmt: skip
    small = AutoTokenizer.from_pretrained(tmp_path / "small")
    for line in (word, f"a {word}"):
        assert small.tokenize(line) == tokenizer.tokenize(line)
    with pytest.raises(BistilError, match=f"keep is the text '{word}'. Give a list"):
        bistil.trim(tmp_path / "whole", text=text, keep=word, output_dir=tmp_path / "other")


def test_likely_tokens_by_default_or_when_asked_for(teacher, texts):
    paper = trim_vocabulary(*teacher, texts, min_probability=1e-6)
    default = trim_vocabulary(*teacher, texts)
    assert paper.report["max_changed"] is None
    assert (default.report["min_probability"], default.report["max_changed"]) == (1e-6, 0.01)
    assert set(paper.selection.ids.tolist()) <= set(default.selection.ids.tolist())
    strict = trim_vocabulary(*teacher, texts, min_probability=0.01, max_changed=0.02)
    assert "likely" in strict.report["reasons"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 50, "coverage": 0.9}, "coverage and top_k are two rules for the same thing"),
        ({"top_k": 50, "max_changed": 0.01}, "top_k sets the exact size, so that max_changed cannot"),
        ({"max_changed": 2}, r"max_changed is 2\."),
        ({"coverage": 90}, r"coverage is 90\."),
    ],
)
def test_contradictions(teacher, texts, options, message):
    with pytest.raises(BistilError, match=message):
        trim_vocabulary(*teacher, texts, **options)
    with pytest.raises(BistilError, match="No corpus is given"):
        trim_vocabulary(*teacher, {})


def test_what_is_saved(teacher, texts, tiny_teacher, tmp_path):
    outcome = trim_vocabulary(*teacher, texts, min_probability=0.002)
    report = save_trimmed(outcome, tmp_path / "out", tiny_teacher)
    assert report == json.loads((tmp_path / "out/vocabulary.json").read_text())
    assert report["disk_bytes_before"] > report["disk_bytes_after"] > 0
    with (tmp_path / "out/kept_tokens.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    old, new = teacher[1], AutoTokenizer.from_pretrained(tmp_path / "out")
    for row in rows:
        assert new.convert_ids_to_tokens(int(row["id"])) == row["token"]
        assert old.convert_ids_to_tokens(int(row["old_id"])) == row["token"]
        assert int(row["count_en"]) == outcome.counts["en"][int(row["old_id"])]
    assert [row["reason"] for row in rows] == list(outcome.selection.reasons)
    assert "<svg" in (tmp_path / "out/vocabulary_size.svg").read_text()
    AutoModel.from_pretrained(tmp_path / "out")
    assert save_trimmed(outcome, tmp_path / "out", tiny_teacher) == report
    (tmp_path / "out/mine.txt").touch()
    with pytest.raises(BistilError, match=r"mine\.txt was not written by bistil"):
        save_trimmed(outcome, tmp_path / "out")


def test_coverage_by_size_is_that_of_sorted_counts():
    counts = {"en": np.array([6, 0, 3, 1, 0]), "tr": np.array([0, 5, 5, 0, 0])}
    # By the best share: 0 (.6), 1 and 2 (.5), 3 (.1).
    assert coverage_curve(counts) == {"size": [4], "en": [1.0], "tr": [1.0]}
    many = {"en": np.arange(300)[::-1]}
    curve = coverage_curve(many)
    for size, covered in zip(curve["size"], curve["en"], strict=True):
        assert covered == pytest.approx(many["en"][:size].sum() / many["en"].sum())


def test_command(masked, texts, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BISTIL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "keep.txt").write_text("öğretmen\n")
    words = ["vocab", str(masked), *(f"--text={language}={path}" for language, path in texts.items())]
    words += [f"--out={tmp_path / 'small'}", "--min-probability=0.004", f"--keep={tmp_path / 'keep.txt'}"]
    words += ["--vocab-size-multiple=8"]
    with pytest.raises(SystemExit, match="0"):
        main(words)
    printed = capsys.readouterr().out
    for word in ("parameters", "of these embeddings", "disk", "tokens per word", "kept:", "small"):
        assert word in printed
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "small")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "small")
    assert model.config.vocab_size == len(tokenizer)
    assert len(tokenizer) % 8 == 0
    old, old_tokenizer = AutoModelForMaskedLM.from_pretrained(masked), AutoTokenizer.from_pretrained(masked)
    ids = old_tokenizer.convert_tokens_to_ids(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    with torch.inference_mode():
        logits = model(**tokenizer("öğretmen", return_tensors="pt")).logits
        expected = old(**old_tokenizer("öğretmen", return_tensors="pt")).logits[..., ids]
    assert torch.allclose(logits, expected, atol=1e-6)
    with pytest.raises(SystemExit, match="0"):
        main(words)
    (tmp_path / "small/config.json").write_text("{}")
    assert main(words) == 2
    assert "config.json was not written by bistil, or was changed since" in capsys.readouterr().err
    assert len(list((tmp_path / "cache/counts").iterdir())) == 2


def test_command_errors(masked, tmp_path, capsys):
    for words, message in (
        (["--text=en.txt"], "--text takes LANG=TEXT"),
        ([f"--text=en={tmp_path / 'gone.txt'}"], "gone.txt does not exist"),
    ):
        assert main(["vocab", str(masked), *words, f"--out={tmp_path / 'small'}"]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "small").exists()


def test_models_are_loaded_as_they_were_saved(masked, tmp_path):
    assert type(load_as_saved(masked)[0]) is BertForMaskedLM
    model = BertForMaskedLM.from_pretrained(masked).bert  # has no pooler
    model.to(torch.bfloat16).save_pretrained(tmp_path / "bare")
    AutoTokenizer.from_pretrained(masked).save_pretrained(tmp_path / "bare")
    loaded = load_as_saved(tmp_path / "bare")[0]
    assert loaded.pooler is None
    assert loaded.dtype == torch.bfloat16
    (masked / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(BistilError, match="encoder-decoder"):
        load_as_saved(masked)
