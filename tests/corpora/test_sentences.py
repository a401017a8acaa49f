"""Whole lines as rows, against transformers' own tokenizing; the order of training, against counting."""

import numpy as np
import pytest
import torch

from bistil.corpora.blocks import Blocks, save_blocks
from bistil.corpora.masking import Masking
from bistil.corpora.sentences import FILL, MixedSentences, filled, mean_length, model_inputs, sentence_rows
from bistil.errors import BistilError

PLAIN = Masking(mask_token=99, special=(), vocabulary=5000, share=0)
LENGTHS = {"en": 10, "tr": 6, "de": 64}


@pytest.fixture
def sentences(tmp_path):
    """Rows that say which they are by their tokens, and have 1 to 8 of them."""
    found = {}
    for number, (language, count) in enumerate(LENGTHS.items(), start=1):
        rows = np.repeat(np.arange(count, dtype=np.int32)[:, None] + 1000 * number, 8, axis=1)
        rows[np.arange(8) > np.random.default_rng(number).integers(0, 8, count)[:, None]] = FILL
        save_blocks(tmp_path, language, iter([rows]))
        found[language] = Blocks(tmp_path / f"{language}.arrow")
    return found


def mixed(sentences, batches=12, batch=4, **settings):
    return MixedSentences(sentences, PLAIN, batch=batch, batches=batches, seed=0, row_tokens=4.5, **settings)


@pytest.mark.parametrize("prompts", [[], ["query: ", "passage: "]])
@pytest.mark.parametrize("length", [12, 64])
def test_rows_are_what_transformers_makes_of_prompt_and_line(tiny_tokenizer, tiny_lines, prompts, length):
    lines = tiny_lines["tr"]
    (rows,) = sentence_rows(tiny_tokenizer, lines, prompts, length, "tr")
    texts = [f"{prompts[i % 2] if prompts else ''}{line}" for i, line in enumerate(lines)]
    expected = tiny_tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="np")
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(rows != FILL, expected["attention_mask"] == 1)
    np.testing.assert_array_equal(np.where(rows == FILL, tiny_tokenizer.pad_token_id, rows), expected["input_ids"])


def test_too_little_text(tiny_tokenizer):
    with pytest.raises(BistilError, match=r"The tr text has 1 lines\. Give two"):
        list(sentence_rows(tiny_tokenizer, ["Kedi."], [], 16, "tr"))


def test_model_inputs_are_cut_to_the_longest(tiny_tokenizer, tiny_lines):
    (rows,) = sentence_rows(tiny_tokenizer, tiny_lines["en"][:5], [], 64, "en")
    found = model_inputs(torch.from_numpy(rows).long(), tiny_tokenizer.pad_token_id)
    expected = tiny_tokenizer(tiny_lines["en"][:5], padding=True, return_tensors="pt")
    assert all(torch.equal(found[name], expected[name]) for name in ("input_ids", "attention_mask"))


def test_every_row_comes_once_an_epoch_and_languages_in_turn(sentences):
    data = mixed(sentences, batches=45)  # 60 of each language
    rows = [tuple(item["input_ids"].tolist()) for item in data]
    for number, (language, count) in enumerate(LENGTHS.items(), start=1):
        own = [row[0] for row in rows if row[0] // 1000 == number]
        assert len(own) == 60
        if language != "de":
            assert sorted(own) == sorted([1000 * number + row for row in range(count)] * (60 // count))
        assert max(map(own.count, own)) == max(60 // count, 1)


def test_like_lengths_share_a_batch(sentences):
    lengths = np.array([int((item["input_ids"] != FILL).sum()) for item in mixed(sentences, 16)]).reshape(-1, 4)
    ascending = lengths[np.lexsort((lengths.max(1), lengths.min(1)))]
    assert len(set(lengths.ravel().tolist())) > 4
    assert (np.sort(lengths, axis=1) == lengths).all()
    assert (ascending[1:].min(1) >= ascending[:-1].max(1)).all()
    assert (lengths.min(1)[:-1] > lengths.min(1)[1:]).any()  # not the short ones first


def test_monolingual_batches_say_their_language(sentences):
    batches = [[*mixed(sentences, monolingual=True)][start : start + 4] for start in range(0, 48, 4)]
    for batch in batches:
        (language,) = {item["language"] for item in batch}
        assert {int(item["input_ids"][0]) // 1000 for item in batch} == {language + 1}
    assert [batch[0]["language"] for batch in batches].count(0) == 4


def test_an_item_is_the_same_in_other_company(sentences):
    data, other = mixed(sentences, 40), mixed(sentences, 40)
    order = np.random.default_rng(0).permutation(len(data)).tolist()
    found = dict(zip(order, other.__getitems__(order), strict=True))
    assert all(torch.equal(data[item]["input_ids"], found[item]["input_ids"]) for item in order)


def test_what_fills_a_row_is_never_masked(sentences):
    masking = filled(Masking(mask_token=99, special=(), vocabulary=5000, share=0.9))
    rows = sentences["de"][np.arange(64)]
    masked = masking(rows, 0, np.arange(64))
    np.testing.assert_array_equal(masked == FILL, rows == FILL)
    assert (masked != rows).any()


def test_mean_length(sentences):
    rows = sentences["de"][np.arange(64)]
    assert mean_length(sentences["de"]) == pytest.approx(np.mean([len(row[row >= 0]) for row in rows]))
