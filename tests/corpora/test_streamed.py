"""Streamed blocks against the same text packed at once, whole and shared among processes."""

from collections import Counter
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from accelerate.data_loader import IterableDatasetShard
from torch.utils.data import DataLoader
from transformers import default_data_collator

from bistil.corpora.blocks import pack
from bistil.corpora.masking import Masking
from bistil.corpora.streamed import StreamedBlocks
from bistil.errors import BistilError

BLOCK, HELD_OUT = 64, 2048 // 64


@pytest.fixture
def lines(tiny_lines):
    """A few thousand tokens in each language, opened anew at each call."""
    return {language: lambda part=part: iter(part * 4) for language, part in tiny_lines.items()}


@pytest.fixture
def streamed(lines, tiny_tokenizer):
    def build(share: float = 0.15, **settings) -> StreamedBlocks:
        values = {"block": BLOCK, "batch": 4, "batches": 20, "seed": 0, "buffer": 16, **settings}
        return StreamedBlocks(lines, tiny_tokenizer, Masking.of(tiny_tokenizer, share), **values)

    return build


@pytest.fixture
def packed(lines, tiny_tokenizer):
    return {
        language: np.concatenate(list(pack(tiny_tokenizer, source(), BLOCK, language)))
        for language, source in lines.items()
    }


def plain(items) -> list[tuple[int, tuple[int, ...]]]:
    return [(item["language"], tuple(item["input_ids"].tolist())) for item in items]


def test_a_pass_holds_every_training_block_once(streamed, packed):
    sizes = [len(packed[language]) - HELD_OUT for language in ("en", "tr")]
    assert min(sizes) > 16  # more than one buffer
    items = plain(islice(streamed(share=0, batches=None), 8 * max(sizes)))
    for index, (language, size) in enumerate(zip(("en", "tr"), sizes, strict=True)):
        found = [tokens for own, tokens in items if own == index]
        expected = [tuple(row) for row in packed[language][HELD_OUT:].tolist()]
        assert found[:size] != expected
        assert Counter(found[:size]) == Counter(found[size : 2 * size]) == Counter(expected)
        assert found[:size] != found[size : 2 * size]
        assert Counter(found[:16]) == Counter(expected[:16])  # no more than the buffer is in memory


def test_batches_are_monolingual_and_take_turns(streamed):
    data = streamed()
    assert data.languages == ("en", "tr")
    assert len(data) == 80
    assert [item["language"] for item in data] == 10 * [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_run_repeats(streamed):
    whole = plain(streamed())
    assert plain(streamed()) == whole
    assert plain(streamed(seed=1)) != whole


def test_masked_as_ever_and_held_out_first(streamed, packed, tiny_tokenizer):
    mask = tiny_tokenizer.mask_token_id
    tokens = np.array([tokens for _, tokens in plain(streamed(batches=80))])
    assert (tokens == mask).mean() == pytest.approx(0.12, abs=0.02)
    held_out = streamed().held_out()
    assert list(held_out) == ["en", "tr"]
    for language, rows in held_out.items():
        assert rows.tolist() == packed[language][:HELD_OUT].tolist()


@pytest.mark.parametrize("workers", [0, 1])
def test_processes_share_the_items_of_a_step(streamed, workers):
    data = streamed()
    whole = plain(data)
    halves = [
        list(
            DataLoader(
                IterableDatasetShard(data, batch_size=2, num_processes=2, process_index=process),
                batch_size=2,
                num_workers=workers,
                collate_fn=default_data_collator,
            )
        )
        for process in range(2)
    ]
    together = [
        (int(language), tuple(row.tolist()))
        for step in zip(*halves, strict=True)
        for half in step
        for language, row in zip(half["language"], half["input_ids"], strict=True)
    ]
    assert together == whole


def test_workers_that_would_each_read_all_are_refused(streamed, monkeypatch):
    # as in a worker; torch waits five seconds for a real one that has failed
    monkeypatch.setattr("bistil.corpora.streamed.get_worker_info", lambda: SimpleNamespace(num_workers=2))
    with pytest.raises(BistilError, match="2 loader workers would each read the same streams"):
        next(iter(streamed()))


def test_an_endless_stream_has_no_length(streamed):
    with pytest.raises(TypeError, match="endless"):
        len(streamed(batches=None))


def test_a_stream_too_short_to_train_on(tiny_tokenizer, tiny_lines):
    data = StreamedBlocks(
        {"en": lambda: tiny_lines["en"][:20]}, tiny_tokenizer, Masking.of(tiny_tokenizer),
        block=BLOCK, batch=4, batches=1, seed=0,
    )  # fmt: skip
    with pytest.raises(BistilError, match=r"The en text has \d+ tokens; 33 blocks of 64 need 2,079"):
        next(iter(data))
