"""Packing against joining tokens by hand; masking against its shares; order against counting."""

import numpy as np
import pytest

from bistil.corpora.blocks import BilingualBlocks, Masking, held_out_batches, pack, split
from bistil.errors import BistilError

MASKING = Masking(mask_token=99, special=(0, 1, 2), vocabulary=100)


def test_every_token_is_packed_once_and_in_order(tiny_tokenizer, tiny_lines):
    lines = tiny_lines["en"]
    blocks = pack(tiny_tokenizer, lines, 16)
    by_hand = [id for line in lines for id in [*tiny_tokenizer(line, add_special_tokens=False)["input_ids"], 2]]
    assert (blocks[:, 0] == tiny_tokenizer.cls_token_id).all()
    packed = blocks[:, 1:].ravel().tolist()
    assert packed == by_hand[: len(packed)]
    assert len(by_hand) - len(packed) < 15


def test_no_text_gives_no_blocks(tiny_tokenizer):
    assert pack(tiny_tokenizer, [], 16).shape == (0, 16)


def test_split_parts_are_disjoint_and_whole():
    blocks = np.arange(300 * 16).reshape(300, 16)
    training, held_out = split(blocks, "en")
    assert len(held_out) == 6
    assert sorted([*training[:, 0], *held_out[:, 0]]) == blocks[:, 0].tolist()


def test_too_little_text_is_an_error():
    with pytest.raises(BistilError, match="tr text fills 1 blocks"):
        split(np.zeros((1, 16)), "tr")


def test_masking_shares():
    tokens = np.random.default_rng(0).integers(3, 99, (400, 500))
    tokens[:, 0] = 0
    corrupted = MASKING(tokens, np.random.default_rng(1))
    body, before = corrupted[:, 1:], tokens[:, 1:]
    assert (corrupted[:, 0] == 0).all()
    assert (body == 99).mean() == pytest.approx(0.15 * 0.8, abs=0.002)
    # a random token is by chance the token itself once in a hundred
    changed = (body != before) & (body != 99)
    assert changed.mean() == pytest.approx(0.15 * 0.1, abs=0.001)


def blocks(language: int, count: int) -> np.ndarray:
    """Blocks whose tokens all say which block they are, from 100 for each language on."""
    return np.repeat(np.arange(count)[:, None] + 1000 * (language + 1), 8, axis=1)


def data(seed: int = 0) -> BilingualBlocks:
    nothing = Masking(mask_token=99, special=tuple(range(3000)), vocabulary=100)  # all special: none masked
    return BilingualBlocks({"en": blocks(0, 10), "tr": blocks(1, 6)}, nothing, batch=4, batches=10, seed=seed)


def test_batches_are_monolingual_and_alternate():
    found = data()
    for batch in range(10):
        languages = {int(found[item]["input_ids"][0]) // 1000 for item in range(4 * batch, 4 * batch + 4)}
        assert languages == {1 + batch % 2}


def test_each_pass_holds_every_block_once():
    found = data()
    english = [int(found[item]["input_ids"][0]) for item in range(len(found)) if item // 4 % 2 == 0]
    assert sorted(english[:10]) == sorted(english[10:20]) == list(range(1000, 1010))
    assert english[:10] != english[10:20]
    turkish = [int(found[item]["input_ids"][0]) for item in range(len(found)) if item // 4 % 2 == 1]
    assert sorted(turkish[:6]) == sorted(turkish[6:12]) == list(range(2000, 2006))


def test_an_item_is_the_same_in_any_order_of_asking():
    english = np.random.default_rng(0).integers(3, 99, (10, 8))
    first, second = (BilingualBlocks({"en": english}, MASKING, 4, 10, seed=5) for _ in range(2))
    forward = [first[item]["input_ids"].tolist() for item in range(40)]
    backward = [second[item]["input_ids"].tolist() for item in reversed(range(40))]
    assert forward == backward[::-1]
    assert forward != [
        BilingualBlocks({"en": english}, MASKING, 4, 10, seed=6)[i]["input_ids"].tolist() for i in range(40)
    ]


def test_held_out_batches_repeat():
    tokens = np.random.default_rng(0).integers(3, 99, (10, 8))
    first, second = (
        [one["input_ids"].tolist() for one in held_out_batches(tokens, MASKING, 4, 0)] for _ in range(2)
    )
    assert first == second
    assert [len(one) for one in first] == [4, 4, 2]
