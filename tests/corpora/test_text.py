import gzip
import json
import os
import threading
from collections import Counter
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import PurePosixPath

import pyarrow
import pytest
from pyarrow import parquet

from bistil.corpora.formats import is_table, zstd
from bistil.corpora.streams import stream_lines
from bistil.corpora.strict import read_text
from bistil.corpora.text import files, lines, sample
from bistil.corpora.textfile import TextFile
from bistil.errors import BistilError

PACK = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}
ROWS = [{"body": "bir\niki", "id": 1}, {"body": None, "id": 2}, {"body": " üç ", "id": 3}]


@pytest.fixture
def corpora(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "b.txt").write_text("two\n")
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "notes.md").write_text("no\n")
    (tmp_path / "deep" / "c[1].txt").write_text("three\n")
    (tmp_path / "deep" / "d.txt.gz").write_bytes(gzip.compress("dört\n".encode()))
    (tmp_path / "deep" / "e.txt.zst").write_bytes(zstd.compress(b"five\n") + zstd.compress(b"six\n"))
    return tmp_path


def test_a_sample_is_of_different_lines_in_their_order_and_each_is_as_likely():
    numbers = [str(number) for number in range(10)]
    counts = Counter()
    for seed in range(2000):
        drawn = sample(iter(numbers), 3, seed)
        assert drawn == sorted(drawn)
        assert len(set(drawn)) == 3
        counts.update(drawn)
    assert all(count == pytest.approx(600, rel=0.15) for count in counts.values())
    assert sample(numbers, 3, 5) == sample(numbers, 3, 5)
    assert sample(numbers, 20, 0) == numbers
    assert sample(numbers, 0, 0) == []


def read(path):
    return list(lines([TextFile(path)]))


def names(found):
    return [file.path.name for file in found]


def test_files_globs_and_folders(corpora):
    assert names(files(str(corpora / "a.txt"))) == ["a.txt"]
    assert names(files(corpora / "deep" / "c[1].txt")) == ["c[1].txt"]
    assert names(files(str(corpora / "*.txt"))) == ["a.txt", "b.txt"]
    assert names(files(str(corpora / "**" / "*.txt"))) == ["a.txt", "b.txt", "c[1].txt"]
    assert names(files(str(corpora))) == ["a.txt", "b.txt", "c[1].txt", "d.txt.gz", "e.txt.zst"]
    assert names(files([str(corpora / "b.txt"), str(corpora / "*.txt")])) == ["a.txt", "b.txt"]
    assert files(files(corpora)) == files(corpora)


def test_what_is_not_there_is_named(corpora):
    with pytest.raises(BistilError, match=r"gone/\*\.txt does not exist"):
        files([str(corpora / "a.txt"), str(corpora / "gone" / "*.txt")])
    (corpora / "bare").mkdir()
    with pytest.raises(BistilError, match=r"bare has no \.txt, \.jsonl, \.parquet, \.gz, \.zst file"):
        files(str(corpora / "bare"))
    with pytest.raises(BistilError, match="No text file is named"):
        files([])


def test_columns_are_named_behind_a_colon(tmp_path):
    for name in ("a.jsonl", "b.jsonl.gz", "c:d.parquet", "x.txt"):
        (tmp_path / name).touch()
    assert files(tmp_path / "a.jsonl") == [TextFile(tmp_path / "a.jsonl", "text")]
    assert files(f"{tmp_path}/*.jsonl*:body") == [
        TextFile(tmp_path / "a.jsonl", "body"),
        TextFile(tmp_path / "b.jsonl.gz", "body"),
    ]
    assert files(tmp_path / "c:d.parquet") == [TextFile(tmp_path / "c:d.parquet", "text")]
    with pytest.raises(BistilError, match=r"x\.txt has no column 'body'"):
        files(f"{tmp_path}/x.txt:body")


def test_fingerprints_tell_bytes_and_columns(tmp_path):
    for name, text in (("a.jsonl", "one"), ("b.jsonl", "one"), ("c.jsonl", "two")):
        (tmp_path / name).write_text(text)
    a, b, c = (file.fingerprint for file in files(tmp_path))
    assert a == b != c
    assert files(f"{tmp_path}/a.jsonl:body")[0].fingerprint != a


def test_lines_of_all_files_in_order(corpora):
    assert list(lines(files(corpora))) == ["one", "two", "three", "dört", "five", "six"]


