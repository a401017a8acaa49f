"""A fleet: every stage once, whatever fails elsewhere, and the same weights however it is done."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from tests import tiny

from bistil.cli import main
from bistil.evaluation import efficiency
from bistil.files import fingerprint_file
from bistil.fleet import work
from bistil.fleet.executors import InTurn, Processes
from bistil.fleet.fleet import Fleet, run_fleet
from bistil.fleet.raytasks import RayTasks
from bistil.fleet.store import Store
from bistil.pipeline.runs import run
from bistil.pipeline.stages import Stages
from bistil.progress import Progress
from bistil.recipe.matrix import Matrix, Resources
from bistil.report.fleet import fleet_markdown, sentence, summarise
from bistil.report.page import fleet_page
from bistil.vocabulary import counted as counting


def silent():
    return Progress(io.StringIO())


def weights(out):
    """Of all stages, as hashes."""
    return {
        str(path.relative_to(out)): fingerprint_file(path)
        for path in sorted(out.glob("stages/*/**/*.safetensors"))
    }


def smallest(values):
    """One task without pseudo-labels, little text."""
    (task,) = values["tasks"]
    task = {**task, "max_train_samples": 64, "pseudo_labels": 0}
    return {**values, "tasks": [task], "distill": {"tokens": 512, "sequence_length": 16, "batch_size": 8}}


@pytest.fixture(scope="module")
def values(tmp_path_factory, tiny_lines, tiny_teacher):
    return smallest(tiny.matrix(tmp_path_factory.mktemp("fleet"), tiny_lines, tiny_teacher))


@pytest.fixture(scope="module")
def finished(values):
    """The matrix, made in turn, with each stage that was built."""
    built, make = [], Stages._built
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficiency, "peak_memory", lambda *_, **__: 0)
        patch.setattr(
            Stages,
            "_built",
            lambda own, partial, title, *rest: built.append(partial.name) or make(own, partial, title, *rest),
        )
        found = run_fleet(Matrix.checked(values), InTurn(), silent())
    return found, built


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(efficiency, "peak_memory", lambda *_, **__: 0)


@pytest.mark.slow
def test_every_stage_is_made_once_and_every_recipe_has_its_report(finished, values):
    found, built = finished
    assert len(built) == len(set(built))
    stages = [path.name for path in (found.output_dir / "stages").iterdir() if not path.name.startswith(".")]
    assert len(stages) == len(built) == 28
    work = found.summary["work"]
    assert (work["made"], work["reused"], work["shared"], work["recipes"]) == (24, 0, 8, 4)
    assert found.summary["failed"] == []
    for label in ("tr/half", "tr/quarter", "az/half", "az/quarter"):
        report = json.loads((found.output_dir / label / "report.json").read_text())
        own = next(one for one in found.summary["recipes"] if one["label"] == label)
        (task,) = report["tasks"]
        ours, theirs = (task["scores"][role][label[:2]][0] for role in ("student", "teacher"))
        assert own["tasks"][0]["difference"] == pytest.approx(ours - theirs)
        assert (found.output_dir / label / "student/model.safetensors").is_file()


@pytest.mark.slow
def test_a_recipe_of_it_has_the_weights_of_a_run_of_its_own(finished, values, tmp_path, quick):
    recipe = Matrix.checked(values).recipes()["az/quarter"].model_copy(update={"out": tmp_path})
    run(recipe, silent())
    own = weights(tmp_path)
    assert own
    assert own.items() <= weights(finished[0].output_dir).items()
    for name in ("student", "tasks/food"):
        one, other = (
            path / name / "model.safetensors" for path in (tmp_path, finished[0].output_dir / "az/quarter")
        )
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_a_second_time_makes_nothing(finished, values, monkeypatch):
    monkeypatch.setattr(work, "do", lambda job: pytest.fail(f"{job} is there"))
    monkeypatch.setattr("bistil.fleet.executors.do", lambda job: pytest.fail(f"{job} is there"))
    found = run_fleet(Matrix.checked(values), InTurn(), silent())
    assert (found.summary["work"]["made"], found.summary["work"]["reused"]) == (0, 24)
    assert len(found.summary["recipes"]) == 4


@pytest.mark.slow
def test_what_fails_is_listed_and_the_rest_is_made_then_only_what_is_missing(values, tmp_path, quick):
    folder = Path(values["source"]["text"]).parent
    text = (folder / "az.txt").read_bytes()
    matrix = Matrix.checked({**values, "students": {"half": {}}, "out": str(tmp_path / "out")})
    (folder / "az.txt").write_bytes(b"\xff" + text)
    try:
        found = run_fleet(matrix, InTurn(), silent())
    finally:
        (folder / "az.txt").write_bytes(text)
    assert [one["label"] for one in found.summary["recipes"]] == ["tr/half"]
    (failed,) = found.summary["failed"]
    assert (failed["recipe"], failed["stage"]) == ("az/half", "Trimming the vocabulary")
    assert failed["problem"].startswith(str(folder / "az.txt"))
    assert "is not UTF-8 text" in failed["problem"]
    page = (tmp_path / "out/fleet.html").read_text("utf-8")
    assert "is not UTF-8 text" in page
    again = run_fleet(matrix, InTurn(), silent())
    assert (again.summary["work"]["made"], again.summary["work"]["reused"]) == (8, 8)
    assert again.summary["failed"] == []
    assert len(again.summary["recipes"]) == 2


@pytest.mark.slow
def test_a_report_is_of_the_stages_that_are_there_and_its_models_are_with_it(values, tmp_path, quick):
    (task,) = values["tasks"]
    lines = Path(task["test"].format(language="tr")).read_text("utf-8").splitlines(keepends=True)
    test, out = tmp_path / "test.jsonl", tmp_path / "out/tr/half"
    one = {"languages": {"tr": values["languages"]["tr"]}, "students": {"half": {}}, "out": str(tmp_path / "out")}
    matrix = Matrix.checked({**values, **one, "tasks": [{**task, "test": {"tr": str(test)}}]})

    def tested(examples):
        test.write_text("".join(lines[:examples]), "utf-8")
        found = run_fleet(matrix, InTurn(), silent()).summary
        (own,) = json.loads((out / "report.json").read_text())["tasks"]
        return found["work"]["made"], [one["stage"] for one in found["failed"]], own["tests"]["tr"]["examples"]

    assert tested(12) == (8, [], 12)
    (out / "student/mine.txt").touch()
    assert tested(10) == (2, ["Report"], 12)
    (out / "student/mine.txt").unlink()
    assert tested(10) == (0, [], 10)
    assert tested(12) == (0, [], 12)
    for name in ("student", "tasks/food"):
        shutil.rmtree(out / name)
    assert tested(12) == (0, [], 12)
    assert (out / "student/model.safetensors").is_file()
    assert (out / "tasks/food/model.safetensors").is_file()


@pytest.mark.slow
def test_an_error_that_nobody_foresaw_is_one_too(values, tmp_path, quick, monkeypatch):
    monkeypatch.setattr("bistil.pipeline.unlabelled.pack", lambda *_: 1 / 0)
    found = run_fleet(Matrix.checked({**values, "out": str(tmp_path)}), InTurn(), silent())
    problems = {one["problem"] for one in found.summary["failed"]}
    assert problems == {"ZeroDivisionError: division by zero. The log has more."}
    assert found.summary["work"]["reused"] == 0
    assert "ZeroDivisionError" in (tmp_path / "logs/tr-half.log").read_text()


@pytest.mark.slow
def test_what_cannot_be_read_fails_alone_and_is_said_first(values, tmp_path, quick):
    folder = Path(values["source"]["text"]).parent
    (tmp_path / "labels.jsonl").write_text('{"text": "a", "label": "unheard of"}\n')
    (task,) = values["tasks"]
    test = {"tr": str(tmp_path / "labels.jsonl"), "az": str(folder / "task.az.jsonl")}
    text = {**values["languages"], "sw": str(tmp_path / "none.txt")}
    test |= {"sw": test["az"]}
    changed = {**values, "languages": text, "tasks": [{**task, "test": test}], "students": {"half": {}}}
    said = io.StringIO()
    found = run_fleet(Matrix.checked({**changed, "out": str(tmp_path / "out")}), InTurn(), Progress(said))
    problems = {one["recipe"]: one["problem"] for one in found.summary["failed"]}
    assert problems.keys() == {"tr/half", "sw/half"}
    assert "unheard of" in problems["tr/half"]
    assert "none.txt does not exist" in problems["sw/half"]
    assert [one["label"] for one in found.summary["recipes"]] == ["az/half"]
    assert found.summary["work"]["recipes"] == 3
    assert f"tr/half: failed: {problems['tr/half']}" in said.getvalue()


def test_the_command_has_status_1_where_something_failed(values, tmp_path, quick, capsys, monkeypatch):
    monkeypatch.setattr("bistil.pipeline.unlabelled.pack", lambda *_: 1 / 0)
    path = tmp_path / "matrix.yaml"
    path.write_text(yaml.safe_dump({**values, "out": str(tmp_path / "out")}))
    with pytest.raises(SystemExit) as end:
        main(["fleet", str(path), "--workers", "1", "--set", "languages={tr: " + values["languages"]["tr"] + "}"])
    assert end.value.code == 1
    assert "tr/half · Packing the text: failed: ZeroDivisionError" in capsys.readouterr().out
    assert main(["fleet", str(path), "--address", "auto", "--workers", "2"]) == 2


@pytest.mark.slow
def test_in_processes_one_of_which_is_killed(values, finished, tmp_path):
    matrix = Matrix.checked({**values, "out": str(tmp_path)})
    executor, submit, killed = Processes(2, Resources()), Processes.submit, []

    def killing(job):
        submit(executor, job)
        if job.key.startswith("distill") and not killed:
            time.sleep(2)
            killed.extend(next(pool._processes for own, pool in executor._running.values() if own == job))
            os.kill(killed[0], signal.SIGKILL)

    executor.submit = killing
    found = run_fleet(matrix, executor, silent())
    assert killed
    assert found.summary["failed"] == []
    assert weights(tmp_path) == weights(finished[0].output_dir)


@pytest.mark.slow
def test_a_job_whose_process_always_dies_fails_and_the_rest_goes_on(values, tmp_path, monkeypatch):
    monkeypatch.setattr("bistil.fleet.executors._begin", _die_at_distillation)
    found = run_fleet(Matrix.checked({**values, "out": str(tmp_path)}), Processes(1, Resources()), silent())
    assert {one["stage"] for one in found.summary["failed"]} == {"General distillation"}
    assert all("Its process died 3 times" in one["problem"] for one in found.summary["failed"])
    assert list(tmp_path.glob("stages/task-teacher-*"))


def _die_at_distillation():
    make = work._make
    work._make = lambda job, progress: os._exit(9) if job.key.startswith("distill") else make(job, progress)


@pytest.mark.slow
def test_processes_that_are_done_leave_nothing_behind():
    """A progress bar holds a semaphore: of one whose process was killed Python warns the user at the end."""
    code = """
