import json

import pytest

from bistil.errors import BistilError
from bistil.vocabulary import counted
from bistil.vocabulary.count import count_tokens
from bistil.vocabulary.counted import count_corpus


@pytest.fixture
def path(tiny_lines, tmp_path):
    (tmp_path / "en.txt").write_text("\n".join(tiny_lines["en"]))
    return tmp_path / "en.txt"


def alike(one, other):
    return (one.counts.tolist(), one.lines, one.held_out) == (other.counts.tolist(), other.lines, other.held_out)


def test_files_and_streams_count_alike_but_for_held_out_lines(tiny_tokenizer, tiny_lines, path):
    lines = tiny_lines["en"]
    corpus = count_corpus(tiny_tokenizer, "en", str(path))
    assert corpus.held_out == (lines[1], lines[101])
    assert corpus.lines == len(lines) - 2
    expected = count_tokens(tiny_tokenizer, [line for line in lines if line not in corpus.held_out])
    assert corpus.counts.tolist() == expected.tolist()
    assert alike(corpus, count_corpus(tiny_tokenizer, "en", [path]))
    assert alike(corpus, count_corpus(tiny_tokenizer, "en", iter(lines)))
    assert alike(corpus, count_corpus(tiny_tokenizer, "en", ({"text": line} for line in lines)))


def test_at_most_so_many_lines_are_held_out(tiny_tokenizer, monkeypatch):
    monkeypatch.setattr(counted, "HELD_OUT_LINES", 3)
    corpus = count_corpus(tiny_tokenizer, "en", (f"line {number}" for number in range(1000)))
    assert corpus.held_out == ("line 1", "line 101", "line 201")
    assert corpus.lines == 997


def test_counts_of_files_are_found_again(tiny_tokenizer, path, tmp_path, monkeypatch):
    cache, seen = tmp_path / "cache", []
    first = count_corpus(tiny_tokenizer, "en", path, cache)
    with monkeypatch.context() as patch:
        patch.setattr(counted, "count_tokens", None)
        tiny_tokenizer("text", truncation=True, max_length=3)  # leaves its setting behind
        assert alike(first, count_corpus(tiny_tokenizer, "en", path, cache, seen.append))
    assert seen == [first.lines]
    path.write_text(path.read_text() + "\none more line")
    assert count_corpus(tiny_tokenizer, "en", path, cache).lines == first.lines + 1
    other = type(tiny_tokenizer)(tokenizer_object=type(tiny_tokenizer.backend_tokenizer).from_str(
        json.dumps({**json.loads(tiny_tokenizer.backend_tokenizer.to_str()), "normalizer": {"type": "Lowercase"}})
    ))  # fmt: skip
    assert count_corpus(other, "en", path, cache).counts.tolist() != first.counts.tolist()
    assert len(list(cache.iterdir())) == 3


def test_a_cache_that_cannot_be_written_costs_nothing(tiny_tokenizer, path, tmp_path):
    (tmp_path / "file").write_text("")
    found = count_corpus(tiny_tokenizer, "en", path, tmp_path / "file" / "cache")
    assert alike(found, count_corpus(tiny_tokenizer, "en", path))


def test_nothing_is_kept_of_a_corpus_that_cannot_be_read(tiny_tokenizer, path, tmp_path):
    path.write_bytes(b"good\nb\xffd\n")
    with pytest.raises(BistilError, match="byte 0xff at offset 6"):
        count_corpus(tiny_tokenizer, "en", path, tmp_path / "cache")
    assert not list(tmp_path.glob("cache/*"))


def test_a_stream_without_text_names_the_language(tiny_tokenizer):
    with pytest.raises(BistilError, match="There is no text in the tr corpus"):
        count_corpus(tiny_tokenizer, "tr", iter([]))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lines.json", b"{"),
        ("lines.json", b'{"lines": "3", "held_out": []}'),
        ("lines.json", b'{"lines": 3}'),
        ("lines.json", b'{"lines": 3, "held_out": ["\\ud83d"]}'),
        ("counts.npy", b""),
        (
            "counts.npy",
            b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999,), }\n",
        ),
        ("counts.npy", b"\x80\x04N."),
    ],
)
def test_counts_that_were_damaged(name, content, tiny_tokenizer, path, tmp_path):
    count_corpus(tiny_tokenizer, "en", path, cache=tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    (folder / name).write_bytes(content)
    with pytest.raises(BistilError, match=rf"{folder.name} cannot be read .* Delete this folder"):
        count_corpus(tiny_tokenizer, "en", path, cache=tmp_path / "cache")
