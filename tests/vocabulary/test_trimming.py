import json

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from bistil.errors import BistilError
from bistil.vocabulary import trim_vocabulary
from bistil.vocabulary.trim import trim_model, trim_tokenizer
from bistil.vocabulary.verify import verify


@pytest.fixture(scope="module")
def teacher(tiny_teacher):
    model = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False).eval()
    return model, AutoTokenizer.from_pretrained(tiny_teacher)


@pytest.fixture(scope="module")
def corpora(tiny_lines, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    for language, lines in tiny_lines.items():
        (folder / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
    return {language: [folder / f"{language}.txt"] for language in tiny_lines}


def test_without_a_threshold_nothing_is_cut(teacher, corpora, tiny_lines):
    model, tokenizer = teacher
    outcome = trim_vocabulary(model, tokenizer, corpora, min_probability=0)
    assert outcome.report["after"] == len(tokenizer)
    assert outcome.tokenizer(tiny_lines["tr"])["input_ids"] == tokenizer(tiny_lines["tr"])["input_ids"]
    rows = outcome.model.get_input_embeddings().weight
    assert torch.equal(rows[: len(tokenizer)], model.get_input_embeddings().weight[: len(tokenizer)])


def test_end_to_end(teacher, corpora, tiny_lines, tmp_path):
    model, tokenizer = teacher
    counted = []
    outcome = trim_vocabulary(model, tokenizer, corpora, min_probability=0.002, on_lines=counted.append)
    ids = outcome.selection.ids
    assert sum(counted) >= 2 * 198
    assert 20 < len(ids) < len(tokenizer)
    assert outcome.report == json.loads(json.dumps(outcome.report))
    assert (outcome.report["before"], outcome.report["after"]) == (len(tokenizer), len(ids))
    assert sum(outcome.report["reasons"].values()) == len(ids) == len(outcome.tokenizer)
    gone = (len(tokenizer) + 5 - len(ids)) * 32
    assert outcome.report["parameters_before"] - outcome.report["parameters_after"] == gone
    assert outcome.verification.max_difference <= 1e-5
    for language, lines in tiny_lines.items():
        held_out = [lines[1], lines[101]]
        old = [tokenizer.tokenize(line) for line in held_out]
        new = [outcome.tokenizer.tokenize(line) for line in held_out]
        measured = outcome.report["languages"][language]
        words = sum(len(line.split()) for line in held_out)
        kept = [token in outcome.tokenizer.get_vocab() for line in old for token in line]
        assert measured["lines"] == 2
        assert measured["coverage"] == pytest.approx(np.mean(kept))
        assert measured["changed_share"] == sum(a != b for a, b in zip(old, new, strict=True)) / 2
        assert measured["tokens_per_word_before"] == pytest.approx(sum(map(len, old)) / words)
        assert measured["tokens_per_word_after"] == pytest.approx(sum(map(len, new)) / words)
        assert measured["unknown_after"] == measured["unknown_before"] == 0
        # No text of the corpora gains an unknown token, held out or not.
        assert all(outcome.tokenizer.unk_token not in outcome.tokenizer.tokenize(line) for line in lines)
    outcome.model.save_pretrained(tmp_path)
    outcome.tokenizer.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    batch = AutoTokenizer.from_pretrained(tmp_path)(tiny_lines["tr"][:8], padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = outcome.model(**batch).last_hidden_state
        assert torch.equal(loaded(**batch).last_hidden_state, expected)


def test_a_low_threshold_changes_no_counted_line(teacher, corpora, tiny_lines):
    outcome = trim_vocabulary(*teacher, corpora)
    for lines in tiny_lines.values():
        for line in (line for number, line in enumerate(lines) if number % 100 != 1):
            assert outcome.tokenizer.tokenize(line) == teacher[1].tokenize(line)


def test_a_corpus_of_one_line(teacher, tmp_path):
    (tmp_path / "x.txt").write_text("the doctor\n")
    outcome = trim_vocabulary(*teacher, {"en": [tmp_path / "x.txt"]})
    assert outcome.verification.languages["en"].lines == 0
    assert outcome.tokenizer.tokenize("the doctor") == teacher[1].tokenize("the doctor")


def test_a_difference_is_an_error(teacher, tiny_lines):
    model, tokenizer = teacher
    ids = np.arange(len(tokenizer))
    wrong = trim_model(model, ids)
    with torch.no_grad():
        wrong.get_input_embeddings().weight += 0.01 * torch.randn(len(ids), 32)
    trimmed = trim_tokenizer(tokenizer, ids)
    assert verify(model, tokenizer, trim_model(model, ids), trimmed, ids, tiny_lines).max_difference <= 1e-5
    with pytest.raises(BistilError, match="hidden states differ from the teacher"):
        verify(model, tokenizer, wrong, trimmed, ids, tiny_lines)
