"""The store: whole or absent whatever fails, damage found, and only what nothing needs deleted."""

import json
import os
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from tests.fleet.conftest import use_s3

from bistil.cli import main
from bistil.errors import BistilError
from bistil.fleet.pruning import prune
from bistil.fleet.store import Artefact, Store
from bistil.pipeline.stagecode import STAGES

NOW = timedelta(0)
BLOCKS, DISTILL, VOCABULARY = "blocks-1a2b3c4d5e", "distill-2a2b3c4d5e", "vocabulary-3a2b3c4d5e"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    (made / "model").mkdir(parents=True)
    (made / "model/weights.bin").write_bytes(os.urandom(100_000))
    (made / "empty.txt").touch()
    (made / "kedi ağaç.json").write_text("{}")
    return made


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def in_store(store, artefact, name):
    return store._path(artefact.kind, artefact.key, artefact.attempt, name)


def test_what_is_put_is_fetched_to_the_byte(store, folder, tmp_path):
    made = store.put("blocks-1", folder)
    assert store.entries() == ["blocks-1"]
    assert store.whole("blocks-1") == [made]
    assert made.bytes == 100_002
    assert store.fetch(made, tmp_path / "fetched") is None
    assert contents(tmp_path / "fetched") == contents(folder)
    assert store.damage(made) is None
    assert Store(store.url).whole("blocks-1") == [made]


def test_two_who_read_a_file_at_once_both_read_all_of_it(store, folder):
    path = in_store(store, store.put("blocks-1", folder), "model/weights.bin")
    with store.files.open(path, "rb") as one, store.files.open(path, "rb") as other:
        halves = one.read(50_000), other.read(50_000), one.read(), other.read()
    assert halves[0] + halves[2] == halves[1] + halves[3] == contents(folder)["model/weights.bin"]


@pytest.mark.parametrize("failing", range(4))
def test_an_upload_that_fails_at_any_file_leaves_nothing_that_counts(store, folder, monkeypatch, failing):
    """Three files, then the list of them."""
    calls = []

    def counted(original):
        def call(*arguments, **named):
            calls.append(None)
            if len(calls) > failing:
                raise OSError(28, "No space left on device")
            return original(*arguments, **named)

        return call

    monkeypatch.setattr(store.files, "put_file", counted(store.files.put_file))
    monkeypatch.setattr(store, "_write", counted(store._write))
    with pytest.raises(BistilError, match=r"cannot be written to: No space left on the disk\. Mend that"):
        store.put(BLOCKS, folder)
    monkeypatch.undo()
    again = Store(store.url)
    assert again.whole(BLOCKS) == []
    prune(again, NOW)
    assert [path for path in again.files.find(again._path()) if again.files.isfile(path)] == []


def test_a_file_that_arrives_short_is_no_artefact(store, folder, monkeypatch):
    original = store.files.put_file

    def short(source, target, **named):
        (cut := folder.parent / "cut").write_bytes(Path(source).read_bytes()[:-1])
        return original(str(cut) if source.endswith("weights.bin") else source, target, **named)

    monkeypatch.setattr(store.files, "put_file", short)
    with pytest.raises(BistilError, match="did not arrive whole"):
        store.put("blocks-1", folder)
    assert store.whole("blocks-1") == []


@pytest.mark.parametrize("change", ["changed", "missing"])
def test_damage_is_found_and_nothing_of_it_fetched(store, folder, tmp_path, change):
    made = store.put("blocks-1", folder)
    place = in_store(store, made, "model/weights.bin")
    if change == "changed":
        octets = bytearray(store.files.cat_file(place))
        octets[5_000] ^= 1
        store.files.pipe_file(place, bytes(octets))
    else:
        store.files.rm(place)
    wrong = f"model/weights.bin {'was changed' if change == 'changed' else 'is missing'}"
    assert store.damage(made) == wrong
    assert store.fetch(made, tmp_path / "fetched") == wrong
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in ("made", "store")) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"created": 1, "files": {}}', b'{"files": {"a": {}}}', b"\xff"]
)
def test_a_list_that_is_torn_is_none(store, content):
    assert store.create("artefacts", "blocks-1", "abc.json", content=content)
    assert store.whole("blocks-1") == []


