"""One process at a time: a second one is told who holds the folder, and a dead one holds nothing."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from bistil.errors import BistilError
from bistil.pipeline.locks import held

HOLDER = """
import pathlib, sys, time
from bistil.pipeline.locks import held
with held(pathlib.Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_told_who_holds_it_and_since_when(tmp_path, holder):
    with (
        pytest.raises(
            BistilError, match=rf"^The run is held by process {holder.pid} on \S+ since 2\S+ \S+\. Wait"
        ),
        held(tmp_path / "lock", "The run"),
    ):
        pytest.fail("two hold it")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_what_a_killed_process_held_is_free(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with held(tmp_path / "lock", "The run"):
        pass


def test_with_a_voice_it_waits(tmp_path):
    """Also in threads of one process."""
    order, said = [], []

    def other() -> None:
        with held(tmp_path / "lock", "A stage", said.append):
            order.append("other")

    with held(tmp_path / "lock", "A stage"):
        thread = threading.Thread(target=other)
        thread.start()
        while not said:
            time.sleep(0.01)
        order.append("this")
    thread.join()
    assert order == ["this", "other"]
    assert said[0].startswith(f"A stage is held by process {os.getpid()} on ")
    assert [one.name for one in tmp_path.iterdir()] == ["lock"]


def test_a_lock_where_nothing_can_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(BistilError, match=r"Cannot write to .*file/sub"),
        held(tmp_path / "file/sub/lock", "The run"),
    ):
        pass
