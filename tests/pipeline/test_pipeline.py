"""The whole pipeline on a tiny teacher, its reuse, and what it leaves on disk."""

import copy
import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from bistil.errors import BistilError, BistilWarning
from bistil.exporting.card import card
from bistil.files import foreign
from bistil.pipeline.runs import distill, run, teach_tasks, transfer_tasks
from bistil.pipeline.taskdata import TaskData
from bistil.planning.walk import walk
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.sparse.delta import SparseDelta
from bistil.tasks import Classification


@pytest.fixture(scope="module")
def finished(experiment):
    stream = io.StringIO()
    return run(Recipe.model_validate(experiment), Progress(stream)), stream.getvalue()


def test_leaves_what_the_design_promises(finished):
    result, _ = finished
    names = {path.name for path in result.output_dir.iterdir() if not path.name.startswith(".bistil")}
    assert names == {"report.html", "report.md", "report.json", "recipe.yaml", "student", "tasks", "stages"}
    stages = {path for path in (result.output_dir / "stages").iterdir() if path.name not in (".locks", ".counts")}
    assert not [path for path in stages if path.name.startswith(".")]
    for stage in stages:
        manifest = json.loads((stage / "manifest.json").read_text())
        assert manifest["seconds"] >= 0
        assert manifest["memory_bytes"] > 10_000_000


def test_models_load_without_bistil_and_give_the_reported_score(finished, experiment):
    result, _ = finished
    folder = result.output_dir / "tasks" / "food"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.num_hidden_layers == 2
    assert AutoModel.from_pretrained(result.output_dir / "student").config.num_hidden_layers == 2
    with open(experiment["tasks"][0]["test"]["tr"], encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    right = 0
    for row in rows:
        with torch.inference_mode():
            best = model(**tokenizer(row["text"], return_tensors="pt")).logits.argmax().item()
        right += model.config.id2label[best] == row["label"]
    assert result.report["tasks"][0]["scores"]["student"]["tr"][0] == pytest.approx(100 * right / len(rows))


def test_report_counts_what_lies_on_disk(finished, tiny_teacher):
    result, _ = finished
    teacher, student, baseline = result.report["models"]
    model = AutoModelForSequenceClassification.from_pretrained(result.output_dir / "tasks" / "food")
    assert student["parameters"] == sum(p.numel() for p in model.parameters())
    assert baseline["parameters"] == student["parameters"] < teacher["parameters"]
    assert (student["layers"], teacher["layers"]) == (2, 4)
    curve = result.report["distillation"]["curve"]
    assert curve[0]["tokens"] == 0
    assert curve[-1]["tr"] < curve[0]["tr"]
    assert len(result.report["tasks"][0]["scores"]["layer_drop"]["tr"]) == 2


def test_second_run_computes_nothing(finished, experiment):
    result, first = finished
    stream = io.StringIO()
    before = {place: everything(result.output_dir / place) for place in ("student", "tasks")}
    again = run(Recipe.model_validate(experiment), Progress(stream))
    assert before == {place: everything(result.output_dir / place) for place in before}
    computed = [line for line in stream.getvalue().splitlines() if "done in" in line]
    assert "General distillation (seed 1): done in" in first
    assert [line.split(":")[0] for line in computed] == ["Fetching the teacher"]
    same = dict(again.report) | {"created": None}
    assert same == dict(result.report) | {"created": None}


def test_licences_are_in_the_cards_and_change_no_stage(finished, experiment):
    result, _ = finished
    before = everything(result.output_dir / "stages")
    licensed = copy.deepcopy(experiment)
    licensed["source"]["license"], licensed["tasks"][0]["license"] = "CC-BY-SA-4.0", "MIT"
    for recipe, found in ((licensed, True), (experiment, False)):
        stream = io.StringIO()
        run(Recipe.model_validate(recipe), Progress(stream))
        assert [line.split(":")[0] for line in stream.getvalue().splitlines() if "done in" in line] == [
            "Fetching the teacher"
        ]
        for place in ("student", "tasks/food"):
            assert ("CC-BY-SA-4.0" in (result.output_dir / place / "README.md").read_text("utf-8")) == found
        assert ("| MIT |" in (result.output_dir / "tasks/food/README.md").read_text("utf-8")) == found
    assert everything(result.output_dir / "stages") == before


def test_published_models_have_the_card_of_the_report(finished):
    result, _ = finished
    (task,) = result.report["tasks"]
    assert task["head"] == "AutoModelForSequenceClassification"
    for place, name in (("student", None), ("tasks/food", "food")):
        folder = result.output_dir / place
        assert (folder / "README.md").read_text("utf-8") == card(result.report, name)
        assert foreign(folder) is None


def test_size_and_speed_are_measured_again_where_the_machine_is_another(finished, experiment, monkeypatch):
    monkeypatch.setattr("bistil.pipeline.costs.machine", lambda: {"processor": "another", "threads": 64})
    stream = io.StringIO()
    run(Recipe.model_validate(experiment), Progress(stream))
    computed = [line.split(":")[0] for line in stream.getvalue().splitlines() if "done in" in line]
    assert computed == ["Fetching the teacher", "Measuring size and speed"]


@pytest.mark.slow
def test_changed_task_reuses_the_distilled_student(finished, experiment):
    stream = io.StringIO()
    task = experiment["tasks"][0] | {"density": 0.2}
    run(Recipe.model_validate(experiment | {"tasks": [task], "seeds": [0]}), Progress(stream))
    said = stream.getvalue()
    assert "General distillation: reused" in said
    assert "Fine-tuning: task teacher: done" in said


def test_unknown_test_label_is_found_before_anything_runs(experiment, tmp_path):
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"text": "bir elma", "label": "fruit"}\n')
    task = experiment["tasks"][0] | {"test": {"tr": str(wrong)}}
    recipe = Recipe.model_validate(experiment | {"tasks": [task], "out": str(tmp_path / "out")})
    with pytest.raises(BistilError, match=r"line 1.*'fruit'"):
        run(recipe, Progress(io.StringIO()))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("student", "message"),
    [({"layer_reduction": 5}, "but the teacher has 4 layers"), ({"hidden_size": 12}, "16 is the nearest")],
)
def test_impossible_students_are_found_before_anything_runs(experiment, tmp_path, student, message):
    recipe = Recipe.model_validate(experiment | {"student": student, "out": str(tmp_path / "out"), "seeds": [0]})
    with pytest.raises(BistilError, match=message):
        run(recipe, Progress(io.StringIO()))
    assert not (tmp_path / "out").exists()


