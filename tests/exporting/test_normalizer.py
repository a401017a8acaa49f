"""Nmt in steps that every loader knows: every character, and offsets, as tokenizers itself has them."""

import json
import random
import sys

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from bistil.exporting.normalizer import known_steps

ODD = [*map(chr, [*range(1, 32), 127, 0x8F, 0x9F, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029, 0x2581])]
ODD += ["\ufeff", "\ufffd", "\xa0", "\u3000", "\u0301", "\u0308", "ﬁ", "™"]
LETTERS = [*"abcığüşçöé日本 .,'  "]


def of_e5():
    """The normalizer of the bundled teacher."""
    return normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])


def rewritten(tokenizer):
    values = json.loads(tokenizer.to_str())
    values["normalizer"] = known_steps(values["normalizer"])
    return Tokenizer.from_str(json.dumps(values)), [step["type"] for step in values["normalizer"]["normalizers"]]


def test_every_character():
    bare = Tokenizer(models.BPE())
    bare.normalizer = normalizers.Nmt()
    written, steps = rewritten(bare)
    assert steps == ["Replace", "Replace"]
    for code in range(sys.maxunicode + 1):
        if not 0xD800 <= code < 0xE000:
            text = f"a{chr(code)}b"
            assert written.normalizer.normalize_str(text) == bare.normalizer.normalize_str(text), hex(code)


def test_ids_and_offsets_of_any_text():
    pieces = [("<unk>", 0.0), *((piece, -2.0) for piece in ["▁", *LETTERS, "▁a", "ab", "cı", "▁日"])]
    tokenizer = Tokenizer(models.Unigram(list(dict(pieces).items()), unk_id=0))
    tokenizer.normalizer = of_e5()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    written, steps = rewritten(tokenizer)
    assert steps == ["Replace", "Replace", "NFKC", "Replace"]
    chance = random.Random(0)
    for _ in range(3000):
        text = "".join(
            chance.choice(ODD if chance.random() < 0.3 else LETTERS) for _ in range(chance.randint(0, 25))
        )
        expected, found = tokenizer.encode(text), written.encode(text)
        assert (found.ids, found.offsets) == (expected.ids, expected.offsets), repr(text)


def test_sequences_in_sequences_become_one():
    inner = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}
    nested = {"type": "Sequence", "normalizers": [inner, {"type": "NFKC"}]}
    assert [step["type"] for step in known_steps(nested)["normalizers"]] == ["NFC", "Lowercase", "NFKC"]
