"""Stage folders: whole or absent, reused by fingerprint, kept for going on after an interruption."""

import io
import json

import pytest

from bistil.errors import BistilError
from bistil.files import publish
from bistil.progress import Progress
from bistil.stages import Stages


@pytest.fixture
def stages(tmp_path):
    return Stages(tmp_path / "stages", Progress(io.StringIO()))


def writer(text: str, calls: list[str]):
    def build(folder, stage) -> None:
        calls.append(text)
        (folder / "result").write_text(text)

    return build


def test_same_inputs_are_built_once(stages):
    calls: list[str] = []
    first = stages.make("blocks", "One", {"a": 1, "b": [2]}, writer("x", calls))
    again = stages.make("blocks", "One", {"b": [2], "a": 1}, writer("y", calls))
    other = stages.make("blocks", "One", {"a": 2, "b": [2]}, writer("z", calls))
    assert first.path == again.path != other.path
    assert calls == ["x", "z"]
    assert (first.path / "result").read_text() == "x"
    assert first.manifest["inputs"]["a"] == 1
    assert json.loads((first.path / "manifest.json").read_text())["seconds"] >= 0


def test_a_stage_is_used_once_and_its_root_must_be_a_folder(stages, tmp_path):
    first, _ = (stages.make("blocks", "One", {}, writer("x", [])) for _ in range(2))
    assert stages.used == [first]
    (tmp_path / "file").touch()
    with pytest.raises(BistilError, match=r"Cannot make the folder .*file/stages: Not a directory"):
        Stages(tmp_path / "file/stages", Progress(io.StringIO()))


def test_a_stage_counts_by_its_fingerprint(stages):
    calls: list[str] = []
    one, two = (stages.make("vocabulary", "Up", {"n": n}, writer(str(n), calls)) for n in (1, 2))
    first = stages.make("undistilled", "Down", {"up": one}, writer("a", calls))
    second = stages.make("undistilled", "Down", {"up": two}, writer("b", calls))
    assert first.path != second.path
    assert calls == ["1", "2", "a", "b"]


def test_error_leaves_nothing(stages):
    def build(folder, stage) -> None:
        (folder / "half").write_text("")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        stages.make("blocks", "One", {}, build)
    assert list(stages.root.iterdir()) == []


def test_interruption_keeps_the_work_for_the_next_run(stages):
    def interrupted(folder, stage) -> None:
        (folder / "checkpoint").write_text("7")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.make("blocks", "One", {}, interrupted)
    assert not [path for path in stages.root.iterdir() if not path.name.startswith(".")]
    seen = []
    folder = stages.make("blocks", "One", {}, lambda f, _: seen.append((f / "checkpoint").read_text()))
    assert seen == ["7"]
    assert folder.path.is_dir()


def test_publish_replaces_a_folder_whole(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "model").write_text("new")
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "stale").write_text("old")
    publish(tmp_path / "new", tmp_path / "public")
    assert [path.name for path in (tmp_path / "public").iterdir()] == ["model"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "public"]
