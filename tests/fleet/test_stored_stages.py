"""Stages of several machines: each made once, gone on with elsewhere, made again where the store is damaged."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from bistil.errors import BistilError
from bistil.fleet.stages import StoredStages, stored
from bistil.fleet.store import Store
from bistil.pipeline.runs import run
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe

STALE = 1.5


def machine(url, folder, stream=None, apart=300.0, stale=STALE):
    return StoredStages(folder, Progress(stream or io.StringIO()), Store(url), stale, apart)


def writer(calls, text="x", pause=0.0):
    def build(folder, stage):
        calls.append(text)
        time.sleep(pause)
        (folder / "result").write_text(text)

    return build


def test_what_one_machine_made_another_fetches(url, tmp_path):
    calls, said = [], io.StringIO()
    one = machine(url, tmp_path / "one").make("blocks", "Packing", {"a": 1}, writer(calls))
    other = machine(url, tmp_path / "two", said).make("blocks", "Packing", {"a": 1}, writer(calls))
    assert calls == ["x"]
    assert one.path != other.path
    assert one.manifest == other.manifest
    assert (other.path / "result").read_text() == "x"
    assert "Packing: fetched" in said.getvalue()


def test_of_machines_at_once_one_makes_it(url, tmp_path):
    calls, made = [], []

    def work(number):
        stages = machine(url, tmp_path / str(number), stale=60)  # however slow this machine is
        made.append(stages.make("blocks", "Packing", {}, writer(calls, pause=0.5)).manifest)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == ["x"]
    assert len(made) == 4
    assert len(Store(url).whole(Store(url).entries()[0])) == 1


def test_an_artefact_that_is_damaged_is_made_again(url, tmp_path):
    calls, said = [], io.StringIO()
    made = machine(url, tmp_path / "one").make("blocks", "Packing", {}, writer(calls))
    store = Store(url)
    (artefact,) = store.whole(made.path.name)
    store.files.pipe_file(store._path("artefacts", artefact.key, artefact.attempt, "result"), b"y")
    again = machine(url, tmp_path / "two", said).make("blocks", "Packing", {}, writer(calls))
    assert calls == ["x", "x"]
    assert "warning: Packing: in the store result was changed; it is made again." in said.getvalue()
    assert again.damage() is None
    (whole,) = store.whole(made.path.name)
    assert store.damage(whole) is None


def test_what_could_not_be_uploaded_is_the_next_time(url, tmp_path, monkeypatch):
    calls, put = [], Store.put

    def failing(*_):
        raise BistilError("The store cannot be written to")

    monkeypatch.setattr(Store, "put", failing)
    with pytest.raises(BistilError):
        machine(url, tmp_path / "one").make("blocks", "Packing", {}, writer(calls))
    monkeypatch.setattr(Store, "put", put)
    assert Store(url).entries() == []
    machine(url, tmp_path / "one").make("blocks", "Packing", {}, writer(calls))
    machine(url, tmp_path / "two").make("blocks", "Packing", {}, writer(calls))
    assert calls == ["x"]


def test_a_stage_under_the_name_of_another_is_not_taken(url, tmp_path):
    calls = []
    made = machine(url, tmp_path / "one").make("blocks", "Packing", {}, writer(calls))
    shutil.copytree(made.path, tmp_path / "copy")
    manifest = json.loads((tmp_path / "copy/manifest.json").read_text())
    (tmp_path / "copy/manifest.json").write_text(json.dumps(manifest | {"fingerprint": "0" * 64}))
    store = Store(url)
    store.remove(store.whole(made.path.name)[0])
    store.put(made.path.name, tmp_path / "copy")
    machine(url, tmp_path / "two").make("blocks", "Packing", {}, writer(calls))
    assert calls == ["x", "x"]


def test_an_error_leaves_no_artefact_and_the_next_machine_its_turn_at_once(url, tmp_path):
    def failing(folder, stage):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        machine(url, tmp_path / "one").make("blocks", "Packing", {}, failing)
    calls, started = [], time.monotonic()
    machine(url, tmp_path / "two").make("blocks", "Packing", {}, writer(calls))
    assert calls == ["x"]
    assert time.monotonic() - started < STALE


def test_an_upload_that_fails_keeps_the_stage_here(url, tmp_path, monkeypatch):
    calls = []
    one = machine(url, tmp_path / "one")
    monkeypatch.setattr(one._store.files, "put_file", lambda *_, **__: (_ for _ in ()).throw(OSError("gone")))
    with pytest.raises(BistilError, match="cannot be written to: gone"):
        one.make("blocks", "Packing", {}, writer(calls))
    monkeypatch.undo()
    again = machine(url, tmp_path / "one").make("blocks", "Packing", {}, writer(calls))
    assert calls == ["x"]
    assert again.damage() is None


def checkpoint(folder, step):
    place = folder / f"training/checkpoint-{step}"
    place.mkdir(parents=True)
    (place / "weights").write_text(f"weights of {step}")
    (place / "trainer_state.json").write_text("{}")


def test_a_training_goes_on_elsewhere_from_its_last_checkpoint(url, tmp_path):
    def preempted(folder, stage):
        checkpoint(folder, 1)
        checkpoint(folder, 2)
        shutil.rmtree(folder / "training/checkpoint-1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        machine(url, tmp_path / "one").make("distill", "Distilling", {}, preempted)
    seen = []

    def build(folder, stage):
        seen.extend(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
        shutil.rmtree(folder / "training")
        (folder / "result").write_text("done")

    made = machine(url, tmp_path / "two").make("distill", "Distilling", {}, build)
    assert seen == ["spent.json", "training/checkpoint-2/trainer_state.json", "training/checkpoint-2/weights"]
    assert [path.name for path in sorted(made.path.iterdir())] == ["manifest.json", "result"]
    assert Store(url).whole(made.path.name, "checkpoints") == []


def test_a_machine_that_returns_goes_on_from_the_last_checkpoint_not_from_its_own(url, tmp_path):
    def preempted(step, seen):
        def build(folder, stage):
            seen.extend(path.name for path in sorted(folder.glob("training/checkpoint-*")))
            shutil.rmtree(folder / "training", ignore_errors=True)
            checkpoint(folder, step)
            raise KeyboardInterrupt

        return build

    seen = []
    for name, step in (("one", 2), ("two", 9), ("one", 11), ("one", 12)):
        with pytest.raises(KeyboardInterrupt):
            machine(url, tmp_path / name).make("distill", "Distilling", {}, preempted(step, seen))
    assert seen == ["checkpoint-2", "checkpoint-9", "checkpoint-11"]


def test_checkpoints_are_uploaded_while_it_trains_the_newest_alone(url, tmp_path):
    store, seen = Store(url), []

    def build(folder, stage):
        for step in (1, 2):
            checkpoint(folder, step)
            started = time.monotonic()
            while time.monotonic() - started < 10:
                found = (
                    store.whole(store.entries("checkpoints")[0], "checkpoints")
                    if store.entries("checkpoints")
                    else []
                )
                if len(found) == 1 and f"training/checkpoint-{step}/weights" in found[0].files:
                    seen.append(step)
                    break
                time.sleep(0.05)
        shutil.rmtree(folder / "training")

    machine(url, tmp_path / "one", apart=0.1).make("distill", "Distilling", {}, build)
    assert seen == [1, 2]


def hidden(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_what_a_kill_left_of_a_transfer_the_next_run_removes(tmp_path, monkeypatch):
    """A kill is an interruption after which nothing is tidied up."""
    url, download = str(tmp_path / "store"), Store._download

    def cut_off(*arguments):
        download(*arguments)
        raise KeyboardInterrupt

    def preempted(folder, stage):
        checkpoint(folder, 1)
        raise KeyboardInterrupt

    def finished(folder, stage):
        shutil.rmtree(folder / "training")

    machine(url, tmp_path / "one").make("blocks", "Packing", {}, writer([]))
    with monkeypatch.context() as killed:
        killed.setattr(shutil, "rmtree", lambda *_, **__: None)
        killed.setattr(Store, "_download", cut_off)
        with pytest.raises(KeyboardInterrupt):
            machine(url, tmp_path / "two").make("blocks", "Packing", {}, writer([]))
        killed.setattr(Store, "_download", download)
        with pytest.raises(KeyboardInterrupt):
            machine(url, tmp_path / "two").make("distill", "Distilling", {}, preempted)
    assert len(hidden(tmp_path / "two")) > 2
    machine(url, tmp_path / "two").make("blocks", "Packing", {}, writer([]))
    machine(url, tmp_path / "two").make("distill", "Distilling", {}, finished)
    assert hidden(tmp_path / "two") == [".locks"]


def test_what_was_begun_here_and_finished_elsewhere_goes(url, tmp_path):
    def preempted(folder, stage):
        checkpoint(folder, 1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        machine(url, tmp_path / "one").make("distill", "Distilling", {}, preempted)
    for name in ("two", "one"):
        machine(url, tmp_path / name).make(
            "distill", "Distilling", {}, lambda folder, stage: shutil.rmtree(folder / "training")
        )
    assert hidden(tmp_path / "one") == [".locks"]


@pytest.mark.parametrize("links", [True, False])
def test_a_checkpoint_is_uploaded_without_temporary_files_and_without_links(url, tmp_path, monkeypatch, links):
    """Only what is whole, and as it was: the training goes on, and removes it."""
    store, put = Store(url), Store.put

    def removed_first(self, key, folder, kind="artefacts"):
        shutil.rmtree(tmp_path / f"one/.{key}.partial/training/checkpoint-2", ignore_errors=True)
        return put(self, key, folder, kind)

    def preempted(folder, stage):
        checkpoint(folder, 2)
        (folder / "training/checkpoint-3").mkdir()
        (folder / "training/checkpoint-3/weights").write_text("half")
        (folder / "curve.json").write_text("[]")
        raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    monkeypatch.setattr(Store, "put", removed_first)
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(KeyboardInterrupt):
        machine(url, tmp_path / "one").make("distill", "Distilling", {}, preempted)
    (left,) = store.whole(store.entries("checkpoints")[0], "checkpoints")
    assert set(left.files) == {
        "curve.json",
        "spent.json",
        "training/checkpoint-2/trainer_state.json",
        "training/checkpoint-2/weights",
    }
    assert store.damage(left) is None


def no_links(*_):
    raise PermissionError(1, "Operation not permitted")


def test_an_upload_of_checkpoints_that_fails_is_said_once(tmp_path, monkeypatch):
    tried, said, put = [], io.StringIO(), Store.put

    def failing(self, key, folder, kind="artefacts"):
        if kind == "artefacts":
            return put(self, key, folder, kind)
        tried.append(key)
        raise BistilError("The store is full.")

    def build(folder, stage):
        checkpoint(folder, 1)
        started = time.monotonic()
        while len(tried) < 3 and time.monotonic() - started < 10:
            time.sleep(0.02)
        shutil.rmtree(folder / "training")

    monkeypatch.setattr(Store, "put", failing)
    machine(str(tmp_path / "store"), tmp_path / "one", said, apart=0.05).make("distill", "Distilling", {}, build)
    assert len(tried) >= 3
    warnings = [line for line in said.getvalue().splitlines() if line.startswith("warning")]
    assert warnings == ["warning: Distilling: the last checkpoint was not uploaded: The store is full."]


KILLED = """
import io, sys, time
from pathlib import Path
from bistil.fleet.stages import StoredStages
from bistil.fleet.store import Store
from bistil.progress import Progress

