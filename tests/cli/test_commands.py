import io
import json
import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bistil.cli import app, main
from bistil.errors import BistilError
from bistil.recipe.recipe import Recipe

RECIPE = """\
name: basque
source: {language: en, text: en.txt}
target: {language: eu, text: en.txt}
tasks: [{kind: pos, train: en.txt, test: {eu: en.txt}}]
out: runs/basque
"""


@dataclass
class Run:
    output_dir: Path
    report: dict[str, Any]
    models: list[Path]


@pytest.fixture
def pipeline(monkeypatch, tmp_path):
    """A pipeline and a quickstart that only remember the recipe they are given."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "en.txt").write_text("text\n")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    ran: list[Recipe] = []

    def run(recipe, progress, stages=None):
        ran.append(recipe)
        with progress.stage("Distilling", total=1) as stage:
            stage.advance(1)
        report = {"source": "en", "target": "eu", "comparison": {"smaller": 5.9}}
        return Run(recipe.out, report, [recipe.out / "tasks/pos"])

    def recipe_for(target, size, out, embeddings=False):
        if target != "tr":
            raise BistilError(f"There is no quickstart for {target}. Choose tr.")
        return Recipe.load("recipe.yaml", [f"name={'embeddings-' * embeddings}{size}", f"out={out}"])

    def fake(name: str, **values: Any) -> None:
        module = types.ModuleType(name)
        module.__dict__.update(values)
        monkeypatch.setitem(sys.modules, name, module)

    fake("bistil.pipeline.runs", run=run)
    fake("bistil.quickstart.recipe", recipe_for=recipe_for)
    return ran


def status(*arguments: str) -> int:
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def test_run(pipeline):
    result = CliRunner().invoke(app, ["run", "recipe.yaml", "--set", "distill.tokens=5", "--out", "else: where"])
    assert result.exit_code == 0, result.output
    assert pipeline[0].distill.tokens == 5
    assert pipeline[0].out == Path("else: where")
    assert "Distilling: done in 0 s" in result.stdout
    assert "Your Basque model is 5.9 times smaller" in result.stdout
    assert "else: where/report.html" in result.stdout
    assert "else: where/tasks/pos" in result.stdout
    assert "\x1b" not in result.stdout


def test_quickstart(pipeline):
    result = CliRunner().invoke(app, ["quickstart", "--size", "smoke", "--set", "seeds=[0,1]"])
    assert result.exit_code == 0, result.output
    assert pipeline[0].seeds == (0, 1)
    assert pipeline[0].out == Path("runs/quickstart-tr-smoke")


def test_quickstart_of_embeddings(pipeline):
    result = CliRunner().invoke(app, ["quickstart", "--task", "embeddings", "--size", "smoke"])
    assert result.exit_code == 0, result.output
    assert pipeline[0].name == "embeddings-smoke"
    assert pipeline[0].out == Path("runs/embeddings-tr-smoke")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "none.yaml"], ["none.yaml", "No such file"]),
        (["run", "recipe.yaml", "--set", "distill.token=5"], ["Did you mean 'distill.tokens'?"]),
        (["run", "recipe.yaml", "--set", "distill.tokens"], ["--set takes KEY=VALUE"]),
        (["run", "recipe.yaml", "--set", "tasks.0.train=none.conllu"], ["tasks.0.train", "none.conllu"]),
        (["run", "recipe.yaml", "--set", "tasks.0.train=empty"], ["tasks.0.train", "empty is empty"]),
        (["quickstart", "--target", "xx"], ["no quickstart for xx. Choose tr."]),
        (["report", "none"], ["none/report.json", "No such file"]),
        (["report", "bad"], ["bad/report.json is not JSON"]),
        (["report", "other.json"], ["other.json is not the report of a run"]),
        (["report", "bad", "none"], ["2 runs", "--out FOLDER"]),
        (["report", "bad", "--out", "x"], ["--out is for several runs"]),
        (["eval", "./none", "en.txt"], ["There is no task model folder ./none"]),
        (["predict", "none", "none.txt"], ["There is no file none.txt"]),
    ],
)
def test_user_errors_are_one_line_with_status_2(pipeline, tmp_path, capsys, arguments, words):
    (tmp_path / "empty").write_text("")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "report.json").write_text("{")
    (tmp_path / "other.json").write_text("[]")
    assert status(*arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("bistil: ")
    assert message.count("\n") == 1
    for word in words:
        assert word in message
    assert not pipeline


def test_interrupted_and_full_disk(pipeline, monkeypatch, capsys):
    def raising(error):
        def run(recipe, progress, stages=None):
            raise error

        monkeypatch.setattr(sys.modules["bistil.pipeline.runs"], "run", run)

    raising(KeyboardInterrupt())
    assert status("run", "recipe.yaml") == 130
    raising(OSError(28, "No space left on device", "big.bin"))
    assert status("run", "recipe.yaml") == 2
    assert "No space left on the disk for big.bin" in capsys.readouterr().err
    raising(OSError(36, "File name too long", "xxx"))
    assert status("run", "recipe.yaml") == 2
    assert "xxx cannot be used: File name too long" in capsys.readouterr().err
    raising(OSError("of bistil's own making"))
    with pytest.raises(OSError, match="own making"):
        status("run", "recipe.yaml")


@pytest.mark.parametrize("arguments", [["--set"], ["run"], ["quickstart", "--size", "huge"], ["nonsense"]])
def test_usage_errors(arguments):
    assert CliRunner().invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize(
    "command", ["quickstart", "init", "run", "teach", "transfer", "eval", "predict", "report", "vocab"]
)
def test_help_has_examples(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"\n  bistil {command} " in result.stdout or f"| bistil {command} " in result.stdout
    assert "\x1b" not in result.stdout


def test_version():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.startswith("bistil ")


@pytest.fixture(scope="module")
def classifier(tiny_teacher, tiny_tokenizer, tmp_path_factory) -> Path:
    return saved("classification", ["animal", "plant"], tiny_teacher, tiny_tokenizer, tmp_path_factory)


@pytest.fixture(scope="module")
def tagger(tiny_teacher, tiny_tokenizer, tmp_path_factory) -> Path:
    return saved("pos", ["DET", "NOUN", "VERB"], tiny_teacher, tiny_tokenizer, tmp_path_factory)


def saved(kind, labels, tiny_teacher, tiny_tokenizer, tmp_path_factory) -> Path:
    from bistil.tasks import task_kind

    folder = tmp_path_factory.mktemp("models") / kind
    task_kind(kind)(tuple(labels)).new_model(tiny_teacher).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


def test_eval_and_predict_agree_for_classification(classifier, tmp_path):
    texts = ["The farmers sells fresh bread", "Öğretmen okuyor", "Komşum"]
    (tmp_path / "texts.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    predicted = CliRunner().invoke(app, ["predict", str(classifier), str(tmp_path / "texts.txt")])
    rows = [json.loads(line) for line in predicted.stdout.splitlines()]
    assert [row["text"] for row in rows] == texts
    labels = [row["label"] for row in rows]

    piped = CliRunner().invoke(app, ["predict", str(classifier)], input="\ufeff" + "\n".join(texts))
    assert piped.stdout == predicted.stdout
    (tmp_path / "texts.csv").write_text("text\n" + "\n".join(texts), encoding="utf-8")
    assert (
        CliRunner().invoke(app, ["predict", str(classifier), str(tmp_path / "texts.csv")]).stdout == piped.stdout
    )

    gold = [labels[0], labels[1], "plant" if labels[2] == "animal" else "animal"]
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps({"text": t, "label": g}) + "\n" for t, g in zip(texts, gold, strict=True)))
    result = CliRunner().invoke(app, ["eval", str(classifier), str(file), "--json"])
    numbers = json.loads(result.stdout)
    assert numbers["examples"] == 3
    assert numbers["scores"]["accuracy"] == pytest.approx(200 / 3)
    table = CliRunner().invoke(app, ["eval", str(classifier), str(file)]).stdout
    assert "accuracy" in table
    assert "66.7" in table
    assert "precision" in table
    for more in ([str(file)], ["--train", str(file)]):
        told = CliRunner().invoke(app, ["eval", str(classifier), str(file), *more])
        assert "which is scored on one labelled file" in str(told.exception)


def test_predict_keeps_conllu(tagger, tmp_path):
    file = tmp_path / "in.conllu"
    file.write_text("# sent_id = 1\n1\tBir\tbir\t_\t_\t_\t2\tdet\t_\t_\n2\tev\tev\t_\t_\t_\t0\troot\t_\t_\n\n")
    result = CliRunner().invoke(app, ["predict", str(tagger), str(file)])
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["# sent_id = 1"]
    assert [row[1:3] + row[6:8] for row in rows[1:3]] == [
        ["Bir", "bir", "2", "det"],
        ["ev", "ev", "0", "root"],
    ]
    assert {row[3] for row in rows[1:3]} <= {"DET", "NOUN", "VERB"}


def test_models_that_are_none(classifier, tiny_teacher, tmp_path, capsys, monkeypatch):
    assert status("predict", str(tiny_teacher), "-") == 2
    assert "BertModel, which has no task head" in capsys.readouterr().err
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text((classifier / "config.json").read_text())
    assert status("predict", str(broken), "-") == 2
    message = capsys.readouterr().err
    assert "has no tokenizer_config.json that can be read" in message
    assert message.count("\n") == 1
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (broken / name).write_bytes((classifier / name).read_bytes())
    for content in ("", "version https://git-lfs.github.com/spec/v1"):
        (broken / "model.safetensors").write_text(content)
        assert status("eval", str(broken), "none.csv") == 2
        assert "cannot be loaded" in capsys.readouterr().err
    (broken / "config.json").write_text("[]")
    assert status("eval", str(broken), "none.csv") == 2
    assert "is not a model folder" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO('{"text": "fine"}\n{broken\n'))
    assert status("predict", str(classifier)) == 2
    assert "stdin, line 2" in capsys.readouterr().err


def test_report_is_written_again(tmp_path, monkeypatch):
    (tmp_path / "report.json").write_text('{"name": "x", "target": "tr"}')
    written = []

    def write_pages(numbers, folder):
        written.append((numbers, folder))
        return folder / "report.html"

    monkeypatch.setattr("bistil.report.write_pages", write_pages)
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert written == [({"name": "x", "target": "tr"}, tmp_path)]
    assert result.stdout.strip() == str(tmp_path / "report.html")


def test_reports_side_by_side(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a/tr", "b/tr"):
        Path(folder).mkdir(parents=True)
        Path(folder, "report.json").write_text(json.dumps({"name": folder, "target": "tr"}))
    Path("eu.json").write_text('{"name": "c", "target": "eu"}')
    written = []

    def write_comparison(reports, folder):
        written.append(({label: report["name"] for label, report in reports.items()}, folder))
        return folder / "comparison.html"

    monkeypatch.setattr("bistil.report.write_comparison", write_comparison)
    for runs, labels in (
        (["a/tr", "eu.json"], {"tr": "a/tr", "eu": "c"}),
        (["a/tr", "b/tr/report.json"], {"a/tr": "a/tr", "b/tr": "b/tr"}),
    ):
        result = CliRunner().invoke(app, ["report", *runs, "--out", "both"])
        assert written.pop() == (labels, Path("both"))
        assert result.stdout.strip() == "both/comparison.html"


def test_eval_calls_labels_otherwise_and_suspects_another_language(classifier, tmp_path):
    texts = ["The farmers sells fresh bread", "Öğretmen okuyor"]
    predicted = CliRunner().invoke(app, ["predict", str(classifier)], input="\n".join(texts))
    labels = [json.loads(line)["label"] for line in predicted.stdout.splitlines()]
    file = tmp_path / "test.jsonl"
    rows = [{"text": text, "label": label[:1]} for text, label in zip(texts, labels, strict=True)]
    file.write_text("\n".join(map(json.dumps, rows)))
    maps = [part for label in ("animal", "plant") for part in ("--map", f"{label[:1]}={label}")]
    result = CliRunner().invoke(app, ["eval", str(classifier), str(file), "--json", *maps])
    assert json.loads(result.stdout)["scores"]["accuracy"] == 100
    assert "warning" not in result.stderr

    file.write_text(json.dumps({"text": "这是一个完全不同的语言", "label": "plant"}))
    result = CliRunner().invoke(app, ["eval", str(classifier), str(file)])
    assert "the model does not know" in result.stderr
    assert result.exit_code == 0


@pytest.mark.parametrize(("command", "folder"), [("teach", "teachers"), ("transfer", "tasks")])
def test_teach_and_transfer_say_the_scores(command, folder, pipeline, monkeypatch):
    scores = {"pos": {"validation": [{"accuracy": 90.04}], "eu": [{"accuracy": 70.0}]}}
    monkeypatch.setattr(sys.modules["bistil.pipeline.runs"], f"{command}_tasks", lambda *_: scores, raising=False)
    said = CliRunner().invoke(app, [command, "recipe.yaml", "--out", "runs/x"]).stdout
    assert re.search(r"eu +accuracy 70.0", said)
    assert f"runs/x/{folder}/pos" in said
    assert "validation" in said
