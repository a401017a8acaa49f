import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from bistil.vocabulary.bpe import Bpe
from bistil.vocabulary.count import count_tokens
from bistil.vocabulary.pieces import symbols
from bistil.vocabulary.trim import closure, special_ids, trim_tokenizer
from bistil.vocabulary.wordpiece import WordPiece


def model_ids(tokenizer, piece):
    """What the vocabulary's model alone makes of a piece."""
    return [token.id for token in tokenizer.backend_tokenizer.model.tokenize(piece)]


def selection(tokenizer, lines, kept):
    """`kept` with all it needs for these lines."""
    required = special_ids(tokenizer) | closure(tokenizer, count_tokens(tokenizer, lines))(kept)
    return np.array(sorted(required | set(kept)))


def every_third(tokenizer):
    return range(0, max(tokenizer.get_vocab().values()) + 1, 3)


def test_every_kept_piece_is_still_made(tokenizer, sample):
    ids = selection(tokenizer, sample[:50], every_third(tokenizer))
    trimmed = trim_tokenizer(tokenizer, ids)
    special = special_ids(tokenizer)
    made = 0
    for new, old in enumerate(ids.tolist()):
        piece = tokenizer.convert_ids_to_tokens(old)
        if old not in special and model_ids(tokenizer, piece) == [old]:
            assert model_ids(trimmed, piece) == [new]
            made += 1
    assert made > len(ids) / 4


@pytest.mark.parametrize("layout", ["mmbert", "modernbert", "eurobert"])
def test_merge_ancestors_are_enough_and_none_is_too_many(layouts, layout):
    tokenizer = layouts[layout]
    raw = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    kind = Bpe(json.loads(tokenizer.backend_tokenizer.to_str()))
    chosen = [number for number in sorted(kind.vocabulary.values()) if len(kind.pieces[number]) > 3][::10]
    deep = 0
    for number in chosen:
        piece = kind.pieces[number]
        parts = {kind.pieces[part] for part in kind.parts(number)}

        def outcome(pieces):
            vocabulary = {piece: place for place, piece in enumerate(sorted(pieces))}
            merges = [
                (left, right) for left, right in raw["merges"] if {left, right, left + right} <= vocabulary.keys()
            ]
            model = models.BPE(vocab=vocabulary, merges=merges)
            return [token.value for token in model.tokenize(piece)]

        if parts:
            assert outcome(parts) == [piece]
            assert all(outcome(parts - {part}) != [piece] for part in parts)
            deep += len(parts) > len(set(piece)) + 2
        else:  # the layout has pieces that no merge leads to, and added tokens
            full = models.BPE(vocab=raw["vocab"], merges=[tuple(merge) for merge in raw["merges"]])
            assert [token.value for token in full.tokenize(piece)] != [piece]
    assert deep > 5


def test_the_merge_that_happens_is_not_the_first_with_that_outcome():
    vocabulary = {piece: number for number, piece in enumerate(["a", "b", "c", "bc", "ab", "abc"])}
    merges = [("a", "b"), ("b", "c"), ("a", "bc"), ("ab", "c")]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(vocab=vocabulary, merges=merges)))
    assert closure(tokenizer, np.zeros(6, dtype=int))([5]) == {0, 1, 2, 4, 5}  # not bc
    trimmed = trim_tokenizer(tokenizer, np.array([0, 1, 2, 4, 5]))
    assert trimmed.tokenize("abcab") == tokenizer.tokenize("abcab") == ["abc", "ab"]


def test_a_chain_of_merges_is_kept_whole():
    vocabulary = {piece: number for number, piece in enumerate(["t", "h", "e", "m", "th", "the", "em", "them"])}
    merges = [("t", "h"), ("th", "e"), ("e", "m"), ("the", "m")]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(vocab=vocabulary, merges=merges)))
    assert closure(tokenizer, np.zeros(8, dtype=int))([7]) == {0, 1, 2, 3, 4, 5, 7}


