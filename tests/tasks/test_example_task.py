"""The example of a task outside the package: installed, and used by every command."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples/grammatical-case"
TEXT = """\
1	Evde	ev	NOUN	_	Case=Loc|Number=Sing	2	obl	_	_
2	uyudu	uyu	VERB	_	Tense=Past	0	root	_	_
3	kedi	kedi	NOUN	_	Case=Nom	2	nsubj	_	_
"""
COMMANDS = """
import sys
from bistil.cli import main

for command in (
    "init --kind case --target tr --source-text en.txt --target-text tr.txt --train en.conllu --test tr=tr.conllu",
    "run recipe.yaml --set teacher=teacher --set distill.tokens=2048 --set distill.sequence_length=16",
    "eval runs/tr-case/tasks/case tr.conllu",
    "predict runs/tr-case/tasks/case new.txt",
    "report runs/tr-case",
):
    print(">", command.split()[0], flush=True)
    try:
        status = main(command.split())
    except SystemExit as end:
        status = end.code
    if status:
        sys.exit(f"{command}: {status}")
import bistil

model = bistil.load("runs/tr-case/tasks/case")
print("> load\\n" + " ".join(word.text for word in model("Evde uyudu.").words), model.task)
"""


@pytest.fixture
def task_class():
    spec = importlib.util.spec_from_file_location("grammatical_case", EXAMPLE / "src/grammatical_case.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.GrammaticalCase


def test_case_is_read_predicted_and_written(task_class, tiny_teacher, tiny_tokenizer, tmp_path):
    (tmp_path / "a.conllu").write_text(TEXT, encoding="utf-8")
    examples = task_class.read(tmp_path / "a.conllu")
    task = task_class.from_examples(examples)
    assert examples[0].gold == ("Case=Loc", "_", "Case=Nom")
    assert task.labels == ("Case=Loc", "Case=Nom", "_")
    predictions = task.predict(task.new_model(tiny_teacher), tiny_tokenizer, examples)
    right = sum(a == b for a, b in zip(predictions[0].labels, examples[0].gold, strict=True))
    assert task.score(examples, predictions)["accuracy"] == pytest.approx(100 * right / 3)
    rows = [line.split("\t") for line in task.render(examples[0], predictions[0]).strip().split("\n")]
    assert tuple(row[5] for row in rows) == predictions[0].labels
    assert [row[3] for row in rows] == ["NOUN", "VERB", "NOUN"]
    (tmp_path / "b.conllu").write_text(task.render(examples[0], predictions[0]) + "\n", encoding="utf-8")
    assert task_class.read(tmp_path / "b.conllu")[0].gold == predictions[0].labels
    found = task.result(examples[0], predictions[0])
    assert [(found.text[word.start : word.end], word.tag) for word in found.words] == list(
        zip(("Evde", "uyudu", "kedi"), predictions[0].labels, strict=True)
    )


def sentence(words, cases):
    rows = zip(words, cases, strict=True)
    return "".join(
        f"{number}\t{word}\t_\tNOUN\t_\t{case}\t_\t_\t_\t_\n" for number, (word, case) in enumerate(rows, start=1)
    )


@pytest.mark.slow
def test_a_task_outside_the_package_changes_no_file_of_it(tmp_path, tiny_teacher, tiny_lines):
    site, folder = tmp_path / "site", tmp_path / "work"
    folder.mkdir()
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target"]
    subprocess.run([sys.executable, *install, str(site), str(EXAMPLE)], check=True)
    (folder / "teacher").symlink_to(tiny_teacher)
    for language, lines in tiny_lines.items():
        (folder / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
        cases = [["Case=Nom|Number=Sing" if word.istitle() else "_" for word in line.split()] for line in lines]
        text = "\n".join(map(sentence, map(str.split, lines), cases))
        (folder / f"{language}.conllu").write_text(text, encoding="utf-8")
    (folder / "new.txt").write_text(tiny_lines["tr"][0], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    said = dict(part.split("\n", 1) for part in done.stdout.split("> ")[1:])
    assert "200 sentences, 2 labels: _" in said["init"]
    assert re.search(r"Your Turkish grammatical-case model in (int8|ONNX) is", said["run"])
    assert "Case=Nom" in said["eval"]
    predicted = [line.split("\t") for line in said["predict"].splitlines() if line[:1].isdigit()]
    assert [row[1] for row in predicted][:1] == tiny_lines["tr"][0].split()[:1]
    assert {row[5] for row in predicted} <= {"_", "Case=Nom"}
    assert (folder / "runs/tr-case/report.html").is_file()
    assert said["load"].strip() == "Evde uyudu . case"
