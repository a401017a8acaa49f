"""Masking against its shares, and against itself in other company."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from bistil.corpora.masking import Masking
from bistil.errors import BistilError

MASKING = Masking(mask_token=99, special=(0, 1, 2), vocabulary=100)


def tokens(rows: int, width: int) -> np.ndarray:
    found = np.random.default_rng(0).integers(3, 99, (rows, width), dtype=np.int32)
    found[:, 0] = 0
    return found


@pytest.mark.parametrize("share", [0.15, 0.4, 1.0])
def test_shares(share):
    before = tokens(400, 500)
    masking = Masking(mask_token=99, special=(0, 1, 2), vocabulary=100, share=share)
    after = masking(before, 0, np.arange(400))
    assert after.dtype == np.int64
    assert (after[:, 0] == 0).all()
    body, original = after[:, 1:], before[:, 1:]
    # a random token is by chance the mask once in a hundred, and as often the token itself
    assert (body == 99).mean() == pytest.approx(share * (0.8 + 0.001), abs=0.003)
    random = body[(body != original) & (body != 99)]
    assert random.size / body.size == pytest.approx(share * 0.1 * 0.98, abs=0.002)
    assert np.bincount(random, minlength=99)[:99] / random.size == pytest.approx(1 / 99, abs=0.01)


def test_no_share_leaves_the_tokens():
    before = tokens(4, 50)
    plain = Masking(mask_token=-1, special=(), vocabulary=100, share=0)
    assert (plain(before, 0, np.arange(4)) == before).all()


def test_a_row_depends_on_seed_and_item_alone():
    before = tokens(40, 64)
    items = np.arange(100, 140)
    together = MASKING(before, 5, items)
    order = np.random.default_rng(1).permutation(40)
    assert (MASKING(before[order], 5, items[order]) == together[order]).all()
    assert (MASKING(before[7:8], 5, items[7:8]) == together[7:8]).all()
    assert (MASKING(before, 6, items) != together).any()
    where = MASKING(np.full((2, 64), 50, dtype=np.int32), 5, np.array([0, 1])) == 99
    assert (where[0] != where[1]).any()


def test_of_a_tokenizer(tiny_tokenizer):
    masking = Masking.of(tiny_tokenizer)
    assert (masking.mask_token, masking.vocabulary) == (tiny_tokenizer.mask_token_id, len(tiny_tokenizer))
    assert set(masking.special) == {0, 1, 2, 3, tiny_tokenizer.mask_token_id}
    assert masking.share == 0.15
    assert Masking.of(tiny_tokenizer, share=0.3).share == 0.3


def test_what_cannot_be_masked(tiny_tokenizer):
    with pytest.raises(BistilError, match=r"is 1\.5.*from 0 to 1"):
        Masking.of(tiny_tokenizer, share=1.5)
    bare = PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer.backend_tokenizer, sep_token="</s>")
    with pytest.raises(BistilError, match="no mask token"):
        Masking.of(bare)
    assert Masking.of(bare, share=0).share == 0


def test_labels_are_the_chosen_tokens_kept_ones_included():
    before, items = tokens(400, 500), np.arange(400)
    after, labels = MASKING(before, 3, items), MASKING.labels(before, 3, items)
    chosen = labels != -100
    assert (labels[chosen] == before[chosen]).all()
    assert (after[~chosen] == before[~chosen]).all()
    assert not chosen[:, 0].any()
    assert chosen[:, 1:].mean() == pytest.approx(0.15, abs=0.003)
    assert (after[chosen] == before[chosen]).mean() == pytest.approx(0.1 + 0.1 / 100, abs=0.01)


def test_ids_without_a_token_are_never_drawn():
    used = [0, 3, 4, 9]
    backend = Tokenizer(models.BPE(dict(zip(["a", "b", "c", "[M]"], used, strict=True)), []))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="[M]")
    masking = Masking.of(tokenizer, share=1.0)
    ranks = np.random.default_rng(0).integers(0, 3, (200, 50), dtype=np.int32)
    found = masking(np.array(used, dtype=np.int32)[ranks], 0, np.arange(200))
    assert set(np.unique(found)) == set(used)
    among_ranks = Masking(mask_token=3, special=(3,), vocabulary=4, share=1.0)(ranks, 0, np.arange(200))
    assert (found == np.array(used)[among_ranks]).all()
