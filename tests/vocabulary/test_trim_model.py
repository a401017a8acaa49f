import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from bistil.errors import BistilError
from bistil.vocabulary.trim import trim_model

IDS = np.array([0, 1, 2, 3, 7, 8, 20, 49])
TOKENS = torch.tensor([[0, 4, 5, 6, 2], [0, 7, 2, 1, 1]])
SIZES = {
    "vocab_size": 57,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 57,  # as many rows as the vocabulary: must not be mistaken for it
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 49,
    "sep_token_id": 30,
}


def masked_lm(model_class, config_class, **options):
    torch.manual_seed(0)
    model = model_class(config_class(**SIZES, **options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    return model


@torch.no_grad()
def test_encoder_of_the_tiny_teacher(tiny_teacher):
    teacher = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False).eval()
    rows = teacher.get_input_embeddings().weight.clone()
    trimmed = trim_model(teacher, IDS)
    assert torch.equal(trimmed.get_input_embeddings().weight, rows[IDS])
    assert trimmed.config.vocab_size == trimmed.get_input_embeddings().num_embeddings == len(IDS)
    mask = (TOKENS != 1).long()
    old = teacher(torch.from_numpy(IDS)[TOKENS], mask, output_hidden_states=True).hidden_states
    new = trimmed(TOKENS, mask, output_hidden_states=True).hidden_states
    for before, after in zip(old, new, strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=1e-6)
    # The teacher is left as it was and shares no weight.
    assert torch.equal(teacher.get_input_embeddings().weight, rows)
    assert teacher.config.vocab_size == len(rows)
    pointers = {parameter.data_ptr() for parameter in teacher.parameters()}
    assert pointers.isdisjoint(parameter.data_ptr() for parameter in trimmed.parameters())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("model_class", "config_class"),
    [(BertForMaskedLM, BertConfig), (XLMRobertaForMaskedLM, XLMRobertaConfig)],
)
@torch.no_grad()
def test_masked_language_models(model_class, config_class, tied, tmp_path):
    teacher = masked_lm(model_class, config_class, tie_word_embeddings=tied)
    trimmed = trim_model(teacher, IDS)
    trimmed.save_pretrained(tmp_path)
    mask = (TOKENS != 1).long()
    old = teacher(torch.from_numpy(IDS)[TOKENS], mask).logits[..., IDS]
    for model in (trimmed, AutoModelForMaskedLM.from_pretrained(tmp_path).eval()):
        torch.testing.assert_close(model(TOKENS, mask).logits, old, rtol=0, atol=1e-6)
        head, words = model.get_output_embeddings(), model.get_input_embeddings()
        assert (head.weight is words.weight) == tied
        assert head.out_features == words.num_embeddings == len(IDS)
        assert words.padding_idx == 1
        config = model.config
        assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (1, 0, 7)
        assert config.sep_token_id is None  # what it pointed at is gone
        assert config.max_position_embeddings == 57


def test_roberta_keeps_its_padding_id():
    with pytest.raises(BistilError, match="padding token would move"):
        trim_model(masked_lm(XLMRobertaForMaskedLM, XLMRobertaConfig), np.array([1, 2, 3]))


def test_model_and_tokenizer_that_do_not_belong_together():
    with pytest.raises(BistilError, match="embedding has 57 rows, but the tokenizer has the token id 57"):
        trim_model(masked_lm(BertForMaskedLM, BertConfig), np.array([0, 1, 57]))
