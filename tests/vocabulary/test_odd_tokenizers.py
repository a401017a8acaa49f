"""Trimming of tokenizers with unused ids, without an unknown token, of bytes in Unigram, and with BPE dropout."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from bistil.models import teachers
from bistil.tasks import PartOfSpeech
from bistil.tasks.saved import load
from bistil.vocabulary import trim_vocabulary
from bistil.vocabulary.count import count_tokens
from bistil.vocabulary.trim import closure, special_ids, trim_tokenizer

SHORT = ["the teacher reads", "a student sees the boat"]


def encoder(ids):
    config = BertConfig(
        vocab_size=ids, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return BertModel(config, add_pooling_layer=False).eval()


def corpora(sample):
    return {"en": iter(sample[:60]), "tr": iter(sample[100:160])}


def trained(kind, sample, unknown=None, byte_level=False):
    """A tokenizer of a kind, with an unknown token or without."""
    model, trainer = {
        "Unigram": (models.Unigram(), trainers.UnigramTrainer),
        "WordPiece": (models.WordPiece(unk_token=unknown or "[UNK]"), trainers.WordPieceTrainer),
        "BPE": (models.BPE(unk_token=unknown), trainers.BpeTrainer),
    }[kind]
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel() if byte_level else pre_tokenizers.Whitespace()
    options = {"unk_token": unknown} if kind == "Unigram" else {}
    backend.train_from_iterator(
        sample,
        trainer(
            vocab_size=600,
            special_tokens=[unknown] if unknown else [],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if byte_level else [],
            show_progress=False,
            **options,
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, **({"unk_token": unknown} if unknown else {}))


def trimmed_for(tokenizer, lines):
    counts = count_tokens(tokenizer, lines)
    kept = special_ids(tokenizer) | set(np.flatnonzero(counts).tolist())
    return trim_tokenizer(tokenizer, np.array(sorted(kept | closure(tokenizer, counts)(kept))))


@pytest.mark.parametrize("kind", ["Unigram", "WordPiece", "BPE"])
def test_without_an_unknown_token_all_that_could_be_read_still_can(kind, sample):
    tokenizer = trained(kind, sample)
    trimmed = trimmed_for(tokenizer, SHORT)
    assert len(trimmed) < len(tokenizer)

    def characters(one, line):
        return "".join(piece.removeprefix("##") for piece in one.tokenize(line))

    for line in sample:
        assert characters(trimmed, line) == characters(tokenizer, line) == "".join(line.split())


def test_unigram_of_bytes_keeps_all_of_them(sample):
    tokenizer = trained("Unigram", sample, unknown="[UNK]", byte_level=True)
    trimmed = trimmed_for(tokenizer, SHORT)
    assert len(trimmed) < len(tokenizer)

    @given(st.text(max_size=20))
    def nothing_is_unknown(text):
        assert trimmed.unk_token_id not in trimmed(text).input_ids

    nothing_is_unknown()


def with_gaps(tokenizer):
    """The tokenizer with ids three times as large, so that two of three stand for nothing."""
    raw = json.loads(tokenizer.backend_tokenizer.to_str())
    raw["model"]["vocab"] = {piece: 3 * number for piece, number in raw["model"]["vocab"].items()}
    for token in raw["added_tokens"]:
        token["id"] *= 3
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(raw)), unk_token="[UNK]")


@pytest.mark.parametrize("kind", ["WordPiece", "BPE"])
@pytest.mark.parametrize(
    "rule", [{"min_probability": 0}, {"min_count": 1, "size_multiple": 64}, {"top_k": 300}, {"max_changed": 0.01}]
)
def test_ids_without_a_token_are_not_kept(kind, rule, sample):
    whole = trained(kind, sample, unknown="[UNK]")
    tokenizer = with_gaps(whole)
    ids = max(tokenizer.get_vocab().values()) + 1
    assert ids > 2 * len(tokenizer)
    model = encoder(ids)
    found = trim_vocabulary(model, tokenizer, corpora(sample), **rule)
    plain = trim_vocabulary(encoder(len(whole)), whole, corpora(sample), **rule)
    assert (found.selection.ids == 3 * plain.selection.ids).all()
    assert found.tokenizer.get_vocab() == plain.tokenizer.get_vocab()
    rows = model.get_input_embeddings().weight[found.selection.ids]
    assert torch.equal(found.model.get_input_embeddings().weight, rows)


@pytest.fixture
def dropping(sample):
    tokenizer = trained("BPE", sample, unknown="[UNK]")
    tokenizer.backend_tokenizer.model.dropout = 0.5
    assert len({tuple(tokenizer("the teacher reads").input_ids) for _ in range(20)}) > 1
    return tokenizer


def segmentations(tokenizer):
    return {tuple(tokenizer(line).input_ids) for line in ["the teacher reads the small house"] * 20}


def test_trimming_is_without_dropout_and_says_so(dropping, sample, caplog):
    model = encoder(len(dropping))
    found, again = (trim_vocabulary(model, dropping, corpora(sample)) for _ in range(2))
    assert found.tokenizer.backend_tokenizer.to_str() == again.tokenizer.backend_tokenizer.to_str()
    assert len(segmentations(found.tokenizer)) == 1
    assert "a BPE dropout of 0.5" in caplog.messages[0]
    assert dropping.backend_tokenizer.model.dropout == 0.5  # the one given is left as it is


def test_a_loaded_tokenizer_is_without_dropout(dropping, tmp_path, caplog):
    encoder(len(dropping)).save_pretrained(tmp_path / "teacher")
    PartOfSpeech(("NOUN", "VERB")).new_model(tmp_path / "teacher").save_pretrained(tmp_path / "task")
    for folder in ("teacher", "task"):
        dropping.save_pretrained(tmp_path / folder)
    for tokenizer in (
        teachers.load(tmp_path / "teacher")[1],
        teachers.load_as_saved(tmp_path / "teacher")[1],
        load(tmp_path / "task")[1],
    ):
        assert len(segmentations(tokenizer)) == 1
    assert sum("a BPE dropout of 0.5" in message for message in caplog.messages) == 3


def test_other_tokenizers_are_left_as_they_are(layouts, caplog):
    from bistil.corpora.tokenizers import without_dropout

    assert all(without_dropout(tokenizer) is tokenizer for tokenizer in layouts.values())
    assert caplog.messages == []
