"""Stage folders: whole or absent, reused by fingerprint, kept for going on after an interruption."""

import io
import json
import threading
from types import SimpleNamespace

import pytest

from bistil.errors import BistilError
from bistil.pipeline import stagecode
from bistil.pipeline.stages import Stages
from bistil.progress import Progress


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
    assert [path.name for path in stages.root.iterdir()] == [".locks"]


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


def test_the_time_of_a_training_is_that_of_all_its_runs(stages, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("bistil.pipeline.stages.time", SimpleNamespace(monotonic=lambda: now[0]))

    def interrupted(folder, stage):
        now[0] += 100
        (folder / "training/checkpoint-1").mkdir(parents=True, exist_ok=True)
        raise KeyboardInterrupt

    def finished(folder, stage):
        now[0] += 5

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            stages.make("distill", "One", {}, interrupted)
    made = stages.make("distill", "One", {}, finished)
    assert made.manifest["seconds"] == 205
    assert not (made.path / "spent.json").exists()


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing", "manifest truncated"])
def test_a_damaged_stage_is_made_again_and_what_else_lay_there_stays(tmp_path, damage):
    stream = io.StringIO()
    folder = Stages(tmp_path, Progress(stream)).make("blocks", "Packing", {}, writer("weights", []))
    result, manifest = folder.path / "result", folder.path / "manifest.json"
    match damage:
        case "truncated":
            result.write_text("weig")
        case "changed":
            result.write_text("WEIGHTS")
        case "missing":
            result.unlink()
        case _:
            manifest.write_text(manifest.read_text()[:-40])
    (folder.path / "notes").write_text("mine")
    again = Stages(tmp_path, Progress(stream)).make("blocks", "Packing", {}, writer("weights", []))
    assert again == folder
    assert result.read_text() == "weights"
    assert again.damage() is None
    (aside,) = tmp_path.glob(".blocks-*.damaged-1")
    assert (aside / "notes").read_text() == "mine"
    what = "manifest.json cannot be read" if "manifest" in damage else "result was changed"
    assert f"{what} after it was made, so it is made again. The damaged folder is now {aside}" in stream.getvalue()


def test_what_a_finished_phase_of_a_lottery_ticket_left_survives_an_error(stages):
    """The sparse phase fails before its first checkpoint: the full one is not to be run again."""

    def build(folder, stage) -> None:
        (folder / "training").mkdir()
        (folder / "training/positions-1.safetensors").write_text("chosen")
        raise OSError(28, "No space left on device")

    with pytest.raises(BistilError, match=r"No space left on the disk: Tuning could not write to .* run again"):
        stages.make("task-teacher", "Tuning", {}, build)
    seen = []
    stages.make(
        "task-teacher",
        "Tuning",
        {},
        lambda folder, _: seen.append((folder / "training/positions-1.safetensors").read_text()),
    )
    assert seen == ["chosen"]


def test_two_runs_of_one_store_make_a_stage_once_and_do_not_block_each_other_in_others(tmp_path):
    """Each thread is a run of its own: both want `blocks`, and while one makes it the other makes `vocabulary`."""
    built, begun, other_made = [], threading.Event(), threading.Event()
    streams = [io.StringIO(), io.StringIO()]

    def slow(folder, stage) -> None:
        built.append("blocks")
        begun.set()
        assert other_made.wait(60)

    def first() -> None:
        Stages(tmp_path, Progress(streams[0])).make("blocks", "Packing", {}, slow)

    def second() -> None:
        stages = Stages(tmp_path, Progress(streams[1]))
        stages.make("vocabulary", "Trimming", {}, lambda *_: built.append("vocabulary"))
        other_made.set()
        stages.make("blocks", "Packing", {}, slow)

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert begun.wait(60)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert built == ["blocks", "vocabulary"]
    assert "Packing: reused" in streams[1].getvalue()


def test_a_fingerprint_follows_the_code_and_the_libraries_of_a_stage_but_not_the_release(stages, monkeypatch):
    def made(**versions: str) -> str:
        with monkeypatch.context() as patch:
            known = {"tokenizers": "0.22.1", "torch": "2.13.0+cpu", "transformers": "5.20.0", "bistil": "0.1.0"}
            patch.setattr(stagecode, "version", (known | versions).__getitem__)
            return stages.folder("distill", {"a": 1})[0].fingerprint

    usual = made()
    assert made(bistil="0.2.0") == usual
    assert made(torch="2.13.1+cu130") == usual
    assert made(torch="2.14.0") != usual
    assert made(transformers="5.21.0") != usual
    assert made(tokenizers="0.23.0") != usual
    changed = stagecode.STAGES["distill"]
    monkeypatch.setattr(
        stagecode,
        "STAGES",
        {"distill": stagecode.StageCode(changed.version + 1, changed.libraries, changed.sources)},
    )
    assert made() != usual
