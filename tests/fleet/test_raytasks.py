"""Tasks of Ray: what no machine has room for is said, and what goes wrong in the task's own words."""

import socket
import time
from pathlib import Path

import pytest

from bistil.errors import BistilError
from bistil.fleet.raytasks import RayTasks
from bistil.fleet.work import Done, Job
from bistil.recipe.matrix import Resources

ray = pytest.importorskip("ray")


@pytest.fixture
def begun(monkeypatch):
    """With what Ray was begun, which has a machine of 16 GB without a GPU."""
    options = {}
    machine = {"Alive": True, "Resources": {"CPU": 16.0, "memory": 16e9}}
    lost = {"Alive": False, "Resources": {"CPU": 16.0, "GPU": 8.0, "memory": 64e9}}
    monkeypatch.setattr("ray.init", lambda **given: options.update(given))
    monkeypatch.setattr("ray.nodes", lambda: [machine, lost] if options["address"] == "auto" else [machine])
    return options


@pytest.fixture
def job(tmp_path):
    return lambda key: Job("tr/half", {}, key, (), str(tmp_path), "", None, 1)


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "127.0.0.1:99999"])
def test_where_no_cluster_answers_is_said_at_once(address):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(BistilError, match=r"There is no Ray cluster at .*127\.0\.0\.1"):
        RayTasks(address.format(port=port), 1, Resources())


def test_rays_own_machine_has_room_for_a_stage_of_several_processes(begun):
    RayTasks(None, 2, Resources(cpus=2, processes=3))
    assert begun["num_cpus"] == 2 * 2 * 3


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        (Resources(gpus=0.5), r"is to have 1 CPUs, 0\.5 GPUs, and on this machine Ray finds 16 CPUs, 0 GPUs\. "),
        (
            Resources(cpus=4, memory_gb=32),
            r"is to have 4 CPUs, 32\.0 GB of memory, and on .* finds 16 CPUs, 16\.0 GB of memory\. Lower",
        ),
    ],
)
def test_what_this_machine_lacks_is_said_at_once(begun, resources, said):
    with pytest.raises(BistilError, match=said):
        RayTasks(None, 1, resources)


def test_what_a_cluster_lacks_is_said_while_it_is_waited_for(begun, job, monkeypatch, capsys):
    executor = RayTasks("auto", 1, Resources(gpus=1))
    executor._jobs = {"task": job("distill-1"), "other": job("vocabulary-1")}
    found = {10.0: [], None: ["task"]}  # by how long it waits
    monkeypatch.setattr("ray.wait", lambda tasks, timeout: (found.pop(timeout), tasks))
    monkeypatch.setattr("ray.get", lambda _: Done("tr/half", "distill-1", 1.0))
    assert executor.next().problem is None
    said = "tr/half waits for a machine with 1 CPUs, 1 GPUs; the cluster has none so far.\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (
            FileNotFoundError(2, "No such file or directory", "/data/a"),
            "FileNotFoundError: [Errno 2] No such file",
        ),
        (ValueError("\x1b[31mred\x1b[0m."), "ValueError: red."),
        (None, "Its machine is gone."),
    ],
)
def test_a_failure_is_told_in_the_words_of_the_task(begun, job, monkeypatch, cause, said):
    if cause is None:
        error = ray.exceptions.RayError("\x1b[36mIts machine is gone.\x1b[39m\nMore of it\n")
    else:
        error = ray.exceptions.RayTaskError("do", "a trace", cause).as_instanceof_cause()

    def fail(_):
        raise error

    executor = RayTasks("auto", 1, Resources())
    executor._jobs = {"task": job("distill-1")}
    monkeypatch.setattr("ray.wait", lambda *_, **__: (["task"], []))
    monkeypatch.setattr("ray.get", fail)
    problem = executor.next().problem
    assert problem.startswith(f"Ray could not do it: {said}")
    assert "\x1b" not in problem


@pytest.mark.slow
def test_what_is_interrupted_saves(job, tmp_path, monkeypatch):
    def working(job):
        folder = Path(job.folder)
        try:
            (folder / "begun").touch()  # from here on it may be interrupted
            for _ in range(1000):
                time.sleep(0.1)
        finally:
            time.sleep(1)
            (folder / "saved").touch()

    monkeypatch.setattr("bistil.fleet.raytasks.do", working)
    executor = RayTasks(None, 1, Resources())
    executor.submit(job("distill-1"))
    while not (tmp_path / "begun").exists():
        time.sleep(0.1)
    executor.close()
    assert (tmp_path / "saved").exists()
