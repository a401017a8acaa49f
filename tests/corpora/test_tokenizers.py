"""How a text or a pair of them is framed and cut, compared with transformers."""

import copy
from types import SimpleNamespace

import pytest

from bistil.corpora.tokenizers import Frame, bare, encode_texts, encodings, frame, room
from bistil.errors import BistilError

LAYOUTS = ("xlm_roberta", "mbert", "roberta", "mdeberta", "mmbert", "modernbert", "eurobert")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_frames_are_those_of_transformers(layout, layouts, tiny_lines):
    tokenizer = layouts[layout]
    texts = [*tiny_lines["tr"][:5], " ".join(tiny_lines["en"][:20]), "", "这"]
    plain = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    alone, pair = Frame.of(tokenizer), Frame.of(tokenizer, pair=True)
    assert (alone.special, pair.special) == tuple(map(tokenizer.num_special_tokens_to_add, (False, True)))
    for text, ids in zip(texts, plain, strict=True):
        expected = tokenizer(text, return_token_type_ids=True)
        assert alone.inputs(ids) == {name: expected[name] for name in alone.inputs(ids)}
        before, after = frame(tokenizer)
        assert expected["input_ids"] == [*before, *ids, *after]
        for other, others in zip(texts, plain, strict=True):
            expected = tokenizer([text], [other], return_token_type_ids=True)
            found = pair.inputs(ids, others)
            assert found == {name: expected[name][0] for name in found}
            at = pair.position(ids, others)
            assert found["input_ids"][at : at + len(others)] == others


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("length", [7, 20, 128])
def test_texts_are_cut_as_transformers_cuts_them(layout, length, layouts, tiny_lines):
    tokenizer = layouts[layout]
    texts = [*tiny_lines["tr"][:5], " ".join(tiny_lines["en"][:40]), "kedi", ""]
    expected = tokenizer(texts, truncation=True, max_length=length)
    found = encode_texts(tokenizer, texts, [], length)
    assert [one["input_ids"] for one in found] == expected["input_ids"]
    others = [*reversed(texts)]
    expected = tokenizer(texts, others, truncation=True, max_length=length)
    for number, one in enumerate(encode_texts(tokenizer, texts, others, length)):
        assert one == {name: expected[name][number] for name in tokenizer.model_input_names}


def test_truncation_and_padding_are_taken_off_where_there_are_any(tiny_tokenizer):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer(["kedi"], truncation=True, padding="max_length", max_length=8)
    assert None not in (tokenizer.backend_tokenizer.truncation, tokenizer.backend_tokenizer.padding)
    backend = bare(tokenizer)
    assert (backend.truncation, backend.padding) == (None, None)
    untouched = SimpleNamespace(truncation=None, padding=None)  # another thread may be encoding with it
    assert bare(SimpleNamespace(backend_tokenizer=untouched)) is untouched


def test_no_room():
    assert room(128, 2) == 126
    for length in (2, 1):
        with pytest.raises(BistilError, match=rf"takes {length} tokens at once, and 2 special ones leave no room"):
            room(length, 2)


def test_encodings_come_in_order_and_a_few_at_once(tiny_tokenizer, monkeypatch):
    backend = tiny_tokenizer.backend_tokenizer
    texts = [f"kedi {number} " * (number % 7) for number in range(200)]
    expected = [one.ids for one in backend.encode_batch(texts, add_special_tokens=False)]
    calls = []

    class Watched:
        def encode_batch(self, some, **options):
            calls.append(sum(map(len, some)))
            return backend.encode_batch(some, **options)

    monkeypatch.setattr("bistil.corpora.tokenizers._TOGETHER", 500)
    assert [one.ids for one in encodings(Watched(), texts)] == expected
    assert len(calls) > 5
    assert max(calls) < 500 + max(map(len, texts))
    words = [text.split() for text in texts]
    split = [one.word_ids for one in backend.encode_batch(words, is_pretokenized=True, add_special_tokens=False)]
    assert [one.word_ids for one in encodings(Watched(), words)] == split
    assert list(encodings(Watched(), [])) == []