from bistil.fleet.executors import Processes
from bistil.recipe.matrix import Resources
executor = Processes(1, Resources())
executor._idle[0].submit(eval, "__import__('tqdm').tqdm.get_lock() and None").result()
executor.close()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ended.stderr == ""


@pytest.mark.slow
def test_by_ray_with_a_store_and_then_elsewhere(values, finished, tmp_path):
    store = str(tmp_path / "store")
    one = run_fleet(
        Matrix.checked({**values, "out": str(tmp_path / "one")}), RayTasks(None, 2, Resources()), silent(), store
    )
    assert one.summary["failed"] == []
    assert weights(tmp_path / "one") == weights(finished[0].output_dir)
    opened = Store(store)
    assert all(len(opened.whole(key)) == 1 for key in opened.entries())
    assert len(opened.entries()) == 28
    matrix = Matrix.checked({**values, "out": str(tmp_path / "two")})
    other = run_fleet(matrix, InTurn(), silent(), store)
    assert other.summary["work"]["made"] == 0
    assert [own["tasks"] for own in other.summary["recipes"]] == [own["tasks"] for own in one.summary["recipes"]]


@pytest.mark.slow
def test_two_processes_on_one_distillation(values, tmp_path):
    one = {**values, "languages": {"tr": values["languages"]["tr"]}, "students": {"half": {}}}
    scores = []
    for processes in (1, 2):
        matrix = Matrix.checked(
            {**one, "resources": {"processes": processes}, "out": str(tmp_path / str(processes))}
        )
        found = run_fleet(matrix, InTurn(), silent())
        assert found.summary["failed"] == []
        scores.append(
            json.loads(next((tmp_path / str(processes)).glob("stages/distill-*/distillation.json")).read_text())
        )
    for one_row, other in zip(*(found["curve"] for found in scores), strict=True):
        assert other == pytest.approx(one_row, rel=5e-3)  # bfloat16 rounds sums of half a batch otherwise


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_a_driver_that_was_killed(values, tmp_path, number):
    path = tmp_path / "matrix.yaml"
    path.write_text(yaml.safe_dump({**values, "out": str(tmp_path / "out")}))
    driver = subprocess.Popen(
        [sys.executable, "-m", "bistil", "fleet", str(path), "--workers", "2"], stdout=subprocess.DEVNULL
    )
    while not list(tmp_path.glob("out/stages/.distill-*")):
        time.sleep(0.1)
    workers = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(number)
    assert driver.wait() == (128 + number if number == signal.SIGTERM else -number)
    assert len(workers) >= 2
    _, alive = psutil.wait_procs(workers, timeout=40)
    assert alive == []


