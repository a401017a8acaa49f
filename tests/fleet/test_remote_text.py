"""Text in a store of each kind that is tested, S3 among them: found, read, taken up where it was left."""

import json
from itertools import islice

import fsspec
import pytest

from bistil.corpora import text
from bistil.corpora.formats import zstd
from bistil.errors import BistilError
from bistil.recipe.recipe import Recipe


def test_shards_are_found_read_and_taken_up_where_they_were_left(url):
    files, root = fsspec.url_to_fs(url)
    files.makedirs(root, exist_ok=True)
    lines = [f"line {number} of the text" for number in range(900)]
    for shard in range(3):
        own = lines[300 * shard : 300 * (shard + 1)]
        rows = "\n".join(json.dumps({"body": line}) for line in own).encode()
        files.pipe_file(
            f"{root}/{shard}.jsonl{'.zst' * (shard == 1)}", zstd.compress(rows) if shard == 1 else rows
        )
    found = text.files(f"{url}/*.jsonl*:body")
    assert [file.path.name for file in found] == ["0.jsonl", "1.jsonl.zst", "2.jsonl"]
    reader = text.lines(found)
    assert list(islice(reader, 450)) == lines[:450]
    assert list(text.lines(found, reader.place(430))) == lines[430:]
    before = [file.fingerprint for file in found]
    files.pipe_file(f"{root}/2.jsonl", b'{"body": "other"}')
    after = [file.fingerprint for file in text.files(f"{url}/*.jsonl*:body")]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, False]


def test_what_is_not_there_is_named_with_its_field(url, tmp_path):
    (tmp_path / "en.txt").write_text("a line")
    recipe = Recipe.checked(
        {
            "name": "web",
            "source": {"language": "en", "text": str(tmp_path / "en.txt")},
            "target": {"language": "tr", "text": f"{url}/none/*.parquet"},
            "out": str(tmp_path / "out"),
        }
    )
    with pytest.raises(BistilError, match=r"target\.text: .*none/\*\.parquet"):
        recipe.check_files()