@pytest.mark.parametrize(
    "options",
    [
        {"continuing_subword_prefix": "##"},
        {"end_of_word_suffix": "</w>"},
        {"continuing_subword_prefix": "@@", "end_of_word_suffix": "</w>"},
    ],
)
def test_bpe_that_marks_the_place_in_a_word(sample, options):
    backend = Tokenizer(models.BPE(unk_token="<unk>", **options))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>"], show_progress=False, **options)
    backend.train_from_iterator(sample, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    lines = sample[:100]
    ids = selection(tokenizer, lines, [number for number in range(len(tokenizer)) if number % 10])
    assert len(ids) < len(tokenizer)
    trimmed = trim_tokenizer(tokenizer, ids)
    changed = 0
    for line in lines:
        old, new = tokenizer(line).input_ids, trimmed(line).input_ids
        assert (0 in new) == (0 in old)
        if set(old) <= set(ids.tolist()):
            assert ids[new].tolist() == old
        changed += ids[new].tolist() != old
    assert 0 < changed < len(lines)


def test_symbols():
    assert symbols("abc") == ["a", "b", "c"]
    assert symbols("abc", "##") == ["a", "##b", "##c"]
    assert symbols("##ab", "##") == ["##a", "##b"]
    assert symbols("###", "##") == ["###"]
    assert symbols("#####", "##") == ["###", "###", "###"]
    assert symbols("##", "##") == ["##"]
    assert symbols("ab</w>", "", "</w>") == ["a", "b</w>"]
    assert symbols("@@a</w>", "@@", "</w>") == ["@@a</w>"]


def wordpiece(*pieces):
    vocabulary = {piece: number for number, piece in enumerate(("[UNK]", *pieces))}
    return WordPiece(
        {"model": {"vocab": vocabulary, "unk_token": "[UNK]", "continuing_subword_prefix": "##"}}
    ), vocabulary


def test_wordpiece_keeps_the_characters_of_the_text_by_place():
    kind, vocabulary = wordpiece("a", "b", "##a", "##b", "ab", "##ab", "c", "##c")
    pieces = lambda ids: {piece for piece, number in vocabulary.items() if number in ids}  # noqa: E731
    assert pieces(kind.required({vocabulary["ab"]})) == {"a", "##b"}
    assert pieces(kind.required({vocabulary["##ab"], vocabulary["c"]})) == {"##a", "##b", "c"}
    assert kind.parts(vocabulary["ab"]) == set()


def test_wordpiece_without_a_character_keeps_the_text_as_it_is():
    # "xabc" is xa ##bc. Without xa, the longest pieces are x ##ab, and nothing is left to write c with.
    kind, vocabulary = wordpiece("x", "xa", "##a", "##b", "##ab", "##bc", "##bd", "##d")
    assert kind.required({vocabulary["xa"], vocabulary["##bc"]}) == {vocabulary["xa"], vocabulary["##bc"]}


@pytest.mark.parametrize("layout", ["modernbert", "eurobert"])
def test_all_bytes_stay(layouts, layout):
    tokenizer = layouts[layout]
    trimmed = trim_tokenizer(tokenizer, selection(tokenizer, ["a"], []))
    assert set(pre_tokenizers.ByteLevel.alphabet()) <= trimmed.get_vocab().keys()
    text = "naïve 日本 \x00 \U0001f600 ўзбек"
    assert trimmed.decode(trimmed(text, add_special_tokens=False).input_ids) == text


def test_byte_fallback_stays(layouts):
    tokenizer = layouts["mmbert"]
    trimmed = trim_tokenizer(tokenizer, selection(tokenizer, ["a"], []))
    text = "naïve 日本 \U0001f600"
    ids = trimmed(text, add_special_tokens=False).input_ids
    assert trimmed.unk_token_id not in ids
    assert trimmed.decode(ids) == text


def test_special_ids(layouts):
    def tokens(layout):
        tokenizer = layouts[layout]
        return set(tokenizer.convert_ids_to_tokens(sorted(special_ids(tokenizer))))

    named = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    assert tokens("mbert") == named
    assert tokens("mdeberta") == named | {"<user>", "query:"}
    assert tokens("mmbert") == {
        "<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<unused0>", "\n\n", "▁▁", "<table>"
    }  # fmt: skip
    assert tokens("modernbert") == named | {
        "|||IP_ADDRESS|||", "<|padding|>", "    ", "   ", "  ", "[unused0]"
    }  # fmt: skip
    assert tokens("eurobert") == {"<|begin_of_text|>", "<|end_of_text|>", "<|mask|>", "<|reserved|>"}


@pytest.mark.parametrize("make", ["wordpiece", "unigram", "bpe"])
def test_an_unknown_token_and_a_frame_that_nobody_declared_stay(make):
    pieces = ["a", "b", "[S]", "?"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    model = {
        "wordpiece": lambda: models.WordPiece(vocabulary, unk_token="?"),
        "unigram": lambda: models.Unigram([(piece, -1.0) for piece in pieces], unk_id=3),
        "bpe": lambda: models.BPE(vocabulary, [], unk_token="?"),
    }[make]()
    backend = Tokenizer(model)
    backend.post_processor = processors.BertProcessing(("[S]", 2), ("[S]", 2))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert special_ids(tokenizer) == {2, 3}
    trimmed = trim_tokenizer(tokenizer, np.array([1, 2, 3]))
    expected = [2] if make == "wordpiece" else [0, 2]  # WordPiece: the whole word is unknown
    assert trimmed("bz").input_ids == [1, *expected, 1]
