"""The files of a delta: coding of positions, size, damage, and things that are no delta."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bistil.errors import BistilError
from bistil.sparse import files
from bistil.sparse.delta import SparseDelta


@given(st.sets(st.one_of(st.integers(0, 600), st.integers(0, 10**6))))
def test_positions_survive_their_coding(places):
    positions = torch.tensor(sorted(places), dtype=torch.int64)
    coded = files.gaps(positions)
    assert coded.dtype == torch.uint8
    assert torch.equal(files.positions(coded), positions)


def test_worked_example_of_the_coding():
    assert files.gaps(torch.tensor([3, 4, 300])).tolist() == [3, 0, 255, 40]
    assert files.gaps(torch.tensor([254, 255 + 255])).tolist() == [254, 255, 0]


@pytest.fixture
def saved(tmp_path) -> Path:
    """The folder of a delta of 8 % of a layer of a quarter of a million entries."""
    torch.manual_seed(0)
    base, tuned = nn.Linear(500, 500), nn.Linear(500, 500)
    with torch.no_grad():
        for before, after in zip(base.parameters(), tuned.parameters(), strict=True):
            after[torch.rand(after.shape) >= 0.08] = 0
            after += torch.where(after == 0, before, 0)
    SparseDelta.diff(base, tuned).save(tmp_path / "delta")
    return tmp_path / "delta"


def test_file_is_under_60_per_cent_of_plain_arrays(saved):
    entries = sum(map(len, SparseDelta.load(saved).indices.values()))
    assert entries > 15_000
    assert (saved / files.TENSORS).stat().st_size < 0.6 * entries * (8 + 4)


def test_description_says_what_it_is(saved):
    description = json.loads((saved / files.DESCRIPTION).read_text())
    assert description["kind"] == "difference"
    assert 0.07 < description["density"] < 0.09
    assert description["shapes"] == {"weight": [500, 500], "bias": [500]}


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_tensors(saved, share):
    content = (saved / files.TENSORS).read_bytes()
    (saved / files.TENSORS).write_bytes(content[: int(share * len(content))])
    with pytest.raises(BistilError, match="not a complete safetensors file"):
        SparseDelta.load(saved)


def test_truncated_or_foreign_description(saved):
    text = (saved / files.DESCRIPTION).read_text()
    for content, message in (
        (text[:40], "is not complete"),
        ("[]", "is of format None"),
        ('{"format": 1}', "is of format 1; this release reads format 2"),
        ('{"format": 2, "kind": "task"}', "base: Field required"),
        (text.replace('"shapes": {', '"shapes": [], "others": {'), "shapes: Input should be a valid dictionary"),
        (text.replace('"head": {}', '"head": {"labels": 3}'), "head"),
        (text.replace("weight", "height"), r"lacks 'height\.gaps'"),
        (text.replace("500,\n   500", "10,\n   10"), r"do not fit each other or the shape \[10, 10\]"),
    ):
        (saved / files.DESCRIPTION).write_text(content)
        with pytest.raises(BistilError, match=message):
            SparseDelta.load(saved)


class _Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("touched-by-a-pickle"),))


def test_pickle_in_place_of_a_delta_is_refused(saved, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (saved / files.TENSORS).write_bytes(pickle.dumps(_Malicious()))
    with pytest.raises(BistilError, match="not a complete safetensors file"):
        SparseDelta.load(saved)
    assert not Path("touched-by-a-pickle").exists()


def test_no_delta_there(tmp_path):
    with pytest.raises(BistilError, match="holds no sparse delta"):
        SparseDelta.load(tmp_path)
    with pytest.raises(BistilError, match="no folder /none/at/all"):
        SparseDelta.load("/none/at/all")


def test_hub_id(saved, monkeypatch):
    """Both ways, against a hub that is a folder."""
    hub: dict[str, dict[str, bytes]] = {}

    class Api:
        def create_repo(self, name, private, exist_ok):
            assert private
            assert exist_ok
            hub[name] = {}

        def upload_folder(self, repo_id, folder_path, commit_message):
            hub[repo_id] = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}

    def snapshot_download(name, allow_patterns):
        found, folder = hub[name], saved.parent / name.replace("/", "-")
        folder.mkdir()
        for file, content in found.items():
            assert file in allow_patterns
            (folder / file).write_bytes(content)
        return str(folder)

    monkeypatch.setattr(files, "HfApi", Api)
    monkeypatch.setattr(files, "snapshot_download", snapshot_download)
    delta = SparseDelta.load(saved)
    delta.push_to_hub("me/delta", private=True)
    found = SparseDelta.load("me/delta")
    assert torch.equal(found.values["weight"], delta.values["weight"])
    with pytest.raises(BistilError, match="Could not fetch the delta me/another from the hub"):
        SparseDelta.load("me/another")
    hub["me/food"] = {}
    with pytest.raises(BistilError, match=r"^me/food on the hub has no sparse_delta\.safetensors or sparse_delta"):
        SparseDelta.load("me/food")
