import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, processors
from transformers import (
    AddedToken,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaTokenizer,
)

from bistil.errors import BistilError
from bistil.vocabulary.count import count_tokens
from bistil.vocabulary.trim import closure, special_ids, trim_tokenizer

SPECIAL = ["bos_token", "eos_token", "cls_token", "sep_token", "pad_token", "unk_token", "mask_token"]
FRAMED = processors.TemplateProcessing(
    single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
)


def ids_of(tokenizer, text, **options):
    return tokenizer(text, **options)["input_ids"]


def every_second(tokenizer, lines):
    """A selection that loses pieces, with the closure of the lines."""
    required = special_ids(tokenizer) | closure(tokenizer, count_tokens(tokenizer, lines))(())
    return np.array(sorted(required | set(range(0, len(tokenizer), 2))))


def with_processor(tokenizer, processor):
    """A copy whose post-processor is another one."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.post_processor = processor
    return PreTrainedTokenizerFast(tokenizer_object=backend, **tokenizer.special_tokens_map)


@given(chance=st.randoms(use_true_random=False), extra=st.text(max_size=20))
def test_segmentations_whose_pieces_are_kept_stay(tiny_tokenizer, tiny_lines, chance, extra):
    lines = [*tiny_lines["en"][:20], *tiny_lines["tr"][:20], extra]
    required = special_ids(tiny_tokenizer) | closure(tiny_tokenizer, count_tokens(tiny_tokenizer, lines))(())
    optional = sorted(set(range(len(tiny_tokenizer))) - required)
    kept = required | set(chance.sample(optional, chance.randint(0, len(optional))))
    ids = np.array(sorted(kept))
    trimmed = trim_tokenizer(tiny_tokenizer, ids)
    assert sorted(trimmed.get_vocab().values()) == list(range(len(ids)))
    for line in lines:
        old, new = ids_of(tiny_tokenizer, line), ids_of(trimmed, line)
        if kept.issuperset(old):
            assert ids[new].tolist() == old
        assert (trimmed.unk_token_id in new) == (tiny_tokenizer.unk_token_id in old)


def test_scores_and_order_are_those_of_the_teacher(tiny_tokenizer, tiny_lines):
    ids = every_second(tiny_tokenizer, tiny_lines["tr"])
    before = json.loads(tiny_tokenizer.backend_tokenizer.to_str())["model"]
    after = json.loads(trim_tokenizer(tiny_tokenizer, ids).backend_tokenizer.to_str())["model"]
    assert after["vocab"] == [before["vocab"][number] for number in ids]
    assert after["vocab"][after["unk_id"]] == before["vocab"][before["unk_id"]]
    assert min(score for _, score in after["vocab"]) == min(score for _, score in before["vocab"])


def test_closure_is_the_characters_of_the_normalised_text(tiny_tokenizer):
    text = "ﬁve ünlü 日"  # NFKC writes the ligature as two letters; the teacher lacks the last character
    pieces = dict(tiny_tokenizer.get_vocab())
    found = closure(tiny_tokenizer, count_tokens(tiny_tokenizer, [text]))(())
    scores = dict(json.loads(tiny_tokenizer.backend_tokenizer.to_str())["model"]["vocab"])
    lowest = min(scores, key=lambda piece: scores[piece])
    expected = {lowest, *(set("fiveünl▁") & set(pieces))}
    assert found == {pieces[piece] for piece in expected}


def test_closure_of_a_character_without_a_piece_of_its_own_and_of_bytes():
    vocabulary = [("<unk>", 0.0), ("▁", -2.0), ("a", -2.0), ("ab", -1.0), ("cd", -9.0), ("<0x61>", -3.0)]
    for fallback, expected in ((False, {1, 2, 3, 4}), (True, {1, 2, 3, 4, 5})):
        backend = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=fallback))
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
        counts = np.array([0, 0, 0, 5, 0, 0])  # "ab" alone: "b" has no piece; "cd" has the lowest score
        assert closure(tokenizer, counts)(()) == expected


def test_round_trips(tiny_tokenizer, tiny_lines, tmp_path):
    trimmed = trim_tokenizer(tiny_tokenizer, every_second(tiny_tokenizer, tiny_lines["tr"]))
    trimmed.save_pretrained(tmp_path)
    XLMRobertaConfig(vocab_size=len(trimmed)).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    plain = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for attribute in (*SPECIAL, "model_max_length", "model_input_names", "padding_side", "truncation_side"):
        assert getattr(loaded, attribute) == getattr(tiny_tokenizer, attribute)
    for name in SPECIAL:
        assert getattr(loaded, f"{name}_id") == plain.token_to_id(getattr(tiny_tokenizer, name))
    assert loaded.mask_token_id == len(loaded) - 1
    for line in (*tiny_lines["tr"][:50], "a <mask> b", "日本"):
        assert ids_of(loaded, line) == ids_of(trimmed, line) == plain.encode(line).ids
        assert loaded.tokenize(line) == trimmed.tokenize(line)
        assert ids_of(loaded, line, text_pair="x") == ids_of(trimmed, line, text_pair="x")


@pytest.mark.parametrize("kind", ["template", "bert", "roberta", "sequence"])
def test_post_processors(tiny_tokenizer, tiny_lines, kind):
    ends = ("<mask>", tiny_tokenizer.mask_token_id), ("<s>", 0)
    tokenizer = with_processor(
        tiny_tokenizer,
        {
            "template": FRAMED,
            "bert": processors.BertProcessing(*ends),
            "roberta": processors.RobertaProcessing(*ends),
            "sequence": processors.Sequence([processors.ByteLevel(trim_offsets=False), FRAMED]),
        }[kind],
    )
    ids = every_second(tokenizer, tiny_lines["tr"])
    trimmed = trim_tokenizer(tokenizer, ids)
    assert ids[ids_of(trimmed, "a", text_pair="a")].tolist() == ids_of(tokenizer, "a", text_pair="a")


def test_the_class_of_xlm_roberta(tiny_tokenizer, tiny_lines, tmp_path):
    vocabulary = [tuple(pair) for pair in json.loads(tiny_tokenizer.backend_tokenizer.to_str())["model"]["vocab"]]
    tokenizer = XLMRobertaTokenizer(vocab=vocabulary, mask_token=AddedToken("<mask>", lstrip=True, special=True))
    ids = every_second(tokenizer, tiny_lines["tr"])
    trimmed = trim_tokenizer(tokenizer, ids)
    trimmed.save_pretrained(tmp_path)
    XLMRobertaConfig(vocab_size=len(ids)).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.model_input_names == ["input_ids", "attention_mask"]
    for line in (*tiny_lines["tr"][:20], "a <mask> a"):  # the mask takes the space before it
        old, new = ids_of(tokenizer, line), ids_of(loaded, line)
        if set(old) <= set(ids.tolist()):
            assert ids[new].tolist() == old


def test_added_tokens_after_the_vocabulary(tiny_tokenizer, tiny_lines):
    tokenizer = with_processor(tiny_tokenizer, FRAMED)
    tokenizer.add_tokens(["<user>", AddedToken("query:", single_word=True)])
    tokenizer.add_special_tokens({"extra_special_tokens": ["<tr>"]})
    ids = every_second(tokenizer, tiny_lines["tr"])
    trimmed = trim_tokenizer(tokenizer, ids)
    text = "query: <user> <tr> a"
    assert ids[ids_of(trimmed, text)].tolist() == ids_of(tokenizer, text)
    assert trimmed.all_special_tokens == tokenizer.all_special_tokens
    assert trimmed.decode(ids_of(trimmed, text), skip_special_tokens=True) == tokenizer.decode(
        ids_of(tokenizer, text), skip_special_tokens=True
    )


def test_special_tokens_cannot_go(tiny_tokenizer):
    with pytest.raises(BistilError, match=rf"keep the ids \[1, {tiny_tokenizer.mask_token_id}\]"):
        trim_tokenizer(tiny_tokenizer, np.array([0, 2, 3, 4, 5]))
