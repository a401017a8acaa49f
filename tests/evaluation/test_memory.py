"""The measuring of memory, on systems that are made up by replacing what they are asked."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from bistil.cli import app
from bistil.errors import BistilError
from bistil.evaluation import efficiency, memory
from bistil.evaluation.efficiency import Candidate, measure
from bistil.report.formats import peak_memory as written
from bistil.report.tables import costs_table
from bistil.tasks import PartOfSpeech

TASK = PartOfSpeech(("NOUN", "VERB"))
SHORT = [{"input_ids": torch.full((1, 2), 5)}]


@pytest.fixture(scope="module")
def tagger(tiny_teacher, tiny_tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger") / "model"
    TASK.new_model(tiny_teacher).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "words.conllu"
    path.write_text("1\töğretmen\t_\tNOUN\t_\t_\t0\troot\t_\t_\n\n" * 4, encoding="utf-8")
    return path


def test_on_windows_the_peak_is_that_of_the_working_set(monkeypatch):
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=5, peak_wset=123_456_789))
    monkeypatch.setattr(memory, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(memory.psutil, "Process", lambda: process)
    monkeypatch.setitem(sys.modules, "resource", None)  # which Windows does not have
    assert memory._peak() == 123_456_789


def test_on_macos_the_peak_is_in_bytes_of_getrusage(monkeypatch):
    usage = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: SimpleNamespace(ru_maxrss=321_000_000))
    monkeypatch.setattr(memory, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setitem(sys.modules, "resource", usage)
    assert memory._peak() == 321_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_on_linux_the_peak_is_this_process_s_own():
    import psutil

    assert psutil.Process().memory_info().rss <= 1.05 * memory._peak()


@pytest.mark.parametrize("status", ["Name:\tpython\nVmRSS:\t  5 kB\n", None])
def test_a_system_that_does_not_count_says_so(status, monkeypatch, tmp_path):
    path = tmp_path / "status"
    if status is not None:
        path.write_text(status, encoding="utf-8")
    monkeypatch.setattr(memory, "sys", SimpleNamespace(platform="freebsd14"))
    monkeypatch.setattr(memory, "Path", lambda _: path)
    assert memory._peak() is None


def test_a_process_that_fails_says_why(tmp_path):
    with pytest.raises(BistilError, match=r"ended with status 1: .*config\.json"):
        memory.peak_memory(tmp_path, "torch", TASK, SHORT, bare=False)


def test_an_unknown_peak_is_an_error_with_a_reason(tagger, monkeypatch):
    ended = SimpleNamespace(returncode=0, stdout="noise\nnull\n", stderr="")
    monkeypatch.setattr(memory.subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(BistilError, match="does not report a process's peak"):
        memory.peak_memory(tagger, "torch", TASK, SHORT, bare=False)


def test_a_killed_process_is_no_riddle(tagger, monkeypatch):
    ended = SimpleNamespace(returncode=-9, stdout="", stderr="")
    monkeypatch.setattr(memory.subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(BistilError, match="status -9: it was killed from outside"):
        memory.peak_memory(tagger, "torch", TASK, SHORT, bare=False)


@pytest.fixture
def failing(monkeypatch):
    def fail(*_, **__):
        raise BistilError("the process that runs it ended with status 1: MemoryError")

    monkeypatch.setattr(efficiency, "peak_memory", fail)


def test_a_run_goes_on_without_the_number(failing, tagger, words):
    cost = measure({"one": Candidate(tagger)}, TASK, TASK.read(words))["one"]
    assert cost["throughput"] > 0
    assert json.loads(json.dumps(cost))["memory_bytes"] is None
    assert cost["memory_error"].endswith("MemoryError")


def test_bench_says_what_is_not_measured_and_why(failing, tagger, words):
    shown = CliRunner().invoke(app, ["bench", str(tagger), str(words)]).stdout
    row = next(line for line in shown.splitlines() if line.startswith(f"{tagger}, torch "))
    assert "not measured" in row
    assert f"Not measured: memory of {tagger}, torch: the process that runs it ended" in shown


def test_the_report_says_not_measured():
    models = [{"role": "teacher", "title": "T", "memory_bytes": None}, {"role": "student", "title": "S"}]
    table = costs_table({"models": models})
    assert table is not None
    assert table.columns == ("Model", "Peak memory")
    assert table.rows == (("T", "not measured"), ("S", "–"))
    assert written({"memory_bytes": 612_000_000}) == "612 MB"
