import json

import pytest

from bistil.errors import BistilError
from bistil.tasks.squad import Answer, parse_question, read_questions

CONTEXT = "🦁 Aslan Kral 1994'te çıktı. Film Denver'da gösterildi."


def entry(**changes):
    answers = [{"text": "1994", "answer_start": 13}, {"text": "1994'te", "answer_start": 13}]
    return {"id": "q1", "question": "Ne zaman?", "answers": answers} | changes


def document(*entries):
    return {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": list(entries)}]}]}


def written(path, value, encoding="utf-8"):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_questions_of_squad(encoding, tmp_path):
    rows = [
        entry(),
        entry(id=2, answers=[]),
        entry(id="q3", is_impossible=True, answers=[]),
        {"id": "q4", "question": "Kim?", "is_impossible": True, "plausible_answers": []},
        entry(id="q5", is_impossible=False),
        {"id": "q6", "question": "Kim?"},
    ]
    path = written(tmp_path / "a.json", document(*rows), encoding)
    questions = read_questions(path)
    assert questions[0].answers == (Answer("1994", 13), Answer("1994'te", 13))
    assert questions[0].text == f"Ne zaman? / {CONTEXT}"
    assert [question.id for question in questions] == ["q1", "2", "q3", "q4", "q5", "q6"]
    assert [question.gold for question in questions] == [
        ("1994", "1994'te"), ("",), ("",), ("",), ("1994", "1994'te"), None,
    ]  # fmt: skip
    assert questions[1].source == f"{path}, question 2"
    assert questions[0].renamed({"1994": "x"}) == questions[0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            document(entry(answers=[{"text": "Denver", "answer_start": 34}])),
            r"question q1, answers\[0\]: the answer 'Denver' should stand at character 34 .* \"enver'\" stands",
        ),
        (document(entry(answers=[{"text": "Denver", "answer_start": 99}])), "where '' stands"),
        (document(entry(answers=[{"text": "ı.", "answer_start": -2}])), "should stand at character -2"),
        (document(entry(answers=[{"text": "", "answer_start": 3}])), "the answer '' should stand"),
        (
            document(entry(answers=[{"text": "1994"}])),
            r"answers\[0\]: there is no field 'answer_start'; .* 'text'",
        ),
        (document(entry(answers={"text": ["1994"]})), "question q1: 'answers' must be a list, not the dict"),
        (document(entry(answers=[{"text": "1994", "answer_start": "1x"}])), "must be a whole number, not the str"),
        (document({"question": "Kim?"}), r"data\[0\].paragraphs\[0\].qas\[0\]: there is no field 'id'"),
        (document({"id": "q7", "answers": []}), "question q7: there is no field 'question'"),
        (document("q"), r"qas\[0\] is the str \"q\". Give an object with 'id'"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, r"data\[0\].paragraphs\[0\]: there is no field 'context'"),
        ({"data": [{"context": "x"}]}, r"data\[0\]: there is no field 'paragraphs'; there are 'context'"),
        ({"rows": []}, "there is no field 'data'; there are 'rows'"),
        ([entry()], "is the list .* Give an object with 'data'"),
        ({"data": []}, "holds no questions"),
        ("", "holds no questions"),
        ('{"data": [\n{"paragraphs"', "line 2 is not JSON"),
    ],
)
def test_bad_files_are_named(value, message, tmp_path):
    with pytest.raises(BistilError, match=message) as caught:
        read_questions(written(tmp_path / "bad.json", value))
    assert "bad.json" in str(caught.value)


def test_other_suffixes(tmp_path):
    with pytest.raises(
        BistilError,
        match=r"are read from .json, as SQuAD has it, or rows \(.jsonl, .parquet\), not from '.conllu'",
    ):
        read_questions(written(tmp_path / "a.conllu", ""))


def test_lines():
    question = parse_question('{"question": "Kim?", "context": "Ali.", "id": 7, "answers": "no matter"}\n')
    assert (question.question, question.context, question.id, question.gold) == ("Kim?", "Ali.", "7", None)
    assert parse_question('{"question": "Kim?", "context": "Ali."}').id is None
    for line, message in [
        ("Kim?", "is not JSON"),
        ("[1]", "is the list"),
        ('{"question": "a"}', "no field 'context'"),
    ]:
        with pytest.raises(BistilError, match=message):
            parse_question(line)


@pytest.mark.realdata
def test_every_question_of_the_real_files(realdata):
    for name, count in [("xquad.de", 1190), ("xquad.tr", 1190), ("en_squad11-train-subset", 3807)]:
        questions = read_questions(realdata / "qa" / f"{name}.json")
        assert len(questions) == count
        assert len({question.id for question in questions}) == count
        for question in questions:
            for text, start in question.answers:
                assert question.context.startswith(text, start)
