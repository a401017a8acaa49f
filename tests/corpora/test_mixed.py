"""The order of training against counting; items against themselves in other company; held-out batches."""

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler
from transformers import default_data_collator

from bistil.corpora.blocks import Blocks, save_blocks
from bistil.corpora.masking import Masking
from bistil.corpora.mixed import MixedBlocks, held_out_batches
from bistil.errors import BistilError

MASKING = Masking(mask_token=99, special=(0, 1, 2), vocabulary=100)
PLAIN = Masking(mask_token=99, special=(), vocabulary=5000, share=0)


@pytest.fixture
def blocks(tmp_path):
    """Ten English, six Turkish and forty German blocks, whose tokens say which block they are."""
    found = {}
    for number, (language, count) in enumerate({"en": 10, "tr": 6, "de": 40}.items(), start=1):
        rows = np.repeat(np.arange(count, dtype=np.int32)[:, None] + 1000 * number, 8, axis=1)
        save_blocks(tmp_path, language, iter([rows]))
        found[language] = Blocks(tmp_path / f"{language}.arrow")
    return found


@pytest.fixture
def pair(blocks):
    return {language: blocks[language] for language in ("en", "tr")}


def first_tokens(data: MixedBlocks) -> list[int]:
    return [int(data[item]["input_ids"][0]) for item in range(len(data))]


@pytest.mark.parametrize("languages", [("en",), ("en", "tr"), ("de", "tr", "en")])
def test_batches_are_monolingual_and_take_turns(blocks, languages):
    chosen = {language: blocks[language] for language in languages}
    data = MixedBlocks(chosen, PLAIN, batch=4, batches=10, seed=0)
    assert data.languages == languages
    thousands = {"en": 1, "tr": 2, "de": 3}
    for item in range(len(data)):
        turn = item // 4 % len(languages)
        assert data[item]["language"] == turn
        assert int(data[item]["input_ids"][0]) // 1000 == thousands[languages[turn]]


def test_each_pass_holds_every_block_once(pair):
    found = first_tokens(MixedBlocks(pair, PLAIN, batch=4, batches=10, seed=0))
    english = [token for item, token in enumerate(found) if item // 4 % 2 == 0]
    assert sorted(english[:10]) == sorted(english[10:20]) == list(range(1000, 1010))
    assert english[:10] != english[10:20]
    turkish = [token for item, token in enumerate(found) if item // 4 % 2 == 1]
    assert sorted(turkish[:6]) == sorted(turkish[6:12]) == list(range(2000, 2006))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_temperature_draws_languages_by_their_size(blocks, temperature):
    data = MixedBlocks(blocks, PLAIN, batch=1, batches=20_000, seed=0, temperature=temperature)
    weights = np.array([10, 6, 40]) ** (1 / temperature)
    drawn = np.bincount([item["language"] for item in data.__getitems__(range(20_000))]) / 20_000
    assert drawn == pytest.approx(weights / weights.sum(), abs=0.012)


def test_temperature_keeps_batches_whole_and_passes_complete(blocks):
    data = MixedBlocks(blocks, PLAIN, batch=4, batches=50, seed=3, temperature=2)
    items = [data[item] for item in range(len(data))]
    assert all(len({one["language"] for one in items[start : start + 4]}) == 1 for start in range(0, 200, 4))
    english = [int(one["input_ids"][0]) for one in items if one["language"] == 0]
    assert sorted(english[:10]) == sorted(english[10:20]) == list(range(1000, 1010))


def test_an_item_is_the_same_in_any_company(tmp_path):
    tokens = np.random.default_rng(0).integers(3, 99, (10, 8), dtype=np.int32)
    save_blocks(tmp_path, "en", iter([tokens]))
    blocks = {"en": Blocks(tmp_path / "en.arrow")}
    first, second, other = (MixedBlocks(blocks, MASKING, batch=4, batches=10, seed=seed) for seed in (5, 5, 6))
    forward = [first[item]["input_ids"].tolist() for item in range(40)]
    assert forward == [second[item]["input_ids"].tolist() for item in reversed(range(40))][::-1]
    order = np.random.default_rng(1).permutation(40).tolist()
    together = [item["input_ids"].tolist() for item in first.__getitems__(order)]
    assert together == [forward[item] for item in order]
    assert forward != [other[item]["input_ids"].tolist() for item in range(40)]


@pytest.mark.parametrize("workers", [0, 2])
def test_processes_and_workers_together_see_what_one_sees(pair, workers):
    """As accelerate shards a loader: process p takes every second batch of half the size."""
    data = MixedBlocks(pair, PLAIN, batch=4, batches=6, seed=0)
    alone = list(DataLoader(data, batch_size=4, collate_fn=default_data_collator))
    assert alone[1]["language"].tolist() == [1, 1, 1, 1]
    halves = []
    for process in range(2):
        sampler = BatchSamplerShard(BatchSampler(SequentialSampler(data), 2, drop_last=False), 2, process)
        loader = DataLoader(data, batch_sampler=sampler, num_workers=workers, collate_fn=default_data_collator)
        halves.append(list(loader))
    for one, *parts in zip(alone, *halves, strict=True):
        assert one["input_ids"].tolist() == [row for part in parts for row in part["input_ids"].tolist()]


def test_a_temperature_that_is_none(pair):
    with pytest.raises(BistilError, match="temperature is 0"):
        MixedBlocks(pair, PLAIN, batch=4, batches=6, seed=0, temperature=0)


def test_held_out_batches_repeat():
    tokens = np.random.default_rng(0).integers(3, 99, (10, 8), dtype=np.int32)
    first, second = (
        [one["input_ids"].tolist() for one in held_out_batches(tokens, MASKING, 4, 0)] for _ in range(2)
    )
    assert first == second
    assert [len(one) for one in first] == [4, 4, 2]
