"""What `bistil predict` takes a file for, with a model that answers without thinking."""

import json
from pathlib import Path

import pandas as pd
import pytest

from bistil.cli import main
from bistil.tasks import Classification, NamedEntities, Parsing, PartOfSpeech, Prediction, QuestionAnswering

TEMPLATE = "the grey cat sleeps\n{{Infobox bird | name = owl}}\nthe bird flew\n"


def status(*arguments: str) -> int:
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.fixture
def predict(monkeypatch, tmp_path, capsys):
    """A function that writes a file and gives exit status, lines of output, and what was said."""

    def run(task, name, text):
        def answer(self, network, tokenizer, examples, batch_size):
            words = [getattr(example, "words", ("",)) for example in examples]
            label = f"0:{self.labels[0]}" if self.kind == "parsing" else self.labels[0]
            return [Prediction((label,) * len(one), (0.5,) * len(one)) for one in words]

        monkeypatch.setattr(type(task), "predict", answer)
        monkeypatch.setattr(
            "bistil.tasks.saved.load", lambda folder, engine=None, threads=None: (None, None, task)
        )
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        code = status("predict", str(tmp_path), str(tmp_path / name))
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return run


TEXTS = Classification(("food", "x"))
ENTITIES = NamedEntities(("O", "B-LOC"))


def test_a_line_with_braces_is_text(predict):
    code, out, _ = predict(TEXTS, "a.txt", TEMPLATE)
    assert code == 0
    assert [json.loads(line)["text"] for line in out] == TEMPLATE.splitlines()
    code, out, _ = predict(ENTITIES, "a.txt", TEMPLATE)
    assert code == 0
    assert "Infobox\tO" in out


def test_what_comes_before_an_error_is_printed(predict):
    rows = '{"text": "owl"}\n{"text": "cat"}\n{"text": \n{"text": "bird"}\n'
    code, out, err = predict(TEXTS, "a.jsonl", rows)
    assert code == 2
    assert [json.loads(line)["text"] for line in out] == ["owl", "cat"]
    assert "a.jsonl, line 3: the line given is not JSON" in err
    code, out, err = predict(
        QuestionAnswering(), "a.jsonl", '{"question": "?", "context": "x"}\n{"question": "\\ud83d"}\n'
    )
    assert (code, len(out)) == (2, 1)
    assert "line 2: the line given: \\ud83d is half of a character" in err


def test_rows_have_words_or_texts(predict):
    code, out, err = predict(PartOfSpeech(("X", "Y")), "a.jsonl", '{"words": ["owl"]}\n')
    assert (code, out) == (2, [])
    assert "a.jsonl, line 1: the line given: there is no 'tokens'; there are 'words'" in err
    code, out, err = predict(PartOfSpeech(("X", "Y")), "a.jsonl", '{"text": null}\n')
    assert "'text' is of the type NoneType. Give a text" in err
    code, out, _ = predict(PartOfSpeech(("X", "Y")), "a.jsonl", '{"tokens": ["a", "bird"]}\n')
    assert (code, [line.split("\t")[:4] for line in out if line]) == (
        0,
        [["1", "a", "_", "X"], ["2", "bird", "_", "X"]],
    )


@pytest.mark.parametrize(
    "task", [ENTITIES, PartOfSpeech(("X", "Y")), Parsing(("root", "dep"))], ids=lambda one: one.kind
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv", "a.parquet"])
def test_texts_of_a_table_are_split_as_lines_are(task, name, predict, tmp_path):
    texts = ["The grey cat (old) sleeps.", "A bird flew over the wall"]
    _, expected, _ = predict(task, "a.txt", "\n".join(texts))
    table = pd.DataFrame({"id": [1, 2], "text": texts})
    content = {
        ".jsonl": lambda: table.to_json(orient="records", lines=True),
        ".csv": lambda: table.to_csv(index=False),
        ".tsv": lambda: table.to_csv(index=False, sep="\t"),
        ".parquet": table.to_parquet,
    }[Path(name).suffix]()
    code, out, err = predict(task, name, content)
    assert (code, out) == (0, expected), err


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("a.csv", 'text\nA bird.\n" "\nAn owl.\n', "a.csv, line 3"),
        ("a.jsonl", '{"text": "A bird."}\n{"text": ""}\n', "a.jsonl, line 2: the line given"),
        ("a.jsonl", '{"text": "A bird."}\n{"tokens": []}\n', "a.jsonl, line 2: the line given"),
    ],
)
@pytest.mark.parametrize("task", [ENTITIES, PartOfSpeech(("X", "Y"))], ids=["ner", "pos"])
def test_a_row_without_words_is_an_error(task, name, text, place, predict):
    code, out, err = predict(task, name, text)
    assert (code, sum("bird" in line.partition("\t")[0 if task is ENTITIES else 2] for line in out)) == (2, 1)
    assert f"{place} has no words. Give some, or leave it out." in err


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.json"])
@pytest.mark.parametrize("task", [ENTITIES, PartOfSpeech(("X", "Y"))], ids=["ner", "pos"])
def test_other_tables_are_refused_for_word_tasks(task, name, predict):
    code, out, err = predict(task, name, "line\nThe grey cat sleeps.\nA bird flew over the wall\n")
    assert (code, out) == (2, [])
    assert name in err


def test_a_labelled_file_is_no_text(predict):
    code, out, _ = predict(ENTITIES, "a.txt", "the O\ncat O\nleft O\nAnkara B-LOC\n\nno O\nbird O\n")
    assert code == 0
    assert out == ["the\tO", "cat\tO", "left\tO", "Ankara\tO", "", "no\tO", "bird\tO", ""]


def test_a_labelled_file_with_a_line_that_is_odd_is_still_no_text(predict):
    code, _, said = predict(ENTITIES, "a.txt", "the O\n8 000 O\nAnkara B-LOC\n\nno O\n")
    assert code == 2
    assert "a.txt, line 2" in said


def test_a_text_of_two_words_a_line_is_no_labelled_file(predict):
    code, out, _ = predict(ENTITIES, "a.txt", "the cat\nAnkara burns\nblood type O\n")
    assert code == 0
    assert [line.partition("\t")[0] for line in out if line] == [
        *["the", "cat", "Ankara", "burns", "blood", "type", "O"]
    ]


def test_stdin_is_json_if_its_first_line_is(predict, monkeypatch, capsys, tmp_path):
    import io

    predict(TEXTS, "a.txt", "x")
    for text, expected in (
        ('{"text": "owl"}\n{"text": "cat"}\n', ["owl", "cat"]),
        (TEMPLATE, TEMPLATE.splitlines()),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert status("predict", str(tmp_path)) == 0
        assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == expected
