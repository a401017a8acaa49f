"""How a process starts, with threads that wait, and as many as the machine lets it have; and how it ends."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from bistil.pipeline import runs

CODE = """
import os, sys
from bistil.cli import main
try:
    main(["--version"])
except SystemExit:
    pass
assert "torch" not in sys.modules
print(os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
    ids=["default", "count", "policy"],
)
def test_threads_that_wait_sleep_early_unless_told_otherwise(given, expected):
    others = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    process = subprocess.run([sys.executable, "-c", CODE], env=others | given, capture_output=True, text=True)
    assert process.stdout.split()[-1] == expected


def test_training_keeps_to_the_cores_of_its_container(monkeypatch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        monkeypatch.setattr(runs, "available", lambda: 3)
        runs.prepare()
        assert torch.get_num_threads() == 3
        monkeypatch.setattr(runs, "available", lambda: 8)
        runs.prepare()
        assert torch.get_num_threads() == 3  # whoever asked for fewer gets fewer
    finally:
        torch.set_num_threads(before)


TERMINATED = """
import signal
from bistil.launch import leave_on_sigterm
leave_on_sigterm()
try:
    signal.raise_signal(signal.SIGTERM)
finally:
    print("given back")
"""


def test_on_sigterm_what_is_held_is_given_back():
    process = subprocess.run([sys.executable, "-c", TERMINATED], capture_output=True, text=True)
    assert (process.stdout, process.returncode) == ("given back\n", 128 + signal.SIGTERM)
