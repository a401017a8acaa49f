"""Model and tokenizer together, as the models that people use have them."""

import json
from itertools import product

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    ByT5Tokenizer,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    EuroBertConfig,
    EuroBertForMaskedLM,
    GenerationConfig,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from bistil.errors import BistilError
from bistil.vocabulary.count import count_tokens
from bistil.vocabulary.trim import check_pair, closure, special_ids, trim_model, trim_tokenizer
from bistil.vocabulary.verify import verify

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 128,
}
DISTILLED = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 128}
DEBERTA = {**SIZES, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16}
MODERN = {**SIZES, "global_attn_every_n_layers": 2, "local_attention": 8}
PAIRS = {
    "mbert": ("mbert", BertForMaskedLM, BertConfig, SIZES),
    "distilmbert": ("mbert", DistilBertForMaskedLM, DistilBertConfig, DISTILLED),
    "xlm_roberta": ("xlm_roberta", XLMRobertaForMaskedLM, XLMRobertaConfig, SIZES),
    "mdeberta": ("mdeberta", DebertaV2ForMaskedLM, DebertaV2Config, DEBERTA),
    "mdeberta, newer head": ("mdeberta", DebertaV2ForMaskedLM, DebertaV2Config, {**DEBERTA, "legacy": False}),
    "mmbert": ("mmbert", ModernBertForMaskedLM, ModernBertConfig, MODERN),
    "modernbert": ("modernbert", ModernBertForMaskedLM, ModernBertConfig, MODERN),
    "modernbert, no bias": (
        "modernbert",
        ModernBertForMaskedLM,
        ModernBertConfig,
        {**MODERN, "decoder_bias": False},
    ),
    "eurobert": ("eurobert", EuroBertForMaskedLM, EuroBertConfig, {**SIZES, "num_key_value_heads": 1}),
}
TEXTS = ["The teacher reads the long letter.", "öğretmen taze ekmeği okuyor 日本", "a", ""]


def token_ids(config):
    return {name: value for name, value in config.to_dict().items() if name.endswith("_token_id")}


@pytest.fixture(params=product(PAIRS, ("tied", "untied")), ids=", ".join)
def teacher(request, layouts):
    """A tiny model of each family with its layout of a tokenizer, seven embedding rows more than tokens."""
    pair, tied = request.param[0], request.param[1] == "tied"
    layout, model_class, config_class, sizes = PAIRS[pair]
    if pair == "mdeberta, newer head" and not tied:
        pytest.skip("this head is the embedding")
    tokenizer = layouts[layout]
    known = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos", "cls", "sep")
    }
    if layout == "eurobert":
        known["mask_token_id"] = tokenizer.mask_token_id
    config = config_class(
        vocab_size=len(tokenizer) + 7, tie_word_embeddings=tied, initializer_range=0.2, **sizes, **known
    )
    torch.manual_seed(0)
    model = model_class(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    return model, tokenizer


@torch.no_grad()
def test_same_predictions_through_the_saved_folder(teacher, sample, tmp_path):
    model, tokenizer = teacher
    check_pair(model, tokenizer)
    lines = [*sample[:100], *TEXTS]
    counts = count_tokens(tokenizer, lines)
    required = special_ids(tokenizer) | closure(tokenizer, counts)(np.flatnonzero(counts).tolist())
    ids = np.array(sorted(required | set(np.flatnonzero(counts).tolist())))
    assert len(ids) < len(tokenizer)
    trim_model(model, ids).save_pretrained(tmp_path)
    trim_tokenizer(tokenizer, ids).save_pretrained(tmp_path)
    loaded, info = AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    loaded_tokenizer = AutoTokenizer.from_pretrained(tmp_path)

    for text in (*lines[:20], *TEXTS, f"the {tokenizer.mask_token} reads"):
        old = tokenizer(text, return_tensors="pt")
        new = loaded_tokenizer(text, return_tensors="pt")
        assert old.keys() == new.keys()
        assert ids[new.input_ids].tolist() == old.input_ids.tolist()
        if old.input_ids.shape[1]:
            expected = model(**old).logits[..., ids]
            torch.testing.assert_close(loaded.eval()(**new).logits, expected, rtol=0, atol=1e-5)
    batch, small = (each(TEXTS, padding=True, return_tensors="pt") for each in (tokenizer, loaded_tokenizer))
    real = batch.attention_mask.bool()
    torch.testing.assert_close(
        loaded(**small).logits[real], model(**batch).logits[real][:, ids], rtol=0, atol=1e-5
    )

    assert loaded.config.vocab_size == loaded.get_input_embeddings().num_embeddings == len(ids)
    assert token_ids(loaded.config) == {
        name: None if value is None else ids.tolist().index(value)
        for name, value in token_ids(model.config).items()
    }
    padding = model.get_input_embeddings().padding_idx
    assert ids[loaded.get_input_embeddings().padding_idx] == padding
    for name in (*tokenizer.SPECIAL_TOKENS_ATTRIBUTES, "clean_up_tokenization_spaces", "model_input_names"):
        assert getattr(loaded_tokenizer, name, None) == getattr(tokenizer, name, None)
    verified = verify(model, tokenizer, loaded, loaded_tokenizer, ids, {"en": lines})
    assert verified.max_difference <= 1e-5
    assert verified.languages["en"].changed_share == 0
    assert verified.languages["en"].unknown_after == verified.languages["en"].unknown_before


def bert(rows, padding=0):
    return BertModel(BertConfig(vocab_size=rows, pad_token_id=padding, **SIZES), add_pooling_layer=False)


def test_token_ids_of_both_configs(tmp_path):
    model = BertForMaskedLM(BertConfig(vocab_size=50, pad_token_id=0, eos_token_id=[7, 9, 11], **SIZES))
    model.generation_config = GenerationConfig(
        bos_token_id=7, eos_token_id=[9, 11], pad_token_id=0, forced_bos_token_id=8, suppress_tokens=[3, 11]
    )
    trimmed = trim_model(model, np.array([0, 3, 7, 11]))
    assert (trimmed.config.pad_token_id, trimmed.config.eos_token_id) == (0, [2, 3])
    trimmed.generation_config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "generation_config.json").read_text())
    expected = {"bos_token_id": 2, "eos_token_id": [3], "pad_token_id": 0, "suppress_tokens": [1, 3]}
    assert {name: saved.get(name) for name in (*expected, "forced_bos_token_id")} == {
        **expected,
        "forced_bos_token_id": None,
    }
    assert (model.config.eos_token_id, model.generation_config.bos_token_id) == ([7, 9, 11], 7)