def test_byte_order_mark_line_ends_and_blank_lines(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes("\ufeff  bir\u2028iki \r\n\r\n \t\nüç".encode())
    assert read(path) == ["bir\u2028iki", "üç"]


def test_the_format_is_that_of_the_name_alone(tmp_path):
    for name in ("http://x/en.jsonl?a=b/c.txt", "https://x/en.jsonl.gz?a=1"):
        assert is_table(PurePosixPath(name))
    (tmp_path / "c4-tr.00000.json.gz").write_bytes(gzip.compress(b'{"text": "ev"}\n'))
    assert list(lines(files(tmp_path))) == ["ev"]


@pytest.mark.parametrize("packed", PACK)
def test_columns_of_json_lines(tmp_path, packed):
    path = tmp_path / f"x.jsonl{packed}"
    path.write_bytes(PACK[packed]("\n\n".join(map(json.dumps, ROWS)).encode()))
    assert list(lines(files(f"{path}:body"))) == ["bir", "iki", "üç"]
    with pytest.raises(BistilError, match=r"x\.jsonl.*, line 1 has no column 'text', but body, id\."):
        list(lines(files(path)))
    with pytest.raises(BistilError, match=r"line 1: the column 'id' holds int, not text"):
        list(lines(files(f"{path}:id")))


def test_lines_that_are_no_rows(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a"}\n["b"]\n')
    with pytest.raises(
        BistilError, match=r"x\.jsonl, line 2: a row with the column 'text' was expected, not list"
    ):
        list(lines(files(path)))
    path.write_text('{"text": "a"}\n\n{"text": \n')
    with pytest.raises(BistilError, match=r"x\.jsonl, line 3 is not JSON"):
        list(lines(files(path)))


def test_columns_of_parquet(tmp_path):
    path = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    assert list(lines(files(f"{path}:body"))) == ["bir", "iki", "üç"]
    with pytest.raises(BistilError, match=r"x\.parquet has no column 'text', but body, id\."):
        list(lines(files(path)))
    with pytest.raises(BistilError, match=r"row 1: the column 'id' holds int"):
        list(lines(files(f"{path}:id")))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BistilError, match=r"x\.parquet cannot be read"):
        list(lines(files(path)))


def test_streams_of_strings_and_rows():
    assert list(stream_lines(iter(["a\nb", " ", "c"]), "it")) == ["a", "b", "c"]
    assert list(stream_lines(({"text": text} for text in ("a", None, "b")), "it")) == ["a", "b"]
    with pytest.raises(BistilError, match=r"it, row 0 has no column 'text', but body\."):
        list(stream_lines([{"body": "a"}], "it"))
    with pytest.raises(BistilError, match="There is no text in it"):
        list(stream_lines(iter([]), "it"))


def test_datasets(tmp_path):
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_dict({"text": ["a", "b\nc"], "other": ["x", "y"]})
    assert list(stream_lines(dataset, "it")) == ["a", "b", "c"]
    assert list(stream_lines(dataset["other"], "it")) == ["x", "y"]
    assert list(stream_lines(dataset.to_iterable_dataset(), "it")) == ["a", "b", "c"]


@pytest.mark.parametrize("packed", PACK)
def test_wrong_encoding_names_file_and_offset(tmp_path, packed):
    path = tmp_path / f"latin.txt{packed}"
    path.write_bytes(PACK[packed]("iyi\nkötü\n".encode() + "güzel\n".encode("latin-1")))
    with pytest.raises(BistilError, match=r"latin\.txt.* is not UTF-8 text: byte 0xfc at offset 12\."):
        read(path)


def test_nothing_to_read(tmp_path):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "blank.txt").write_text(" \n\n")
    with pytest.raises(BistilError, match=r"no text in .*blank\.txt, .*empty\.txt"):
        list(lines(files(tmp_path)))
    with pytest.raises(BistilError, match=r"gone\.txt cannot be read"):
        read(tmp_path / "gone.txt")


