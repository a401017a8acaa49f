import gzip

import pytest

from bistil.corpora.text import files, lines
from bistil.errors import BistilError


@pytest.fixture
def corpora(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "b.txt").write_text("two\n")
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "notes.md").write_text("no\n")
    (tmp_path / "deep" / "c[1].txt").write_text("three\n")
    (tmp_path / "deep" / "d.txt.gz").write_bytes(gzip.compress("dört\n".encode()))
    return tmp_path


def names(paths):
    return [path.name for path in paths]


def test_files_globs_and_folders(corpora):
    assert names(files(str(corpora / "a.txt"))) == ["a.txt"]
    assert names(files(str(corpora / "deep" / "c[1].txt"))) == ["c[1].txt"]
    assert names(files(str(corpora / "*.txt"))) == ["a.txt", "b.txt"]
    assert names(files(str(corpora / "**" / "*.txt"))) == ["a.txt", "b.txt", "c[1].txt"]
    assert names(files(str(corpora))) == ["a.txt", "b.txt", "c[1].txt", "d.txt.gz"]
    assert names(files([str(corpora / "b.txt"), str(corpora / "*.txt")])) == ["a.txt", "b.txt"]


def test_what_is_not_there_is_named(corpora):
    with pytest.raises(BistilError, match=r"gone/\*\.txt does not exist"):
        files([str(corpora / "a.txt"), str(corpora / "gone" / "*.txt")])
    (corpora / "bare").mkdir()
    with pytest.raises(BistilError, match=r"bare has no \.txt or \.gz file"):
        files(str(corpora / "bare"))
    with pytest.raises(BistilError, match="No text file is named"):
        files([])


def test_lines_of_all_files_in_order(corpora):
    assert list(lines(files(str(corpora)))) == ["one", "two", "three", "dört"]


def test_byte_order_mark_line_ends_and_blank_lines(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes("\ufeff  bir\u2028iki \r\n\r\n \t\nüç".encode())
    assert list(lines([path])) == ["bir\u2028iki", "üç"]


@pytest.mark.parametrize("suffix", ["txt", "gz"])
def test_wrong_encoding_names_file_and_offset(tmp_path, suffix):
    path = tmp_path / f"latin.{suffix}"
    content = "iyi\nkötü\n".encode() + "güzel\n".encode("latin-1")
    path.write_bytes(gzip.compress(content) if suffix == "gz" else content)
    with pytest.raises(BistilError, match=rf"latin\.{suffix} is not UTF-8 text: byte 0xfc at offset 12\."):
        list(lines([path]))


def test_nothing_to_read(tmp_path):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "blank.txt").write_text(" \n\n")
    with pytest.raises(BistilError, match=r"no text in .*empty\.txt, .*blank\.txt"):
        list(lines([tmp_path / "empty.txt", tmp_path / "blank.txt"]))
    with pytest.raises(BistilError, match=r"gone\.txt cannot be read"):
        list(lines([tmp_path / "gone.txt"]))


@pytest.mark.parametrize("damage", [slice(3, None), slice(None, -9), slice(None, 15)])
def test_damaged_archive(tmp_path, damage):
    path = tmp_path / "x.txt.gz"
    path.write_bytes(gzip.compress(b"one line and another line\n" * 20)[damage])
    with pytest.raises(BistilError, match=r"x\.txt\.gz cannot be read"):
        list(lines([path]))