def test_embedding_whose_padding_row_is_gone():
    trimmed = trim_model(bert(50, padding=40), np.array([0, 3]))
    assert trimmed.get_input_embeddings().padding_idx is None
    assert trimmed.config.pad_token_id is None


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (-1, "has {rows} rows, but the tokenizer has {tokens} tokens"),
        (5000, "has 5000 rows, but the tokenizer only {tokens} tokens"),
    ],
)
def test_model_and_tokenizer_that_do_not_belong_together(layouts, rows, complaint):
    tokenizer = layouts["mbert"]
    tokens = len(tokenizer)
    rows = rows if rows > 0 else tokens + rows
    check_pair(bert(tokens), tokenizer)
    check_pair(bert(tokens + 64), tokenizer)
    with pytest.raises(BistilError, match=complaint.format(rows=rows, tokens=tokens)):
        check_pair(bert(rows), tokenizer)


def test_padding_that_does_not_belong_to_the_model(layouts):
    tokenizer = layouts["mbert"]
    check_pair(
        bert(len(tokenizer), padding=1), tokenizer
    )  # only a name in the config, as multilingual-E5-small has
    roberta = XLMRobertaForMaskedLM(XLMRobertaConfig(vocab_size=len(tokenizer), pad_token_id=1, **SIZES))
    with pytest.raises(BistilError, match="positions from the padding id 1, but the tokenizer pads with 0"):
        check_pair(roberta, tokenizer)


def test_slow_tokenizer():
    with pytest.raises(BistilError, match="ByT5Tokenizer is a slow tokenizer"):
        check_pair(bert(400), ByT5Tokenizer())
    with pytest.raises(BistilError, match="ByT5Tokenizer is a slow tokenizer"):
        special_ids(ByT5Tokenizer())


def test_another_kind():
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    with pytest.raises(BistilError, match="kind WordLevel cannot be trimmed"):
        check_pair(bert(2), tokenizer)
    with pytest.raises(BistilError, match="of the kind Unigram, WordPiece, BPE"):
        trim_tokenizer(tokenizer, np.array([0, 1]))
