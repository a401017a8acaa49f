"""A stream that is left and taken up again, against one that was not: every format, here and in a store."""

import gzip
import json
import time
from functools import partial

import fsspec
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from torch.utils.data import DataLoader
from transformers import default_data_collator

from bistil.corpora import formats, text
from bistil.corpora.formats import zstd
from bistil.corpora.masking import Masking
from bistil.corpora.streamed import StreamedBlocks
from bistil.errors import BistilError

FORMATS = {
    "txt": lambda texts: "\n".join(texts).encode(),
    "txt.gz": lambda texts: gzip.compress("\r\n".join(texts).encode()),
    "txt.zst": lambda texts: b"".join(zstd.compress(f"{one}\n".encode()) for one in texts),
    "jsonl": lambda texts: "\n\n".join(json.dumps({"text": one}) for one in texts).encode(),
    "jsonl.zst": lambda texts: zstd.compress(FORMATS["jsonl"](texts)),
    "parquet": lambda texts: _parquet(texts),
}  # fmt: skip
SHARDS = 3


def _parquet(texts: list[str]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    rows = [None if number % 50 == 3 else one for number, one in enumerate(texts)]
    parquet.write_table(pyarrow.table({"text": rows}), sink, row_group_size=11)
    return sink.getvalue().to_pybytes()


@pytest.fixture(params=["here", "memory"])
def root(request, tmp_path):
    """A folder on the disk, or one in a store."""
    if request.param == "here":
        yield str(tmp_path)
    else:
        store = fsspec.filesystem("memory")
        yield "memory://shards"
        store.rm("/shards", recursive=True)


def write(url: str, content: bytes) -> None:
    with fsspec.open(url, "wb") as file:
        file.write(content)


@pytest.fixture(params=FORMATS)
def opened(request, root, tiny_lines):
    """For each language a function that opens its three shards, some of whose texts have several lines."""
    functions = {}
    for language, own in tiny_lines.items():
        lines = own * 3
        texts = ["\n".join(lines[start : start + 1 + start % 3]) for start in range(0, len(lines), 3)]
        for number in range(SHARDS):
            write(f"{root}/{language}/{number}.{request.param}", FORMATS[request.param](texts[number::SHARDS]))
        functions[language] = partial(text.lines, text.files(f"{root}/{language}/*.{request.param}"))
    return functions


@pytest.fixture
def streamed(tiny_tokenizer):
    def build(opened, **settings) -> StreamedBlocks:
        values = {"block": 32, "batch": 4, "batches": 90, "seed": 0, "buffer": 24, **settings}
        return StreamedBlocks(opened, tiny_tokenizer, Masking.of(tiny_tokenizer), **values)

    return build


def plain(items) -> list[tuple[int, tuple[int, ...]]]:
    return [(item["language"], tuple(item["input_ids"].tolist())) for item in items]


def test_lines_go_on_after_any_of_them(opened, monkeypatch):
    for open_at in opened.values():
        whole = list(open_at())
        for given in (0, 1, 2, len(whole) // 2, len(whole) - 1, len(whole)):
            reader = open_at()
            assert [next(reader) for _ in range(given)] == whole[:given]
            read_ahead = [next(reader) for _ in range(min(20, len(whole) - given))]
            assert read_ahead == whole[given : given + 20]
            again = open_at(reader.place(given))
            assert list(again) == whole[given:]
            assert open_at(again.place(0)).place(0) == reader.place(given)


def test_blocks_go_on_after_any_step(opened, streamed, tmp_path):
    data = streamed(opened)
    whole = []
    for number, item in enumerate(data):
        if number in (0, 4, 100, 348):
            data.save(tmp_path / f"{number}", number)
        whole.append(item)
    assert len(whole) == 360  # more than an epoch
    whole = plain(whole)
    for start in (0, 4, 100, 348):
        resumed = streamed(opened)
        assert resumed.resume(tmp_path / f"{start}")
        items = iter(resumed)
        again = plain(next(items) for _ in range(8))
        resumed.save(tmp_path / "further", start + 8)  # before another buffer was filled
        assert again + plain(items) == whole[start:]
    last = streamed(opened)
    last.resume(tmp_path / "further")
    assert plain(last) == whole[356:]


@pytest.mark.parametrize("opened", ["jsonl.zst"], indirect=True)
@pytest.mark.parametrize("root", ["here"], indirect=True)
def test_with_a_worker_that_reads_ahead(opened, streamed, tmp_path):
    data = streamed(opened)
    whole = plain(streamed(opened))
    loader = DataLoader(data, batch_size=4, num_workers=1, collate_fn=default_data_collator)
    for step, _ in enumerate(loader, start=1):
        data.reached(4 * step)
        if step in (1, 2, 37):
            data.save(tmp_path / "place", 4 * step)
            resumed = streamed(opened)
            assert resumed.resume(tmp_path / "place")
            assert plain(resumed) == whole[4 * step :]
        if step == 37:
            break
    again = streamed(opened)
    assert again.resume(tmp_path / "place")
    next(iter(DataLoader(again, batch_size=4, num_workers=1, collate_fn=default_data_collator)))
    again.save(tmp_path / "further", 4 * 38)
    last = streamed(opened)
    assert last.resume(tmp_path / "further")
    assert plain(last) == whole[4 * 38 :]


@pytest.mark.parametrize("opened", ["jsonl"], indirect=True)
@pytest.mark.parametrize("root", ["here"], indirect=True)
def test_a_process_that_is_dealt_its_batches_waits_for_no_place(opened, streamed, tmp_path):
    data = streamed(opened)
    next(iter(data))
    data.save(tmp_path / "place", 4)
    idle = streamed(opened)
    assert idle.resume(tmp_path / "place")
    started = time.monotonic()
    assert idle.reached(80) is None
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("opened", ["parquet", "jsonl"], indirect=True)
@pytest.mark.parametrize("root", ["here"], indirect=True)
def test_nothing_is_read_twice(opened, streamed, tmp_path, monkeypatch):
    """But for the record at which the stream was left."""
    read = []
    records = formats.records

    def noted(path, column, start):
        for record, texts in records(path, column, start):
            read.append((path.parent.name, path.name, record))
            yield record, texts

    monkeypatch.setattr("bistil.corpora.lines.records", noted)
    monkeypatch.setattr("bistil.corpora.encoding.CHUNK_LINES", 5)
    data = streamed(opened, batches=40)
    items = iter(data)
    for _ in range(80):
        next(items)
    data.save(tmp_path / "place", 80)
    items.close()
    before = list(read)
    read.clear()
    resumed = streamed(opened, batches=40)
    assert resumed.resume(tmp_path / "place")
    next(iter(resumed))
    assert before
    # 5 lines a chunk, of which three are read ahead
    for language in ("en", "tr"):
        own = [place for place in before if place[0] == language]
        again = [place for place in read if place[0] == language]
        assert len(set(own) & set(again)) <= 15


def test_a_stream_of_something_else(opened, streamed, tmp_path):
    data = streamed(opened)
    next(iter(data))
    data.save(tmp_path / "place", 4)
    turned = dict(reversed(opened.items()))
    with pytest.raises(BistilError, match=r"place belongs to a stream whose languages is \['en', 'tr'\], not"):
        streamed(turned).resume(tmp_path / "place")
    with pytest.raises(BistilError, match="whose seed is 0, not 1"):
        streamed(opened, seed=1).resume(tmp_path / "place")
    assert not streamed(opened).resume(tmp_path / "gone")
    (tmp_path / "place").write_bytes((tmp_path / "place").read_bytes()[:200])
    with pytest.raises(BistilError, match="place cannot be read"):
        streamed(opened).resume(tmp_path / "place")


def test_lines_without_places_have_nothing_to_save(streamed, tiny_lines, tmp_path):
    data = streamed({language: partial(iter, lines * 3) for language, lines in tiny_lines.items()})
    assert len(list(data)) == 360
    data.save(tmp_path / "place", 360)
    assert not (tmp_path / "place").exists()


def test_errors_after_a_place_name_the_line(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a"}\r{"text": "b"}\n{"text": "c"}\n{"text": 1}\n')
    reader = text.lines(text.files(path))
    assert [next(reader) for _ in range(3)] == ["a", "b", "c"]
    for given in (1, 2, 3):
        with pytest.raises(BistilError, match=r"x\.jsonl, line 4: the column 'text' holds int"):
            list(text.lines(text.files(path), reader.place(given)))
    parquet.write_table(pyarrow.table({"text": ["a", "b"]}), tmp_path / "x.parquet")
    assert np.all([line in "ab" for line in text.lines(text.files(tmp_path / "x.parquet"))])