def build(folder, stage):
    place = folder / "checkpoint-7"
    place.mkdir()
    (place / "weights").write_text("seven")
    (place / "trainer_state.json").write_text("{}")
    time.sleep(1)
    print("training", flush=True)
    time.sleep(60)

stages = StoredStages(Path(sys.argv[2]), Progress(io.StringIO()), Store(sys.argv[1]), 1.5, 0.2)
stages.make("distill", "D", {}, build)
"""


def test_a_machine_that_is_killed_is_taken_over_from_where_it_was(tmp_path):
    url = str(tmp_path / "store")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, url, str(tmp_path / "one")], stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdout.readline() == "training\n"
    process.kill()
    process.wait()
    process.stdout.close()
    seen, said = [], io.StringIO()

    def build(folder, stage):
        seen.append((folder / "checkpoint-7/weights").read_text())
        shutil.rmtree(folder / "checkpoint-7")

    machine(url, tmp_path / "two", said).make("distill", "D", {}, build)
    assert seen == ["seven"]
    assert f"D: process {process.pid} on" in said.getvalue()
    assert "taking over" in said.getvalue()


@pytest.mark.slow
def test_a_run_with_a_store_is_the_run_without_one_and_another_machine_computes_nothing(experiment, tmp_path):
    values = experiment | {"seeds": [0], "baselines": []}
    recipes = {
        name: Recipe.model_validate(values | {"out": str(tmp_path / name)}) for name in ("alone", "one", "two")
    }
    said = {name: io.StringIO() for name in recipes}
    for name, recipe in recipes.items():
        progress = Progress(said[name])
        run(recipe, progress, None if name == "alone" else stored(str(tmp_path / "store"), recipe.out, progress))
    weights = {
        name: [(recipe.out / place / "model.safetensors").read_bytes() for place in ("student", "tasks/food")]
        for name, recipe in recipes.items()
    }
    assert weights["alone"] == weights["one"] == weights["two"]
    done = [line for line in said["two"].getvalue().splitlines() if "done in" in line]
    assert [line.split(":")[0] for line in done] == ["Fetching the teacher"]
    assert said["two"].getvalue().count(": fetched") == len(list((tmp_path / "store/artefacts").iterdir()))
