"""A run that exports: its files, what it makes again, and what it says where a form is missing."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import AutoTokenizer

import bistil
from bistil.errors import BistilError
from bistil.exporting import comparison, conversion
from bistil.exporting.card import card
from bistil.exporting.folder import FLOAT, INT8
from bistil.files import check_published
from bistil.pipeline import summary
from bistil.pipeline.pipeline import Pipeline
from bistil.pipeline.runs import run
from bistil.planning import plan
from bistil.planning.walk import walk
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.report.answer import answer

ANY = {"tolerance": 100}


def made(recipe):
    """A run, and the stages that it did not reuse."""
    stream = io.StringIO()
    result = run(Recipe.model_validate(recipe), Progress(stream))
    done = [line.split(": done in")[0] for line in stream.getvalue().splitlines() if ": done in" in line]
    return result, done[1:]  # the first fetches the teacher


@pytest.fixture(scope="module")
def plain(experiment):
    """The recipe of a run that does not export."""
    recipe = experiment | {"seeds": [0], "baselines": []}
    result, _ = made(recipe)
    assert not list(result.output_dir.glob("tasks/food/onnx"))
    return recipe, result


@pytest.fixture(scope="module")
def exported(plain):
    recipe, _ = plain
    return made(recipe | {"export": ANY})


def everything(folder):
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".bistil.json", "README.md")
    }


@pytest.mark.slow
def test_what_was_there_is_reused(exported):
    _, done = exported
    assert done == [
        "Exporting: task student",
        "Saving: task teacher",
        "Exporting: trimmed task teacher",
        "Measuring size and speed",
    ]


@pytest.mark.slow
def test_the_folder_has_the_files_and_its_card_says_so(exported):
    result, _ = exported
    folder = result.output_dir / "tasks/food"
    check_published(folder)
    report = json.loads((folder / "export.json").read_text("utf-8"))
    assert report["bytes"] == {name: (folder / name).stat().st_size for name in (FLOAT, INT8)}
    assert json.loads((folder / "config.json").read_text())["transformers.js_config"] == {"dtype": "q8"}
    assert (folder / "README.md").read_text("utf-8") == card(result.report, "food", report)
    assert "## ONNX and int8" in (folder / "README.md").read_text("utf-8")


@pytest.mark.slow
def test_scores_in_int8_are_those_of_the_file(exported, experiment):
    """Computed anew, with onnxruntime and transformers' tokenizer; texts alone round otherwise than in batches."""
    result, _ = exported
    folder = result.output_dir / "tasks/food"
    session = onnxruntime.InferenceSession(folder / INT8, providers=["CPUExecutionProvider"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    labels = json.loads((folder / "config.json").read_text())["id2label"]
    (task,) = result.report["tasks"]
    kept = json.loads((folder / "export.json").read_text())["scores"]
    for language, path in experiment["tasks"][0]["test"].items():
        right = []
        for row in map(json.loads, Path(path).read_text("utf-8").splitlines()):
            given = {name: np.array([ids]) for name, ids in tokenizer(row["text"]).items()}
            best = session.run(["logits"], given)[0][0].argmax()
            right.append(labels[str(best)] == row["label"])
        assert task["scores"]["student_int8"][language] == [pytest.approx(100 * np.mean(right), abs=2)]
        alone = bistil.load(folder, engine="int8").evaluate(path).scores
        assert task["scores"]["student_int8"][language] == [pytest.approx(alone["accuracy"])]
        assert kept[language]["int8"] == task["scores"]["student_int8"][language][0]
        assert kept[language]["float32"] == pytest.approx(task["scores"]["student"][language][0])
    assert task["comparisons"]["tr"]["trimmed_int8"]["student_against"].keys() >= {"difference", "p"}


@pytest.mark.slow
def test_engines_are_measured_side_by_side(exported):
    result, _ = exported
    models = {model["role"]: model for model in result.report["models"]}
    assert list(models) == ["teacher", "student", "student_onnx", "student_int8", "trimmed_int8"]
    assert [model["engine"] for model in models.values()] == ["torch", "torch", "onnx", "int8", "int8"]
    folder = result.output_dir / "tasks/food"
    beside = sum((folder / name).stat().st_size for name in ("tokenizer.json", "tokenizer_config.json"))
    # config.json of the stage says nothing to transformers.js
    config = len((next(result.output_dir.glob("stages/task-student-*")) / "model/config.json").read_bytes())
    assert models["student_int8"]["disk_bytes"] == (folder / INT8).stat().st_size + beside + config
    for role in ("student_onnx", "student_int8"):
        assert models[role]["parameters"] == models["student"]["parameters"]
    assert models["trimmed_int8"]["layers"] == 4
    deployed = result.report["comparison"]["deployed"]
    assert deployed["role"] == "student_int8"
    assert deployed["smaller"] == models["teacher"]["disk_bytes"] / models["student_int8"]["disk_bytes"]
    assert deployed["rival"]["role"] == "trimmed_int8"
    assert answer(result.report).sentence.startswith("Your Turkish classification model in int8 is ")
    assert answer(result.report).problems == ()


@pytest.mark.slow
def test_a_plan_has_the_same_stages(exported, plain, untimed):
    recipe = Recipe.model_validate(plain[0] | {"export": ANY})
    with walk(recipe) as found:
        assert all(step.reused for step in found.steps)
        assert [step.title for step in found.steps] == [stage["name"] for stage in exported[0].report["stages"]]
    new = {stage.title: stage for stage in plan(recipe.override(["export.tolerance=99"])).stages}
    assert [title for title, stage in new.items() if not stage.reused] == [
        "Exporting: task student",
        "Measuring size and speed",
    ]
    assert all(stage.seconds for stage in new.values() if not stage.reused)


@pytest.mark.slow
def test_a_second_run_makes_nothing_and_touches_no_file(exported, plain):
    result, _ = exported
    before = everything(result.output_dir / "tasks")
    again, done = made(plain[0] | {"export": ANY})
    assert done == []
    assert everything(result.output_dir / "tasks") == before
    assert dict(again.report) | {"created": None} == dict(result.report) | {"created": None}


@pytest.mark.slow
def test_without_the_section_nothing_changes(exported, plain):
    """Also in a folder in which another run has exported."""
    recipe, before = plain
    again, done = made(recipe)
    assert done == []
    assert dict(again.report) | {"created": None} == dict(before.report) | {"created": None}
    assert "deployed" not in again.report["comparison"]
    assert "problems" not in again.report
    assert (again.output_dir / "tasks/food" / INT8).is_file()


@pytest.mark.slow
def test_another_tolerance_remakes_what_depends_on_it(exported, plain):
    _, done = made(plain[0] | {"export": {"tolerance": 99}})
    assert done == ["Exporting: task student", "Measuring size and speed"]


@pytest.mark.slow
def test_a_tolerance_that_cannot_be_met_leaves_float32_and_says_so(exported, plain, monkeypatch):
    monkeypatch.setattr(comparison.OnExamples, "facts", lambda *_: {"loss": 5.0})
    recipe = Recipe.model_validate(plain[0] | {"export": {"tolerance": 0.25}})
    stream = io.StringIO()
    result = run(recipe, Progress(stream))
    folder = result.output_dir / "tasks/food"
    assert (folder / FLOAT).is_file()
    assert not (folder / INT8).exists()
    assert json.loads((folder / "config.json").read_text())["transformers.js_config"] == {"dtype": "fp32"}
    check_published(folder)
    said = answer(result.report)
    assert said.sentence.startswith("Your Turkish classification model in ONNX is ")
    reason = "int8 costs more than 0.25 points (tr 5.0, en 5.0), even with "
    assert [problem.split(" has no ")[0] for problem in said.problems] == ["The student"]
    for problem in said.problems:
        assert f"has no int8 form: {reason}" in problem
        assert "bert.encoder.layer." in problem  # by name
        assert problem in (result.output_dir / "report.html").read_text("utf-8")
    assert repr(result).count(reason) == 1
    assert [model["role"] for model in result.report["models"]] == [
        "teacher",
        "student",
        "student_onnx",
        "trimmed_int8",  # in int8 whatever that costs
    ]
    assert "student_int8" not in result.report["tasks"][0]["scores"]
    assert "There is no int8 file" in (folder / "README.md").read_text("utf-8")


@pytest.mark.slow
def test_a_model_without_an_onnx_form_is_reported_without_it(plain, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise torch.onnx.OnnxExporterError("an operator is unknown\nand so on")

    monkeypatch.setattr(torch.onnx, "export", fail)
    result, _ = made(plain[0] | {"export": ANY, "out": str(tmp_path / "out")})
    assert list((tmp_path / "out/tasks/food").glob("onnx/*")) == []
    assert [model["role"] for model in result.report["models"]] == ["teacher", "student"]
    said = answer(result.report)
    assert "in ONNX" not in said.sentence
    assert said.problems[0] == (
        "The student has no ONNX form: torch cannot export BertForSequenceClassification to ONNX: "
        "an operator is unknown"
    )


@pytest.mark.slow
def test_an_interrupted_export_is_made_by_the_same_command(plain, monkeypatch):
    recipe = plain[0] | {"export": {"tolerance": 98}}

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "quantise", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made(recipe)
    left = list((plain[1].output_dir / "stages").glob(".export-*.partial"))
    assert len(left) == 1
    result, done = made(recipe)
    assert done[0] == "Exporting: task student"
    assert not left[0].exists()
    assert (result.output_dir / "tasks/food" / INT8).is_file()


@pytest.mark.slow
def test_float32_alone(plain, tmp_path):
    result, _ = made(plain[0] | {"export": {"quantize": None}})
    assert not (result.output_dir / "tasks/food" / INT8).exists()
    assert result.report["problems"] == []
    assert result.report["comparison"]["deployed"]["role"] == "student_onnx"


def test_what_is_deployed_is_the_published_students_whatever_others_are_called():
    costs = {
        role: {"disk_bytes": size, "throughput": 1.0}
        for role, size in {
            "teacher": 100,
            "student": 50,
            "student_int8": 20,
            "student_small:student": 30,
            "student_small:student_int8": 10,
            "trimmed_int8": 40,
            "trimmed_half:student_int8": 15,
        }.items()
    }
    found = summary._deployed(costs, [*costs])
    assert (found["role"], found["smaller"], found["rival"]["role"]) == ("student_int8", 5, "trimmed_int8")


@pytest.mark.slow
def test_a_run_leaves_a_page_for_browsers(plain, registry):
    result, _ = made(plain[0] | {"export": ANY | {"web": True}})
    page = result.output_dir / "web"
    assert [one["name"] for one in json.loads((page / "models.json").read_text("utf-8"))] == ["food"]
    assert (page / "index.html").is_file()
    assert (page / "models/food" / INT8).read_bytes() == (result.output_dir / "tasks/food" / INT8).read_bytes()
    assert 'href="web/index.html"' in (result.output_dir / "report.html").read_text("utf-8")
    assert "(web/index.html)" in (result.output_dir / "report.md").read_text("utf-8")
    assert f"python -m http.server -d {page}" in repr(result)
    _, done = made(plain[0] | {"export": ANY | {"web": True}})
    assert [title for title in done if title != "Writing the page for browsers"] == []


def test_a_task_that_runs_in_no_browser_takes_no_other_from_the_page(tmp_path, monkeypatch):
    def write(source, name, out, beside):
        if name == "first":
            raise BistilError("There is no int8 file.")
        seen.append((name, [*beside]))

    seen = []
    monkeypatch.setattr("bistil.exporting.web.write_web", write)
    tasks = [SimpleNamespace(name=name) for name in ("first", "second", "third")]
    recipe = SimpleNamespace(out=tmp_path, tasks=tasks, export=SimpleNamespace(web=True))
    found = Pipeline._web(SimpleNamespace(recipe=recipe, progress=Progress(io.StringIO())))
    assert seen == [("second", []), ("third", ["second"])]  # what an earlier run had on it goes
    assert found == {"web": "web", "web_problems": {"first": "There is no int8 file."}}
    report = {"source": "en", "target": "tr", **found}
    assert answer(report).problems == ("first is not on the page for browsers: There is no int8 file.",)


@pytest.mark.slow
def test_without_a_network_a_run_says_that_there_is_no_page(plain, tmp_path, monkeypatch):
    monkeypatch.setenv("BISTIL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/")
    result, _ = made(plain[0] | {"export": ANY | {"web": True}})
    (problem,) = answer(result.report).problems
    assert problem.startswith("There is no page for browsers: ")
    assert "web" not in result.report


def test_a_page_needs_int8(recipe_file):
    with pytest.raises(BistilError, match="leave out quantize, or web"):
        Recipe.load(recipe_file).override(["export={quantize: null, web: true}"])