def test_stages_by_themselves_give_what_a_whole_run_gives(finished, experiment):
    result, _ = finished
    report = result.report["tasks"][0]["scores"]
    recipe = Recipe.model_validate(experiment)
    for stage, role, folder in ((teach_tasks, "teacher", "teachers"), (transfer_tasks, "student", "tasks")):
        stream = io.StringIO()
        scores = stage(recipe, Progress(stream))["food"]
        assert [one["accuracy"] for one in scores["tr"]] == report[role]["tr"]
        assert "General distillation (seed 1): done" not in stream.getvalue()
        model = AutoModelForSequenceClassification.from_pretrained(recipe.out / folder / "food").eval()
        tokenizer = AutoTokenizer.from_pretrained(recipe.out / folder / "food")
        test = Classification.read(recipe.tasks[0].test["tr"])
        predictions = Classification.from_model(model).predict(model, tokenizer, test)
        right = sum(a.label == b.labels[0] for a, b in zip(test, predictions, strict=True))
        assert scores["tr"][0]["accuracy"] == pytest.approx(100 * right / len(test))


@pytest.mark.parametrize(
    ("command", "place", "wanted"),
    [
        (distill, "student", ["an encoder for English and Turkish", "Vocabulary: of the teacher's"]),
        (teach_tasks, "teachers/food", ["fine-tuned for", "Vocabulary: of the base model's", "± "]),
        (transfer_tasks, "student", ["an encoder for English and Turkish"]),
        (transfer_tasks, "tasks/food", ["Difference, 95 % interval", "± "]),
    ],
)
def test_each_command_leaves_a_card_of_its_models(finished, experiment, tmp_path, command, place, wanted):
    """With the scores of the report, in what the hub reads, too."""
    result, _ = finished
    shutil.copytree(result.output_dir / "stages", tmp_path / "out/stages")
    recipe = Recipe.model_validate(experiment | {"out": str(tmp_path / "out")})
    command(recipe, Progress(io.StringIO()))
    made = ModelCard.load(recipe.out / place / "README.md")
    assert {"en", "tr"} == set(made.data.language)
    assert not [part for part in wanted if part not in made.text]
    if place != "student":
        role = "teacher" if command is teach_tasks else "student"
        (measured,) = [one for one in made.data.eval_results if one.dataset_config == "tr"]
        own = result.report["tasks"][0]["scores"][role]["tr"]
        assert measured.metric_value == pytest.approx(own[0], abs=0.005)