def test_a_list_cannot_write_outside_of_its_folder(store, tmp_path):
    evil = Artefact("artefacts", "blocks-1", "a", {"../../evil": (0, "e3b0")})
    assert store.fetch(evil, tmp_path / "fetched") == "../../evil leads out of it"
    assert not (tmp_path.parent / "evil").exists()


def test_only_one_creates(store):
    assert [store.create("leases", "k", "1.json", content=b"x") for _ in range(3)] == [True, False, False]
    assert store.read("leases", "k", "1.json") == b"x"
    assert store.read("leases", "k", "2.json") is None


def test_what_another_machine_created_after_a_listing_is_its_own(store):
    assert store.create("leases", "k", "000001.json", content=b"x")
    assert len(store.listed("leases", "k")) == 1  # object stores keep what was listed
    other = type(store.files)(**store.files.storage_options, skip_instance_cache=True)
    other.pipe_file(store._path("leases", "k", "000002.json"), b"y")
    assert not store.create("leases", "k", "000002.json", content=b"x")
    assert store.read("leases", "k", "000002.json") == b"y"


def test_pruning_leaves_what_is_needed(store, folder):
    first, second = store.put(BLOCKS, folder), store.put(BLOCKS, folder)
    store.put(BLOCKS, folder, "checkpoints")
    old, new = store.put(DISTILL, folder, "checkpoints"), store.put(DISTILL, folder, "checkpoints")
    torn = store.put(VOCABULARY, folder)
    store.files.rm(store._path("artefacts", VOCABULARY, f"{torn.attempt}.json"))
    for key in (BLOCKS, DISTILL):
        store.create("leases", key, "000001.json", content=b"{}")
    assert prune(store, timedelta(hours=1)) == 0
    assert prune(store, NOW) > 4 * 100_000
    assert store.whole(BLOCKS) == [first] != [second]
    assert store.whole(DISTILL, "checkpoints") == [new] != [old]
    assert store.whole(BLOCKS, "checkpoints") == []
    assert store.listed("artefacts", VOCABULARY) == []
    assert store.read("leases", DISTILL, "000001.json") == b"{}"
    assert store.listed("leases", BLOCKS) == []
    assert store.damage(first) is None
    assert prune(store, NOW) == 0


def test_pruning_takes_what_a_kill_cut_off_of_small_files(tmp_path, folder, monkeypatch):
    """In a folder these are written beside their place, and renamed."""
    store = Store(str(tmp_path / "store"))
    store.prepare()
    made = store.put(BLOCKS, folder)
    lists = [("artefacts", BLOCKS, f"{uuid4().hex}.json"), ("checkpoints", DISTILL, f"{uuid4().hex}.json")]
    with monkeypatch.context() as killed:
        killed.setattr(os, "replace", lambda *_: None)
        killed.setattr(os, "unlink", lambda *_: None)
        for place in (*lists, ("leases", DISTILL, "000001.json")):
            store.write(*place, content=b"cut off")
    (tmp_path / "store/artefacts" / BLOCKS / ".DS_Store").touch()
    assert prune(store, timedelta(hours=1)) == 0
    assert prune(store, NOW) == 3 * len(b"cut off")
    assert store.whole(BLOCKS) == [made]
    hidden = [path.name for path in (tmp_path / "store").rglob(".*")]
    assert hidden == [".DS_Store"]


@pytest.mark.parametrize("name", STAGES)
def test_pruning_knows_every_stage(store, folder, name):
    store.put(f"{name}-0123456789", folder)
    again = store.put(f"{name}-0123456789", folder)
    assert prune(store, NOW) > 100_000
    assert again not in store.whole(f"{name}-0123456789")


