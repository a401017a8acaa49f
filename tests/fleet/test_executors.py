"""Processes of this machine that die, are interrupted, or lose their driver."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bistil.fleet.executors import Processes
from bistil.fleet.work import Done, Job
from bistil.recipe.matrix import Resources

pytestmark = pytest.mark.slow  # every process imports torch


def doing(job: Job) -> Done:
    """By the key: dies, leaves once, or works for long; interrupted it saves, which takes a while."""
    with (Path(job.folder) / job.key).open("a") as begun:
        begun.write("begun\n")
    if job.key == "dies":
        os._exit(9)
    if job.key == "leaves" and (Path(job.folder) / job.key).read_text() == "begun\n":
        signal.raise_signal(signal.SIGTERM)
    if job.key == "works":
        try:
            time.sleep(100)
        finally:
            time.sleep(1)
            (Path(job.folder) / "saved").touch()
    if job.key == "innocent":
        died = Path(job.folder) / "dies"
        wait_for(lambda: died.exists() and died.read_text().count("begun") == 3)
        time.sleep(1)
    return Done(job.label, job.key, 0.0)


def wait_for(there, seconds=60.0):
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def job(tmp_path):
    return lambda key: Job("tr/half", {}, key, (), str(tmp_path), "", None, 1)


@pytest.fixture
def executor(monkeypatch):
    monkeypatch.setattr("bistil.fleet.executors.do", doing)
    made = Processes(2, Resources())
    yield made
    made.close()


def test_one_that_dies_takes_no_other_with_it(executor, job, tmp_path):
    executor.submit(job("innocent"))
    executor.submit(job("dies"))
    ended = {done.key: done.problem for done in (executor.next(), executor.next())}
    assert ended.pop("dies").startswith("Its process died 3 times")
    assert ended == {"innocent": None}
    assert (tmp_path / "innocent").read_text() == "begun\n"


def test_one_that_died_between_two_jobs_is_replaced(executor, job):
    executor.submit(job("first"))
    assert executor.next().problem is None
    (process,) = executor._idle[-1]._processes.values()
    process.kill()
    process.join()
    time.sleep(1)  # until it is noticed
    executor.submit(job("second"))
    assert executor.next() == Done("tr/half", "second", 0.0)


def test_what_is_told_to_leave_is_done_again(executor, job, tmp_path):
    executor.submit(job("leaves"))
    assert executor.next() == Done("tr/half", "leaves", 0.0)
    assert (tmp_path / "leaves").read_text() == "begun\n" * 2


def test_what_is_interrupted_saves(executor, job, tmp_path):
    executor.submit(job("works"))
    wait_for((tmp_path / "works").exists)
    ((_, pool),) = executor._running.values()
    for process in pool._processes.values():
        os.kill(process.pid, signal.SIGINT)  # as Ctrl-C does to all; not twice, for saving would break off
    executor.close()
    assert (tmp_path / "saved").exists()


DRIVER = """
import sys, time
import test_executors as tests
from bistil.fleet import executors

if __name__ == "__main__":
    executors.do = tests.doing
    executor = executors.Processes(1, executors.Resources())
    executor.submit(executors.Job("tr/half", {}, "works", (), sys.argv[1], "", None, 1))
    executor.next()
"""


def test_what_lost_its_driver_saves(tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    driver = subprocess.Popen(
        [sys.executable, tmp_path / "driver.py", tmp_path], env={**os.environ, "PYTHONPATH": path}
    )
    wait_for((tmp_path / "works").exists)
    driver.kill()
    driver.wait()
    wait_for((tmp_path / "saved").exists, 15)
