"""A stranger's session: the calls of the API on tiny data, and each of them with wrong arguments."""

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from tests import tiny

import bistil
from bistil import BistilError
from bistil.models.e5 import POOLING

LINES = tiny.lines()
FOOD = {"en": ("bread", "apples"), "tr": ("ekmeği", "elmaları")}
ROWS = {
    language: [
        {"text": line, "label": "food" if any(f in line for f in FOOD[language]) else "object"} for line in own
    ]
    for language, own in LINES.items()
}
FOODS = [row for row in ROWS["en"] if row["label"] == "food"]
SMALL = {"sequence_length": 16, "batch_size": 8, "progress": False}
TASK = {"task": "classification", "train": ROWS["en"], "epochs": (1, 1), "batch_size": 32, "min_steps": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_teacher):
    """The folder in which the session took place."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "teacher").symlink_to(tiny_teacher)
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def trimmed(folder):
    return bistil.trim("teacher", text=LINES, output_dir="trimmed", progress=False)


@pytest.fixture(scope="module")
def student(folder):
    return bistil.distill("teacher", text=LINES, output_dir="student", layers=2, tokens=2048, **SMALL)


@pytest.fixture(scope="module")
def trained(student):
    test = {"tr": ROWS["tr"]}
    return bistil.train(student, teacher="teacher", test=test, output_dir="food", progress=False, **TASK)


@pytest.fixture(scope="module")
def fine_tuned(folder):
    return bistil.train("teacher", test={"tr": ROWS["tr"]}, output_dir="tuned", progress=False, **TASK)


def test_trim(trimmed, folder):
    from transformers import AutoModel, AutoTokenizer

    assert AutoModel.from_pretrained(trimmed).config.vocab_size == len(AutoTokenizer.from_pretrained(trimmed))
    assert trimmed.report["after"] < trimmed.report["before"]
    assert repr(trimmed).splitlines()[0] == "Trimmed"
    assert "<th>tokens</th>" in trimmed._repr_html_()


def test_distill_leaves_a_plain_student_in_the_output_folder(student, tiny_teacher):
    from transformers import AutoModel

    model = AutoModel.from_pretrained("student", add_pooling_layer=False)
    assert (model.config.num_hidden_layers, student.layers) == (2, (1, 4))
    assert model.num_parameters() == student.parameters
    assert student.tokens == 2048
    assert set(student.losses) == {"en", "tr"}
    assert "layers         2 (the teacher's 1, 4)" in repr(student)


def accuracy(folder):
    """By transformers alone."""
    from transformers import pipeline

    found = pipeline("text-classification", str(folder), device="cpu")([row["text"] for row in ROWS["tr"]])
    right = sum(one["label"] == row["label"] for one, row in zip(found, ROWS["tr"], strict=True))
    return pytest.approx(100 * right / len(found))


def test_train_says_its_scores_and_those_of_its_teacher(trained):
    assert trained.scores["tr"]["accuracy"] == accuracy("food")
    scores = json.loads(Path("food/scores.json").read_text())
    assert scores == {"scores": trained.scores, "teacher_scores": trained.teacher_scores}
    assert set(trained.scores) == {"tr", "validation"}
    assert "teacher's accuracy" in repr(trained)


@pytest.mark.slow
def test_the_task_model_is_that_of_a_recipe_with_the_same_settings(trained, folder):
    """`bistil transfer` on the recipe that was left gives the same weights."""
    from bistil.cli import main

    changes = ["--set", "out=again", "--set", "tasks.0.name=food"]
    with pytest.raises(SystemExit) as end:
        main(["transfer", "food/recipe.yaml", *changes])
    assert end.value.code == 0
    weights = [Path(name, "model.safetensors").read_bytes() for name in ("food", "again/tasks/food")]
    assert weights[0] == weights[1]


def test_a_card_of_the_users_own_stays(student):
    own = Path("student/README.md").read_bytes()
    Path("student/README.md").write_text("mine")
    with pytest.raises(BistilError, match=r"README\.md was not written by bistil, or was changed"):
        bistil.distill("teacher", text=LINES, output_dir="student", layers=2, tokens=2048, **SMALL)
    assert Path("student/README.md").read_text() == "mine"
    Path("student/README.md").write_bytes(own)


def test_a_call_again_computes_nothing(trained, student, capsys):
    before = {path: path.stat().st_mtime_ns for path in Path("food").rglob("*.safetensors")}
    again = bistil.train(student, teacher="teacher", test={"tr": ROWS["tr"]}, output_dir="food", **TASK)
    steps = [line for line in capsys.readouterr().out.splitlines() if ": done in" in line]
    assert again == trained
    assert [step for step in steps if not step.startswith("Fetching")] == []
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if "stages" in path.parts)


@pytest.mark.slow
def test_what_an_export_changed_of_the_same_model_stays_and_goes_with_it(student, folder):
    def train(**further):
        arguments = {**TASK, **further}
        return bistil.train(model, test={"tr": ROWS["tr"]}, output_dir="mine", progress=False, **arguments)

    model = "teacher"
    train()
    bistil.export("mine", quantize=None, progress=False)
    changed = ("config.json", "tokenizer.json", "export.json", "onnx/model.onnx")
    before = {name: (folder / "mine" / name).read_bytes() for name in changed}
    train()
    assert {name: (folder / "mine" / name).read_bytes() for name in changed} == before
    model = student
    train(teacher="teacher")
    assert (folder / "mine/recipe.yaml").is_file()
    assert not (folder / "mine/onnx/model.onnx").exists()
    model = "teacher"
    train(seed=1)
    assert not (folder / "mine/recipe.yaml").exists()


def test_without_a_teacher_any_encoder_is_fine_tuned(fine_tuned):
    assert fine_tuned.teacher_scores is None
    assert fine_tuned.scores["tr"]["accuracy"] == accuracy("tuned")
    assert not Path("tuned/recipe.yaml").exists()


def test_the_session_in_ten_lines(folder, tiny_teacher):
    """As the README has it: nothing is written but the output folders."""
    import bistil

    text = {"en": LINES["en"], "tr": LINES["tr"]}
    trimmed = bistil.trim("teacher", text=text, output_dir="ten/trimmed", progress=False)
    student = bistil.distill(trimmed, text=text, layers=2, output_dir="ten/student", **SMALL, tokens=2048)
    model = bistil.train(
        student, teacher=trimmed, output_dir="ten/food", test={"tr": ROWS["tr"]}, progress=False, **TASK
    )
    found = bistil.load(model)("Komşum pazarda taze ekmeği satıyor.")
    compared = bistil.compare(model, model, test={"tr": ROWS["tr"]}, progress=False)
    assert found.label in ("food", "object")
    assert found.text == "Komşum pazarda taze ekmeği satıyor."
    assert compared.differences["tr"].difference == 0
    assert {path.name for path in Path("ten").iterdir()} == {"trimmed", "student", "food"}


def test_load(trained):
    model = bistil.load(trained)
    assert (model.task, model.labels) == ("classification", ("food", "object"))
    right = [
        one.label == row["label"]
        for one, row in zip(model([r["text"] for r in ROWS["tr"]]), ROWS["tr"], strict=True)
    ]
    assert 100 * sum(right) / len(right) == pytest.approx(trained.scores["tr"]["accuracy"])
    assert model.evaluate(ROWS["tr"]).scores == pytest.approx(trained.scores["tr"])


def test_compare(trained, fine_tuned, tiny_teacher, tmp_path):
    found = bistil.compare(trained, fine_tuned, test={"tr": ROWS["tr"]}, progress=False)
    assert found.scores["tr"] == (trained.scores["tr"]["accuracy"], fine_tuned.scores["tr"]["accuracy"])
    sure = found.differences["tr"]
    assert sure.difference_low <= sure.difference <= sure.difference_high
    assert sure.difference == pytest.approx(found.scores["tr"][0] - found.scores["tr"][1])
    assert found.parameters[0] < found.parameters[1]
    assert "95 % interval" in repr(found)
    with pytest.raises(BistilError, match="train is for sentence embedding models"):
        bistil.compare(trained, fine_tuned, test={"tr": ROWS["tr"]}, train=ROWS["en"], progress=False)
    vectors = shutil.copytree(tiny_teacher, tmp_path / "vectors")
    POOLING.save(vectors, 32)
    for pair in ((trained, vectors), (vectors, trained)):
        with pytest.raises(BistilError, match=r"/vectors is a sentence embedding model, \S+ is not"):
            bistil.compare(*pair, test={"tr": ROWS["tr"]}, progress=False)


@pytest.mark.slow
def test_run_is_the_same_as_the_command(folder, tiny_teacher):
    (folder / "experiment").mkdir()
    recipe = bistil.Recipe.checked(tiny.experiment(folder / "experiment", LINES, tiny_teacher))
    recipe.save("recipe.yaml")
    found = bistil.run("recipe.yaml", overrides=["seeds=[0]"], output_dir="run", progress=False)
    assert found.output_dir == Path("run")
    assert "Your Turkish classification model" in repr(found)
    assert Path("run/report.html").is_file()


CARDS = {
    "trimmed": ("feature-extraction", "a smaller vocabulary", "Nothing was trained"),
    "student": (
        "feature-extraction",
        "distilled from a multilingual teacher",
        "the teacher's hidden states and attention on 2,048 tokens of unlabelled",
    ),
    "food": ("text-classification", "labelled English examples and no labelled Turkish", "zero-shot"),
    "tuned": ("text-classification", "fine-tuned for classification", "labelled examples by sparse fine-tuning"),
}


@pytest.mark.parametrize("name", CARDS)
def test_every_model_has_a_card(name, trimmed, student, trained, fine_tuned):
    """That the hub's own code reads, with what the calls returned, and no more."""
    from huggingface_hub import ModelCard, metadata_load
    from safetensors.torch import load_file

    made = {"trimmed": trimmed, "student": student, "food": trained, "tuned": fine_tuned}[name]
    card = ModelCard.load(Path(made, "README.md"))
    data = card.data.to_dict()
    assert metadata_load(Path(made, "README.md")) == data
    tag, *words = CARDS[name]
    assert data["pipeline_tag"] == tag
    assert data["language"] == (["tr"] if name == "tuned" else ["en", "tr"])
    assert not {"license", "base_model"} & data.keys()  # a local model, of which nothing is known
    for said in (*words, "teacher, a local model, licence: unknown", "| unknown |", "ansell-etal-2023"):
        assert said in card.text
    assert ("Latency" in card.text, str(Path.cwd()) in card.text) == (False, False)
    scores = [(one.dataset_config, one.metric_value) for one in card.data.eval_results or []]
    expected = [("tr", round(made.scores["tr"]["accuracy"], 2))] if name in ("food", "tuned") else []
    assert scores == expected
    if name == "food":
        theirs = trained.teacher_scores["tr"]["accuracy"]
        assert f"| {theirs:.1f} | {expected[0][1]:.1f} |" in card.text
    count = sum(tensor.numel() for tensor in load_file(Path(made, "model.safetensors")).values())
    assert f"| {count:,} |" in card.text