def test_pruning_leaves_what_bistil_did_not_write(store, folder):
    store.prepare()
    store.put(BLOCKS, folder)
    store.create("leases", BLOCKS, "000001.json", content=b"{}")
    places = [("checkpoints", "my-model", "epoch3.pt"), ("checkpoints", "my-model", f"{'0' * 32}.json")]
    places += [(part, BLOCKS, "notes.json") for part in ("artefacts", "checkpoints", "leases")]
    for place in (*places, ("artefacts", "mine.txt")):
        store.create(*place, content=b"mine")
    assert prune(store, NOW) == 2
    assert {store.read(*place) for place in places} == {b"mine"}


@pytest.mark.parametrize("part", ["artefacts", "checkpoints", "leases"])
def test_a_folder_with_files_under_a_stores_names_becomes_none(store, part):
    store.create(part, "my-model", "epoch3.pt", content=b"mine")
    with pytest.raises(BistilError, match=r"is no store, .*Give a new folder as the store\."):
        store.prepare()
    assert not store.exists


def run(*arguments):
    try:
        return main(["store", *arguments])
    except SystemExit as end:
        return int(end.code or 0)


def test_commands(tmp_path, folder, capsys):
    url = str(tmp_path / "shared")
    assert run("list", url) == 2
    assert "There is no store at" in capsys.readouterr().err
    store = Store(url)
    store.prepare()
    made = store.put("distill-1a2b3c4d5e", folder)
    store.put(BLOCKS, folder)
    assert run("list", url) == 0
    listed = capsys.readouterr().out
    assert "100 kB" in listed
    assert "3 files  distill-1a2b3c4d5e" in listed
    assert run("verify", url) == 0
    assert "2 stages read, 0 damaged" in capsys.readouterr().out
    assert run("du", url) == 0
    assert "distill" in capsys.readouterr().out
    (tmp_path / "shared/artefacts" / made.key / made.attempt / "empty.txt").write_text("no longer")
    assert run("verify", url) == 1
    assert "distill-1a2b3c4d5e: empty.txt was changed" in capsys.readouterr().out
    store.remove(made)
    torn = f"{made.key}/{uuid4().hex}"
    store.files.makedirs(f"{url}/artefacts/{torn}")
    store.files.pipe_file(f"{url}/artefacts/{torn}/half", b"1234")
    assert run("prune", url) == 0
    assert torn not in capsys.readouterr().out
    assert run("prune", url, "--older", "0") == 0
    assert torn in capsys.readouterr().out
    assert json.loads(next((tmp_path / "shared/artefacts" / BLOCKS).glob("*.json")).read_text())["files"]


@pytest.mark.parametrize("hours", ["inf", "nan", "1e12", "-1"])
def test_hours_that_are_none_are_refused(tmp_path, hours, capsys):
    url = str(tmp_path / "store")
    Store(url).prepare()
    assert run("prune", url, "--older", hours) == 2
    assert "--older" in capsys.readouterr().err


def test_a_bucket_that_was_mistyped_is_not_made(s3, monkeypatch):
    boto3 = pytest.importorskip("boto3")
    use_s3(s3, monkeypatch)
    with pytest.raises(BistilError, match=r"s3://bukcet/bistil cannot be written to: .*bucket does not exist"):
        Store("s3://bukcet/bistil").prepare()
    assert [one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]] == ["bucket"]


@pytest.mark.parametrize("url", ["nonsense://x", "s4://bucket/x", "reference://x"])
def test_a_url_that_is_none_is_one_sentence(url):
    with pytest.raises(BistilError, match=r"cannot be opened.*Correct the URL"):
        Store(url)


def test_a_place_that_is_no_store_and_cannot_be_one(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    for place, reason in (("file", "Not a directory|exists"), ("/proc/nowhere", "No such file|Permission")):
        url = str(tmp_path / place)
        with pytest.raises(BistilError, match=rf"The store {url} cannot be written to: .*({reason})"):
            Store(url).prepare()
        assert run("list", url) == 2
        assert "There is no store at" in capsys.readouterr().err
    assert run("prune", str(tmp_path / "folder"), "--older", "0") == 2
    assert "There is no store at" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(BistilError, match="has no URL"):
        Store("")


def test_a_store_is_prepared_once_and_again(store):
    assert not store.exists
    store.prepare()
    store.prepare()
    assert store.exists
    assert store.entries() == []