@pytest.mark.slow
def test_a_text_that_recipes_share_is_counted_once(values, tmp_path, quick, monkeypatch):
    counted = []
    count = counting._count

    def noting(tokenizer, lines, *rest):
        lines = list(lines)
        counted.append(lines[0])
        return count(tokenizer, iter(lines), *rest)

    monkeypatch.setattr(counting, "_count", noting)
    run_fleet(Matrix.checked({**values, "students": {"half": {}}, "out": str(tmp_path)}), InTurn(), silent())
    first = [Path(text).read_text("utf-8").splitlines()[0] for text in values["languages"].values()]
    english = Path(values["source"]["text"]).read_text("utf-8").splitlines()[0]
    assert sorted(counted) == sorted([english, *first])


def test_what_failed_is_counted_by_students_not_by_stages():
    failed = [
        {"recipe": "sw/half", "stage": stage, "problem": "no"} for stage in ("Packing", "Trimming", "Saving")
    ]
    found = {"recipes": [], "failed": failed, "doubts": [], "work": {"recipes": 2}}
    assert sentence(found) == "0 of 2 students in 0 languages are ready. 2 failed, see below."
    assert "0 made, 2 failed" in repr(Fleet(Path("out"), found))


def test_a_teacher_that_learned_nothing_is_on_the_page():
    doubts = ["The task ner: the task teacher has learned nothing: …", "The task pos: the task teacher has …"]
    reports = {
        f"{code}/half": (
            "half",
            {
                "targets": [code],
                "models": [{"role": "student"}],
                "tasks": [
                    {
                        "name": "ner",
                        "metric": "f1",
                        "scores": {role: {code: [7.0]} for role in ("teacher", "student")},
                    }
                ],
                **({"doubts": doubts} if code == "tr" else {}),
            },
        )
        for code in ("tr", "sw")
    }
    work = dict.fromkeys(("made", "reused", "shared", "job_seconds", "seconds", "workers"), 1)
    found = summarise("many", "en", reports, [], work | {"recipes": 2})
    assert sentence(found).startswith("2 of 2 students in 2 languages are ready: on average ")
    assert sentence(found).endswith(". The teacher of 1 of them learned nothing, see below.")
    for text in (fleet_markdown(found), fleet_page(found)):
        assert "Teachers that learned nothing" in text
        assert all(doubt in text for doubt in doubts)
    only = summarise("many", "en", {"sw/half": reports["sw/half"]}, [], work | {"recipes": 1})
    assert "learned nothing" not in fleet_page(only) + fleet_markdown(only)