def test_nothing_but_the_output_folders_is_left(trimmed, student, trained, fine_tuned, folder):
    written = {path.name for path in folder.iterdir()} - {
        "recipe.yaml",
        "experiment",
        "run",
        "again",
        "ten",
        "mine",
    }
    assert written == {"teacher", "trimmed", "student", "food", "tuned"}


@pytest.mark.slow
def test_datasets(folder, trained, student):
    from datasets import Dataset

    rows = Dataset.from_list(ROWS["en"]).class_encode_column("label")
    given = {**TASK, "train": rows, "test": {"tr": Dataset.from_list(ROWS["tr"])}}
    assert (
        bistil.train(student, teacher="teacher", output_dir="table", progress=False, **given).scores
        == trained.scores
    )
    text = {language: Dataset.from_dict({"text": own}) for language, own in LINES.items()}
    again = bistil.distill("teacher", text=text, output_dir="of_table", layers=2, tokens=2048, **SMALL)
    assert again.losses == student.losses


def test_progress_shows_unless_it_is_turned_off(folder, capsys):
    bistil.trim("teacher", text=LINES, output_dir="shown")
    assert "Trimming the vocabulary" in capsys.readouterr().out
    bistil.trim("teacher", text=LINES, output_dir="shown", progress=False)
    assert capsys.readouterr().out == ""