def in_a_folder_of_ones_own(experiment, folder, **changes):
    """The experiment with `out: .` in a folder that holds the user's data and a commented recipe."""
    (task,) = experiment["tasks"]
    for path in ("task.en.jsonl", "task.tr.jsonl"):
        data = folder / "data" / path
        data.parent.mkdir(parents=True, exist_ok=True)
        data.write_bytes((Path(task["train"]).parent / path).read_bytes())
    (folder / "recipe.yaml").write_text("# mine\nname: tiny\n")
    moved = {"train": "data/task.en.jsonl", "test": {"tr": "data/task.tr.jsonl"}, **changes}
    return Recipe.model_validate(experiment | {"tasks": [task | moved], "seeds": [0], "out": "."})


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_run_in_the_users_folder_overwrites_no_file_of_theirs(experiment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe, stream = in_a_folder_of_ones_own(experiment, tmp_path), io.StringIO()
    before = everything(tmp_path)
    transfer_tasks(recipe, Progress(stream))
    run(recipe, Progress(stream))
    assert before.items() <= everything(tmp_path).items()
    assert "recipe.yaml stays as it is: bistil did not write it" in stream.getvalue()
    assert (tmp_path / "tasks/food/model.safetensors").is_file()


@pytest.mark.parametrize("command", [run, teach_tasks, transfer_tasks, distill])
def test_what_would_be_published_over_a_users_file_is_refused_before_anything_runs(
    experiment, tmp_path, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    recipe = in_a_folder_of_ones_own(experiment, tmp_path)
    for mine in ("student/thesis.md", "teachers/food/notes.md"):
        Path(mine).parent.mkdir(parents=True)
        Path(mine).write_text("mine")
    before, stream = everything(tmp_path), io.StringIO()
    with pytest.raises(BistilError, match=r"(student|teachers/food) was not written by bistil.*choose another"):
        command(recipe, Progress(stream))
    assert before == {path: text for path, text in everything(tmp_path).items() if ".bistil" not in path.name}
    assert "Trimming" not in stream.getvalue()


@pytest.mark.parametrize(
    ("place", "field"),
    [("tasks/food/train.jsonl", "tasks.0.train"), ("student/in/tr.jsonl", r"tasks.0.test.tr")],
)
def test_inputs_below_what_is_published_are_refused(experiment, tmp_path, monkeypatch, place, field):
    """Also where bistil itself published that folder once, and where the path goes through a link."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / place
    data.parent.mkdir(parents=True)
    data.write_bytes(Path(experiment["tasks"][0]["train"]).read_bytes())
    (tmp_path / "linked").symlink_to(data.parent)
    linked = f"linked/{data.name}"
    changes = {"train": linked} if "train" in field else {"test": {"tr": linked}}
    recipe = in_a_folder_of_ones_own(experiment, tmp_path, **changes)
    with pytest.raises(
        BistilError, match=rf"{field}: linked/.* lies in (student|tasks/food), which this run replaces"
    ):
        run(recipe, Progress(io.StringIO()))
    assert not (tmp_path / "stages").exists()


def test_labels_of_a_file_can_be_called_otherwise(experiment, tmp_path):
    path = experiment["tasks"][0]["test"]["tr"]
    with open(path, encoding="utf-8") as file:
        other = file.read().replace('"food"', '"f"')
    (tmp_path / "tr.jsonl").write_text(other, encoding="utf-8")
    task = experiment["tasks"][0] | {"test": {"tr": str(tmp_path / "tr.jsonl")}}
    with pytest.raises(BistilError, match="'f' does not occur in the training data"):
        TaskData.read(Recipe.model_validate(experiment | {"tasks": [task]}).tasks[0])
    (mapped,) = Recipe.model_validate(experiment | {"tasks": [task | {"label_map": {"f": "food"}}]}).tasks
    assert [one.label for one in TaskData.read(mapped).tests["tr"]] == [
        one.label for one in Classification.read(Path(path))
    ]


def test_a_report_needs_a_test_file_and_a_task_alone_does_not(experiment, tmp_path):
    untested = copy.deepcopy(experiment)
    untested["tasks"][0] |= {"test": {}}
    recipe = Recipe.model_validate({**untested, "out": tmp_path / "out"})
    with pytest.raises(BistilError, match=r"tasks\.0\.test is missing\. Give .* or learn the task alone"):
        run(recipe, Progress(io.StringIO()))
    with pytest.raises(BistilError, match=r"tasks\.0\.test is missing"), walk(recipe):
        pass
    assert not (tmp_path / "out").exists()


def test_labels_are_those_of_the_whole_training_file(experiment, tmp_path):
    rows = [
        {"text": f"text {number}", "label": "rare" if number == 28 else "ab"[number % 2]} for number in range(100)
    ]

    def read(count, **changes):
        (tmp_path / "train.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows[:count]), encoding="utf-8"
        )
        task = {"kind": "classification", "train": str(tmp_path / "train.jsonl"), **changes}
        task["test"] = {"tr": str(tmp_path / "train.jsonl")}
        return TaskData.read(Recipe.model_validate(experiment | {"tasks": [task]}).tasks[0])

    data = read(30, max_train_samples=5)
    assert data.task.labels == ("a", "b", "rare")
    assert (len(data.train), [one.label for one in data.validation]) == (5, ["b", "rare", "b"])
    assert {one.label for one in read(100).validation} == {"a", "b"}  # though they alternate
    with pytest.raises(BistilError, match="has 9 examples, too few to hold out a tenth"):
        read(9)
    numbers = read(30, label_map={"a": 0, "b": 1})
    assert numbers.task.labels == ("0", "1", "rare")


def test_the_first_examples_of_a_file_that_is_sorted_by_label(experiment, tmp_path, recwarn):
    path = tmp_path / "train.jsonl"
    rows = [json.dumps({"text": f"text {number}", "label": "abcde"[number // 20]}) for number in range(100)]
    path.write_text("\n".join(rows), encoding="utf-8")
    task = {"kind": "classification", "train": str(path), "test": {"tr": str(path)}}
    for count in (None, 95):
        TaskData.read(
            Recipe.model_validate(experiment | {"tasks": [{**task, "max_train_samples": count}]}).tasks[0]
        )
    assert not recwarn
    with pytest.warns(BistilWarning, match=r"the first 40 of 90 examples in .* have none of 2 of 5 labels\. Sh"):
        TaskData.read(Recipe.model_validate(experiment | {"tasks": [{**task, "max_train_samples": 40}]}).tasks[0])


def test_of_pairs_no_line_is_an_example(experiment, tmp_path):
    rows = [{"text": f"text {number}", "text_pair": "b", "label": "ab"[number % 2]} for number in range(20)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    task = {"kind": "classification", "train": str(tmp_path / "pairs.jsonl")}
    task["test"] = {"tr": task["train"]}
    recipe = Recipe.model_validate(experiment | {"tasks": [task], "out": str(tmp_path / "out")})
    stages = []
    for given in ("null", "0"):
        with walk(recipe.override([f"tasks.0.pseudo_labels={given}"])) as found:
            stages.append({step.folder.path.name for step in found.steps})
    assert stages[0] == stages[1]
    with pytest.raises(BistilError, match="The task classification: pseudo_labels is 5, but a line of text is no"):
        TaskData.read(recipe.override(["tasks.0.pseudo_labels=5"]).tasks[0])


@pytest.mark.slow
def test_a_task_teacher_wears_the_delta_of_the_language(experiment, tmp_path):
    """In the source language it is tuned under, in the target language that one's; both add up with the task."""
    changes = {"seeds": [0], "out": str(tmp_path / "out")}
    teach_tasks(Recipe.model_validate(experiment | changes), Progress(io.StringIO()))
    (trimmed,) = (tmp_path / "out/stages").glob("vocabulary-*")
    base = AutoModel.from_pretrained(trimmed / "model", add_pooling_layer=False)
    for language in ("en", "tr"):
        other = copy.deepcopy(base)
        with torch.no_grad():
            other.encoder.layer[0].output.dense.weight[:4] += 0.5 if language == "en" else -0.5
        SparseDelta.diff(base, other).save(tmp_path / language)
    parts = {
        part: experiment[part] | {"delta": str(tmp_path / experiment[part]["language"])}
        for part in ("source", "target")
    }
    recipe = Recipe.model_validate(experiment | changes | parts)
    scores = teach_tasks(recipe, Progress(io.StringIO()))["food"]

    (task_folder,) = [
        folder
        for folder in (tmp_path / "out/stages").glob("task-teacher-*")
        if json.loads((folder / "manifest.json").read_text())["inputs"].get("deltas")
    ]
    task, tests = SparseDelta.load(task_folder), recipe.tasks[0].test
    tokenizer = AutoTokenizer.from_pretrained(trimmed / "model")
    for language in ("en", "tr"):
        examples = Classification.read(tests[language])
        model = Classification.from_examples(examples).new_model(trimmed / "model")
        (SparseDelta.load(tmp_path / language) + task).merge(model)
        predictions = Classification.from_model(model).predict(model.eval(), tokenizer, examples)
        right = sum(a.label == b.labels[0] for a, b in zip(examples, predictions, strict=True))
        assert scores[language][0]["accuracy"] == pytest.approx(100 * right / len(examples))
    published = AutoModelForSequenceClassification.from_pretrained(recipe.out / "teachers/food")
    for name, value in published.named_parameters():
        assert torch.equal(value, dict(model.named_parameters())[name]), name

    exchanged = {"source": parts["target"], "target": parts["source"]}
    with walk(Recipe.model_validate(experiment | changes | exchanged)) as found:
        reused = {step.name: step.reused for step in found.steps}
    assert reused["vocabulary"]
    assert not reused["task-teacher"]


@pytest.mark.slow
def test_a_teacher_that_learned_nothing_is_in_the_report(experiment, tmp_path):
    rows = [{"text": f"a text {number}", "label": "xy"[number % 2]} for number in range(120)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    file, (task,) = str(tmp_path / "rows.jsonl"), experiment["tasks"]
    task = {**task, "train": file, "validation": file, "test": {"tr": file}, "teacher_learning_rate": 1e-9}
    changed = {"tasks": [task], "seeds": [0], "baselines": [], "out": str(tmp_path / "out")}
    with pytest.warns(BistilWarning, match="learned nothing"):
        result = run(Recipe.model_validate(experiment | changed), Progress(io.StringIO()))
    (doubt,) = result.report["doubts"]
    assert doubt.startswith("The task food: the task teacher has learned nothing: ")
    for page in ("report.md", "report.html"):
        assert "The task food: the task teacher has learned nothing" in (result.output_dir / page).read_text(
            "utf-8"
        )


def test_a_teacher_that_learned_is_not_doubted(finished):
    assert "doubts" not in finished[0].report
