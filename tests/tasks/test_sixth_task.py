"""The worked example of docs/tasks.md is run as it stands there."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs/tasks.md"
TEXT = """\
1	Evde	ev	NOUN	_	Case=Loc|Number=Sing	2	obl	_	_
2	uyudu	uyu	VERB	_	Tense=Past	0	root	_	_
3	kedi	kedi	NOUN	_	Case=Nom	2	nsubj	_	_
"""


@pytest.fixture
def case():
    names: dict = {}
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(code, names)
    return names["Case"]


def test_case_is_read_predicted_and_written(case, tiny_teacher, tiny_tokenizer, tmp_path):
    (tmp_path / "a.conllu").write_text(TEXT, encoding="utf-8")
    examples = case.read(tmp_path / "a.conllu")
    task = case.from_examples(examples)
    assert examples[0].gold == ("Case=Loc", "_", "Case=Nom")
    assert task.labels == ("Case=Loc", "Case=Nom", "_")
    predictions = task.predict(task.new_model(tiny_teacher), tiny_tokenizer, examples)
    right = sum(a == b for a, b in zip(predictions[0].labels, examples[0].gold, strict=True))
    assert task.score(examples, predictions)["accuracy"] == pytest.approx(100 * right / 3)
    rows = [line.split("\t") for line in task.render(examples[0], predictions[0]).strip().split("\n")]
    assert tuple(row[5] for row in rows) == predictions[0].labels
    assert [row[3] for row in rows] == ["NOUN", "VERB", "NOUN"]
    (tmp_path / "b.conllu").write_text(task.render(examples[0], predictions[0]) + "\n", encoding="utf-8")
    assert case.read(tmp_path / "b.conllu")[0].gold == predictions[0].labels