def test_version():
    assert bistil.__version__[0].isdigit()


def wrong(call, *told):
    with pytest.raises(BistilError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    for part in told:
        assert part in message


def test_wrong_models(folder, student, trimmed, monkeypatch):
    for call in (bistil.trim, bistil.distill):
        wrong(lambda call=call: call("./absent", text=LINES, output_dir="wrong"), "no teacher folder ./absent")
    wrong(lambda: bistil.train("./absent", output_dir="wrong", **TASK), "There is no", "./absent")
    wrong(
        lambda: bistil.train("teacher", teacher="teacher", output_dir="wrong", **TASK),
        "teacher is no student that bistil distilled", "leave out the teacher",
    )  # fmt: skip
    wrong(
        lambda: bistil.train(student, teacher="trimmed", output_dir="wrong", **TASK), "was distilled from teacher"
    )
    wrong(lambda: bistil.compare("student", "food", test=ROWS["tr"]), "student", "no task head")
    wrong(
        lambda: bistil.compare("./absent", "food", test=ROWS["tr"]),
        "absent",
    )
    wrong(lambda: bistil.load("student"), "student", "no task head")
    wrong(lambda: bistil.load("./absent"), "absent")
    wrong(lambda: bistil.load(None), "The task model is None")
    wrong(lambda: bistil.load("food")([]), "texts is empty")
    lies = "itself lies. Give another folder"
    wrong(lambda: bistil.train(student, output_dir="student", **TASK), "where the model", lies)
    wrong(lambda: bistil.distill("trimmed", text=LINES, output_dir="trimmed", **SMALL), "where the teacher", lies)
    wrong(lambda: bistil.trim("trimmed", text=LINES, output_dir="trimmed"), "where the model", lies)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    wrong(lambda: bistil.train("~/student", output_dir="~/student", **TASK), "where the model", lies)


def test_wrong_texts(folder):
    def distill(**text):
        return lambda: bistil.distill("teacher", text=text, output_dir="wrong", **SMALL)

    wrong(distill(en=LINES["en"]), "text has 1 languages (en)", "Give two or more")
    wrong(distill(en=LINES["en"], tr=[]), "The text of tr is empty")
    wrong(distill(en=LINES["en"], tr=["", " "]), "The text of tr is blank")
    wrong(distill(en=LINES["en"], tr=None), "The text of tr is None")
    wrong(distill(en=LINES["en"], tr=[1, 2]), "The text of tr holds something of the type int")
    table = pd.DataFrame({"text": LINES["tr"]})
    wrong(distill(en=LINES["en"], tr=table), "The text of tr is a table of the type DataFrame", "Give its texts")
    wrong(distill(en=LINES["en"], tr="absent.txt"), "absent.txt does not exist")
    wrong(distill(en=["teacher/config.json"], tr=LINES["tr"]), "is a file. Give a glob")
    wrong(
        lambda: bistil.distill("teacher", text="en.txt", output_dir="wrong"),
        "text is of the type str",
        "{'en': 'en.txt'",
    )
    wrong(lambda: bistil.trim("teacher", text={}, output_dir="none"), "No corpus is given")


def test_wrong_settings(folder, student):
    def distill(**settings):
        return lambda: bistil.distill("teacher", text=LINES, output_dir="wrong", progress=False, **settings)

    def train(**settings):
        return lambda: bistil.train(student, output_dir="wrong", **{**TASK, **settings})

    wrong(distill(sequence_lenght=16), "unknown key 'distill.sequence_lenght'", "'distill.sequence_length'")
    wrong(distill(layers=9), "student.layers is 9, but the teacher has 4 layers")
    wrong(distill(tokens=-1), "'distill.tokens' must be greater than 0; got -1")
    wrong(train(task="clasification"), "There is no task kind 'clasification'. Use 'classification'")
    wrong(train(train=[]), "train is empty. Give at least one example")
    wrong(train(train="absent.jsonl"), "train: there is no file absent.jsonl")
    wrong(train(train=["a"]), "train holds something of the type str")
    wrong(train(train=[*ROWS["en"][:7], *FOODS[:2]]), "too few to hold out a tenth")
    wrong(train(batch_sise=3), "unknown key 'batch_sise'", "'batch_size'")
    wrong(train(teacher="teacher", test={"sw": ROWS["tr"]}), "sw; the student only knows en and tr")
    assert not (folder / "wrong/config.json").exists()
