"""A student within a budget, through the pipeline: chosen once, in a stage that a plan knows before."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoModel

import bistil
from bistil.api.distill import Distilled
from bistil.errors import BistilError
from bistil.exporting import graph
from bistil.models.shapes import StudentShape
from bistil.pipeline import budgets
from bistil.pipeline.runs import run, teach_tasks
from bistil.pipeline.studentstages import StudentStages
from bistil.planning.walk import walk
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe


@pytest.fixture(scope="module")
def values(tmp_path_factory, tiny_lines, experiment):
    folder = tmp_path_factory.mktemp("budget")
    (folder / "az.txt").write_text("\n".join(tiny_lines["tr"][::-1]), "utf-8")
    return experiment | {
        "student": {"budget": 0.8, "budget_of": "parameters"},
        "baselines": ["multilingual", "scratch"],
        "multilingual": {"az": str(folder / "az.txt")},
        "out": str(folder / "out"),
    }


@pytest.fixture(scope="module")
def planned(values):
    with walk(Recipe.model_validate(values)) as found:
        assert (
            "A budget's shape is chosen when it runs; the plan is of what operations would choose." in found.notes
        )
        return {step.folder.path.name for step in found.steps}


@pytest.fixture(scope="module")
def finished(values, planned):
    """After the plan, in which nothing was made."""
    return run(Recipe.model_validate(values), Progress(io.StringIO()))


def shape(out):
    (file,) = Path(out).glob("stages/shape-*/shape.json")
    return json.loads(file.read_text("utf-8"))


@pytest.mark.slow
def test_the_student_is_within_the_budget_and_its_baselines_have_its_shape(finished, values):
    out, found = Path(values["out"]), shape(values["out"])
    student = AutoModel.from_pretrained(out / "student", add_pooling_layer=False)
    trimmed = next(
        one for one in out.glob("stages/vocabulary-*/model") if len(_tokens(one)) == len(_tokens(out / "student"))
    )
    whole = AutoModel.from_pretrained(trimmed, add_pooling_layer=False)
    share = student.num_parameters() / whole.num_parameters()
    assert found["share"] == pytest.approx(share)
    assert share <= 0.8
    assert student.config.num_hidden_layers == len(found["layers"])
    shapes = set()
    for folder in [*out.glob("stages/undistilled-*/student"), *out.glob("stages/scratch-*/model")]:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        shapes.add((config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"]))
    assert len(shapes) == 1
    (said, *_) = {
        path.read_text("utf-8").splitlines()[-1] for path in out.glob("stages/undistilled-*/student.txt")
    }
    assert said == f"{len(found['layers'])} layers, {found['share']:.2f} of the trimmed teacher's parameters"
    assert finished.report["student"] == {key: value for key, value in found.items() if key != "share"}
    inner = student.config.intermediate_size
    assert found["intermediate_size"] == inner < whole.config.intermediate_size
    for place in ("student", "tasks/food"):
        assert f"teacher's 4, with feed-forward size {inner}." in (out / place / "README.md").read_text("utf-8")


def test_a_shape_is_said_with_its_widths():
    shape = StudentShape((1, 4), intermediate_size=1024)
    assert shape.facts == {"layers": [1, 4], "intermediate_size": 1024, "hidden_size": None}
    assert shape.said == "layers 1, 4; feed-forward size 1,024"
    assert StudentShape((1, 4)).said == "layers 1, 4"
    made = Distilled(Path("out"), ("en", "tr"), (1, 4), 9_000, 512, {"en": 0.1}, hidden_size=16)
    assert "2 (the teacher's 1, 4); hidden size 16\n" in repr(made)
    assert "2 (the teacher's 1, 4)\n" in repr(replace(made, hidden_size=None))


def _tokens(folder):
    return json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]


@pytest.mark.slow
def test_a_plan_lists_the_stages_that_the_run_makes(finished, planned, values):
    assert planned == {path.name for path in Path(values["out"]).glob("stages/[a-z]*")}


@pytest.mark.slow
def test_the_choice_is_made_once(finished, values, monkeypatch):
    monkeypatch.setattr(budgets, "deepest", None)
    again = run(Recipe.model_validate(values), Progress(io.StringIO()))
    assert again.report["student"] == finished.report["student"]


@pytest.mark.slow
def test_time_is_measured_in_the_engine_that_is_exported_to(
    values, monkeypatch, tmp_path, tiny_teacher, tiny_lines
):
    asked = []

    def text_seconds(shapes, tokenizer, engine, lengths):
        asked.append((engine, *lengths))
        return {lengths[0]: [float(one.num_hidden_layers) for one in shapes]}

    monkeypatch.setattr(budgets, "text_seconds", text_seconds)
    student = bistil.distill(
        tiny_teacher, text={"en": tiny_lines["en"], "tr": tiny_lines["tr"]}, budget=0.5, tokens=2_000,
        sequence_length=16, output_dir=tmp_path / "student", progress=False,
    )  # fmt: skip
    assert student.layers == (1, 4)
    trained = bistil.train(
        student, teacher=tiny_teacher, task="classification", train=values["tasks"][0]["train"], epochs=(1, 1),
        min_steps=0, output_dir=tmp_path / "trained", progress=False, density=0.1, license="cc0-1.0",
    )  # fmt: skip
    card = (trained.output_dir / "README.md").read_text("utf-8")
    assert "10 % of the encoder" in card
    assert "cc0-1.0" in card
    assert set(asked) == {("torch", 16)}  # not again for the task, whose texts are longer
    assert Recipe.load(trained.output_dir / "recipe.yaml").student.layers == (1, 4)
    asked.clear()
    recipe = Recipe.model_validate(
        values
        | {"student": {"budget": 0.5}, "export": {}, "baselines": [], "multilingual": {}, "out": str(tmp_path)}
    )

    stages = StudentStages(recipe, Progress(io.StringIO()))
    assert len(stages.shape(stages.vocabulary()).layers) == 2
    assert set(asked) == {("int8", 64)}  # half of the 128 that classification takes
    asked.clear()
    stages = stages.having(recipe.override(["tasks.0.max_length=400"]))
    stages.shape(stages.vocabulary())
    assert set(asked) == {("int8", 128)}  # the teacher takes no more


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ({"budget": 0.5, "layers": 2}, "budget and layers are both given: leave out layers"),
        ({"budget_of": "parameters"}, "budget_of says what a budget is a share of: give budget, too"),
        ({"budget": 0.5, "hidden_size": 16}, "leave out hidden_size"),
        ({"budget": 0.5, "layer_reduction": 3}, "leave out layer_reduction"),
        ({"budget": 1.5}, "student.budget"),
        ({"budget": 0}, "student.budget"),
        ({"budget_of": "watts"}, "student.budget_of"),
    ],
)
def test_wrong_budgets(values, student, message):
    with pytest.raises(BistilError, match=message):
        Recipe.checked(values | {"student": student})


@pytest.fixture
def measured(values, tmp_path, monkeypatch):
    """Chooses within a budget of time by layers and the seconds of the whole; the engines, and what was said."""

    def choose(whole):
        engines, said = set(), io.StringIO()

        def text_seconds(shapes, tokenizer, engine, lengths):
            engines.add(engine)
            return {lengths[0]: [{4: whole}.get(one.num_hidden_layers, one.num_hidden_layers) for one in shapes]}

        monkeypatch.setattr(budgets, "text_seconds", text_seconds)
        changes = {"student": {"budget": 0.5}, "export": {}, "baselines": [], "multilingual": {}}
        recipe = Recipe.model_validate(values | changes | {"out": str(tmp_path)})
        stages = StudentStages(recipe, Progress(said))
        stages.shape(stages.vocabulary())
        return engines, said.getvalue()

    return choose


def test_a_choice_that_missed_its_budget_is_said_in_every_run(measured, tmp_path):
    _, said = measured(40.0)
    (folder,) = (tmp_path / "stages").glob("shape-*")
    share = shape(tmp_path)["share"]
    warning = f"warning: the student takes {share:.2f} of the trimmed teacher's time, and 0.5 was allowed."
    assert warning in said
    assert f"delete {folder} and run again" in said
    assert warning in measured(4.0)[1]
    shutil.rmtree(folder)
    assert "warning: the student" not in measured(4.0)[1]
    assert shape(tmp_path)["share"] == 0.5


def test_a_teacher_too_large_for_onnx_is_measured_in_torch(measured, tmp_path, monkeypatch):
    assert measured(4.0)[0] == {"int8"}
    (folder,) = (tmp_path / "stages").glob("shape-*")
    shutil.rmtree(folder)
    monkeypatch.setattr(graph, "_LARGEST", 60_000)
    engines, said = measured(4.0)
    assert engines == {"torch"}
    assert "2 layers, 0.50 of the trimmed teacher's time for a text of 64 tokens (torch, because the" in said


def test_a_task_teacher_needs_no_student(values, tmp_path, monkeypatch):
    """Not even one within a budget, for which shapes of the whole teacher would be exported and measured."""
    monkeypatch.setattr(budgets, "text_seconds", None)
    student = {"student": {"budget": 0.5}, "export": {}, "seeds": [0], "baselines": [], "multilingual": {}}
    recipe = Recipe.model_validate(values | student | {"out": str(tmp_path / "out")})
    recipe = recipe.override(["tasks.0.max_train_samples=16"])
    assert list(teach_tasks(recipe, Progress(io.StringIO()))) == ["food"]
    made = {path.name.partition("-")[0] for path in (tmp_path / "out/stages").glob("[!.]*")}
    assert not made & {"shape", "undistilled"}


def test_a_budget_that_no_student_meets(values, tmp_path):
    student = {"budget": 0.01, "budget_of": "parameters"}
    recipe = Recipe.model_validate(values | {"student": student, "out": str(tmp_path)})
    message = r"No student is within student\.budget 0\.01: the smallest takes 0\.\d\d of"
    with pytest.raises(BistilError, match=message):
        run(recipe, Progress(io.StringIO()))
    several = {"students": {"few": student, "half": {}}, "baselines": [], "multilingual": {}}
    recipe = Recipe.model_validate(values | several | {"student": {}, "out": str(tmp_path)})
    with pytest.raises(BistilError, match=r"No student is within students\.few\.budget 0\.01: the smallest"):
        run(recipe, Progress(io.StringIO()))
