"""Packing against joining tokens by hand; the file against what was written, and against `datasets`."""

import pickle

import datasets
import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from bistil.corpora.blocks import Blocks, load_blocks, pack, save_blocks
from bistil.errors import BistilError


def numbered(count: int, width: int = 16, rows: int = 7) -> list[np.ndarray]:
    """Blocks whose tokens all say which block they are, some at a time."""
    whole = np.repeat(np.arange(count, dtype=np.int32)[:, None], width, axis=1)
    return [whole[start : start + rows] for start in range(0, count, rows)]


def test_every_token_is_packed_once_and_in_order(tiny_tokenizer, tiny_lines, monkeypatch):
    monkeypatch.setattr("bistil.corpora.encoding.CHUNK_LINES", 30)
    lines = tiny_lines["en"]
    parts = list(pack(tiny_tokenizer, lines, 16, "en"))
    assert len(parts) > 3
    blocks = np.concatenate(parts)
    assert blocks.dtype == np.int32
    by_hand = [id for line in lines for id in [*tiny_tokenizer(line, add_special_tokens=False)["input_ids"], 2]]
    assert (blocks[:, 0] == tiny_tokenizer.cls_token_id).all()
    packed = blocks[:, 1:].ravel().tolist()
    assert packed == by_hand[: len(packed)]
    assert len(by_hand) - len(packed) < 15


def test_a_tokenizer_s_truncation_cuts_no_line(tiny_tokenizer, tiny_lines):
    whole = np.concatenate(list(pack(tiny_tokenizer, tiny_lines["en"], 16, "en")))
    tiny_tokenizer(tiny_lines["en"][0], truncation=True, max_length=4, padding="max_length")
    again = np.concatenate(list(pack(tiny_tokenizer, tiny_lines["en"], 16, "en")))
    assert (whole == again).all()


def test_without_start_token_a_block_is_all_text(tiny_tokenizer, tiny_lines):
    backend = tiny_tokenizer.backend_tokenizer
    bare = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    blocks = np.concatenate(list(pack(bare, tiny_lines["tr"], 16, "tr")))
    by_hand = [id for line in tiny_lines["tr"] for id in [*backend.encode(line, add_special_tokens=False).ids, 2]]
    assert blocks.ravel().tolist() == by_hand[: blocks.size]
    with pytest.raises(BistilError, match="neither a separator nor an end token"):
        next(pack(PreTrainedTokenizerFast(tokenizer_object=backend), tiny_lines["tr"], 16, "tr"))


def test_too_little_text_is_an_error(tiny_tokenizer, tmp_path):
    there = len(tiny_tokenizer("one line", add_special_tokens=False)["input_ids"]) + 1
    message = f"The tr text has {there} tokens; 2 blocks of 64 need 126. Give more tr text"
    with pytest.raises(BistilError, match=message):
        save_blocks(tmp_path, "tr", pack(tiny_tokenizer, ["one line"], 64, "tr"))
    one_block = ["one line"] * (70 // there)
    with pytest.raises(BistilError, match="2 blocks of 64 need 126"):
        save_blocks(tmp_path, "tr", pack(tiny_tokenizer, one_block, 64, "tr"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("count", "held"), [(2, 1), (49, 1), (300, 6), (20_000, 128)])
def test_held_out_and_training_blocks_are_disjoint_and_whole(tmp_path, count, held):
    told: list[int] = []
    save_blocks(tmp_path, "en", iter(numbered(count)), told.append)
    assert sum(told) == count
    training, held_out = load_blocks(tmp_path, "en")
    assert held_out.shape == (held, 16)
    assert training.shape == (len(training), 16) == (count - held, 16)
    rows = training[np.arange(len(training))]
    assert (rows == rows[:, :1]).all()
    assert sorted([*rows[:, 0].tolist(), *held_out[:, 0].tolist()]) == list(range(count))
    assert load_blocks(tmp_path, "en")[1].tolist() == held_out.tolist()


def test_rows_come_in_the_order_asked(tmp_path):
    save_blocks(tmp_path, "en", iter(numbered(60)))
    blocks = Blocks(tmp_path / "en.arrow", (0, 5, 59))
    kept = [row for row in range(60) if row not in (0, 5, 59)]
    asked = np.array([56, 0, 3, 4, 5, 3])
    assert blocks[asked][:, 0].tolist() == [kept[row] for row in asked]


def test_the_file_is_mapped_not_read(tmp_path):
    save_blocks(tmp_path, "en", iter(numbered(5000, width=256, rows=1000)))
    blocks = load_blocks(tmp_path, "en")[0]
    assert all(not part.flags.owndata and not part.flags.writeable for part in blocks._parts)
    copied = pickle.dumps(blocks)
    assert len(copied) < 2000
    rows = np.arange(len(blocks))
    assert (pickle.loads(copied)[rows] == blocks[rows]).all()


def test_datasets_reads_the_file(tmp_path):
    save_blocks(tmp_path, "en", iter(numbered(20)))
    rows = datasets.Dataset.from_file(str(tmp_path / "en.arrow"))["input_ids"]
    assert list(rows) == [[number] * 16 for number in range(20)]


def test_a_file_that_is_not_whole_is_an_error(tmp_path):
    save_blocks(tmp_path, "en", iter(numbered(20)))
    path = tmp_path / "en.arrow"
    whole = path.read_bytes()
    # everywhere, between two batches too, where the last eight bytes are what says that no more comes
    for size in {0, 4, 100, len(whole) // 2, len(whole) - 1, len(whole) - 8}:
        path.write_bytes(whole[:size])
        with pytest.raises(BistilError, match=r"en\.arrow is no whole file of token blocks.*Delete it"):
            Blocks(path)
    path.write_text("something else altogether")
    with pytest.raises(BistilError, match=r"en\.arrow is no whole file"):
        Blocks(path)
    with pytest.raises(BistilError, match=r"tr\.arrow is no whole file.*No such file"):
        load_blocks(tmp_path, "tr")


def test_a_failed_writing_leaves_no_file(tmp_path):
    def failing():
        yield from numbered(20)
        raise BistilError("the text ends badly")

    with pytest.raises(BistilError, match="ends badly"):
        save_blocks(tmp_path, "en", failing())
    assert not list(tmp_path.iterdir())
    with pytest.raises(BistilError, match="cannot be written"):
        save_blocks(tmp_path / "missing", "en", iter(numbered(20)))