@pytest.mark.parametrize("packed", [".gz", ".zst"])
@pytest.mark.parametrize("damage", [slice(3, None), slice(None, -9), slice(None, 15)])
def test_damaged_archive(tmp_path, damage, packed):
    path = tmp_path / f"x.txt{packed}"
    path.write_bytes(PACK[packed](b"one line and another line\n" * 20)[damage])
    with pytest.raises(BistilError, match=r"x\.txt.* cannot be read"):
        read(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_in_labelled_files(end, tmp_path):
    text = ["Kuş uçtu.", "the grey cat", "bir satır\u2028daha"]
    path = tmp_path / "x.txt"
    path.write_bytes(end.join(text).encode())
    assert list(lines(files(path))) == text == read_text(path).split("\n")
    assert list(stream_lines([end.join(text)], "it")) == text
    rows = [json.dumps({"text": one}) for one in text]
    (tmp_path / "x.jsonl").write_bytes(end.join([*rows, "{"]).encode())
    with pytest.raises(BistilError, match=r"x\.jsonl, line 4 is not JSON"):
        list(lines(files(tmp_path / "x.jsonl")))


def test_half_a_character(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a"}\n{"text": "the grey cat \\ud83d"}\n')
    with pytest.raises(BistilError, match=r"x\.jsonl, line 2: \\ud83d is half of a character"):
        list(lines(files(path)))
    for rows in (["a", "b \ud83d"], [{"text": "a"}, {"text": "b \ud83d"}]):
        with pytest.raises(BistilError, match=r"it, row 1: \\ud83d is half of a character"):
            list(stream_lines(rows, "it"))


def test_a_packed_file_cannot_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("bistil.corpora.formats.LONGEST", 1 << 20)
    path = tmp_path / "x.txt.gz"
    path.write_bytes(gzip.compress(b"cat\n" + b"a" * (1 << 20)))
    assert sum(map(len, lines(files(path)))) == 3 + (1 << 20)
    path.write_bytes(gzip.compress(b"cat\n" + b"a" * (1 << 26)))
    with pytest.raises(BistilError, match=r"x\.txt\.gz: the line at offset 4 is longer than 1 MiB"):
        list(lines(files(path)))


@pytest.fixture
def store():
    import fsspec

    memory = fsspec.filesystem("memory")
    for name, content in {
        "b.jsonl.zst": zstd.compress(b'{"body": "two"}\n'),
        "deep/a.txt": b"one\n",
        "notes.md": b"no\n",
    }.items():
        memory.pipe(f"/texts/{name}", content)
    yield memory
    memory.rm("/texts", recursive=True)


def test_files_in_a_store(store, tmp_path):
    assert [str(file.path) for file in files("memory://texts")] == [
        "memory://texts/b.jsonl.zst",
        "memory://texts/deep/a.txt",
    ]
    (tmp_path / "z.txt").write_text("three\n")
    both = files([f"file://{tmp_path}/*.txt", "memory://texts/*.zst:body", "memory://texts/**/*.txt"])
    assert [file.is_remote for file in both] == [False, True, True]
    assert both[0] == files(str(tmp_path))[0]
    assert list(lines(both)) == ["three", "two", "one"]
    assert sum(file.path.stat().st_size for file in both) == 6 + len(store.cat("/texts/b.jsonl.zst")) + 4


def test_a_file_in_a_store_is_known_by_what_the_store_says(store):
    def prints():
        return [file.fingerprint for file in files(["memory://texts/b.jsonl.zst:body", "memory://texts/deep"])]

    before = prints()
    assert prints() == before
    assert before[1].startswith("memory://texts/deep/a.txt:4:")
    assert before[0].endswith(":body")
    store.pipe("/texts/deep/a.txt", b"new\n")
    after = prints()
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)


def test_a_file_of_a_web_server_without_checksums_is_known_by_its_last_change(tmp_path):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    path = tmp_path / "en.txt"
    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        prints = []
        for content, time in (("one\n", 1e9), ("one\n", 1e9), ("two\n", 1e9 + 60)):
            path.write_text(content)
            os.utime(path, (time, time))
            prints.append(files(f"http://127.0.0.1:{server.server_port}/en.txt")[0].fingerprint)
        server.shutdown()
    assert (prints[0] == prints[1], prints[1] == prints[2]) == (True, False)


def test_urls_that_mean_nothing(store):
    for url, message in (
        ("memory://texts/*.gone", r"The text memory://texts/\*\.gone does not exist"),
        ("memory://texts/b.jsonl.zst:", "b.jsonl.zst: does not exist"),
        ("memory://texts/deep/a.txt:body", r"a\.txt has no column 'body'"),
        ("nowhere://texts/a.txt", r"nowhere://texts/a\.txt cannot be read here: Protocol not known: nowhere\."),
        ("gs://texts/a.txt", r"gs://texts/a\.txt cannot be read here: Please install gcsfs"),
    ):
        with pytest.raises(BistilError, match=message):
            files(url)
    (file,) = files("memory://texts/deep")
    store.rm("/texts/deep/a.txt")
    with pytest.raises(BistilError, match=r"memory://texts/deep/a\.txt cannot be read"):
        list(lines([file]))
    with pytest.raises(BistilError, match=r"memory://texts/deep/a\.txt cannot be found"):
        file.fingerprint  # noqa: B018
