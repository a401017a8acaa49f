"""A job that fails says why, whichever of its processes met it, and leaves no process behind."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from bistil.fleet import work
from bistil.fleet.work import Job, do


def job(folder, **changed):
    values = {"folder": str(folder), "stages": str(folder / "out/stages"), "store": None, "cpus": 1, **changed}
    return Job("tr/half", {}, "distill-0123456789", (), **values)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_machine_without_the_folder_names_itself(tmp_path):
    said = do(job(tmp_path / "none")).problem
    assert said.startswith(f"{socket.gethostname()} has no folder {tmp_path / 'none'}. Every machine needs")


def test_a_machine_that_cannot_write_names_itself(tmp_path):
    (tmp_path / "out").touch()
    said = do(job(tmp_path)).problem
    assert said.startswith(f"{socket.gethostname()}: {tmp_path / 'out'}")
    assert said.endswith("Correct the path and run again.")


# In the place of torch's: each launch writes what is planned for it beside the job, and ends with a status.
LAUNCHER = """
import json, sys, time
from pathlib import Path
plan, payload = Path("plan.json"), Path(sys.argv[-1])
(said, status), *rest = json.loads(plan.read_text())
plan.write_text(json.dumps(rest))
for rank, problem, foreseen in said:
    payload.with_name(f"problem-{rank}.json").write_text(json.dumps({"problem": problem, "foreseen": foreseen}))
    time.sleep(0.02)
sys.exit(status)
"""
FULL, LOST = [0, "No space left.", True], [1, "RuntimeError: Connection closed by peer. The log has more.", False]


@pytest.mark.parametrize(
    ("launches", "problem", "left"),
    [
        ([([], 0)], None, 0),
        ([([], 1), ([LOST], 1), ([], 0)], None, 0),
        ([([FULL], 1), ([], 0)], "No space left.", 1),
        ([([LOST, FULL], 1), ([], 0)], "No space left.", 1),
        (
            [([], 1)] * 2 + [([LOST, [0, "Another.", False]], 1)],
            f"2 processes that train together ended with status 1. The first said: {LOST[1]}",
            0,
        ),
        ([([], 1)] * 3, "2 processes that train together ended with status 1. The log has more.", 0),
    ],
    ids=["well", "died", "foreseen", "foreseen later", "unforeseen", "always dies"],
)
def test_processes_that_train_together_are_launched_again_unless_they_say_why(
    tmp_path, monkeypatch, launches, problem, left
):
    monkeypatch.setattr(work, "_LAUNCHER", ("-c", LAUNCHER))
    (tmp_path / "plan.json").write_text(json.dumps(launches))
    assert do(job(tmp_path, processes=2)).problem == problem
    assert len(json.loads((tmp_path / "plan.json").read_text())) == left


SAVING = """
import signal, sys, time
def save(*_):
    time.sleep(0.3)
    open("saved", "w").close()
    sys.exit()
signal.signal(signal.SIGTERM, save)
open("begun", "w").close()
time.sleep(60)
"""


def test_an_interruption_reaches_them_and_they_save(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "_LAUNCHER", ("-c", SAVING))
    # what a script starts in the background ignores SIGINT
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt():
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            do(job(tmp_path, processes=2))
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "saved").exists()


# What torch's launcher starts: all is well, the first process meets a full disk at its end, or all work for long.
RANKS = f"""
import os, sys, time
from pathlib import Path
from bistil.fleet import work
from bistil.launch import process_index
from bistil.pipeline.stages import Stages

def make(job, progress):
    def build(folder, stage):
        Path(f"begun-{{process_index()}}").touch()
        if os.environ["STORY"] == "works":
            time.sleep(100)
        if os.environ["STORY"] == "full" and not process_index():
            raise OSError({errno.ENOSPC}, "No space left on device")
    Stages(Path(job.stages), progress).make("distill", "Distilling", {{}}, build, together=True)

work._make = make
work.main(*sys.argv[1:])
"""
ALONE = """
import sys
from pathlib import Path
from bistil.fleet import work
launched = work._launched

def ours(command, *rest):
    at = command.index("bistil.fleet.work")
    return launched([*command[: at - 1], "ranks.py", *command[at + 1 :]], *rest)

work._launched = ours
folder = Path.cwd()
job = work.Job("tr/half", {}, "distill-0123456789", (), str(folder), str(folder / "out/stages"), None, 1, 2)
print(work.do(job).problem)
"""


def worker(story):
    Path("ranks.py").write_text(RANKS)
    environment = {**os.environ, "STORY": story, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", ALONE], stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("story", "problem"),
    [("well", "None"), ("full", "No space left on the disk: Distilling could not write to")],
)
def test_processes_end_together_when_they_are_done_or_the_first_has_failed(story, problem):
    process = worker(story)
    try:
        said, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert said.startswith(problem)


@pytest.mark.slow
def test_processes_that_train_together_end_with_the_one_that_launched_them(tmp_path):
    process = worker("works")
    while not all((tmp_path / f"begun-{rank}").exists() for rank in (0, 1)):
        assert process.poll() is None
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    for one in alive:
        one.kill()
    assert len(children) >= 3
    assert alive == []
