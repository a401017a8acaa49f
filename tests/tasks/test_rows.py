"""Treebanks and questions as rows give what their files give."""

import json

import conllu
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from tests.tiny import lines

from bistil.errors import BistilError
from bistil.tasks import Parsing, PartOfSpeech, QuestionAnswering, task_kind

SENTENCE = """\
# text = Evdeki kedi uyudu.
1-2	Evdeki	_	_	_	_	_	_	_	_
1	Evde	ev	NOUN	Noun	Case=Loc	3	nmod	_	_
2	ki	ki	PART	Prt	_	1	case	_	_
3	kedi	kedi	NOUN	Noun	_	4	nsubj	_	_
3.1	boş	_	VERB	_	_	_	_	_	_
4	uyudu	uyu	VERB	Verb	_	0	root	_	SpaceAfter=No
5	.	.	PUNCT	Punc	_	4	punct	_	_
"""
TAGS = ["NOUN", "PART", "PUNCT", "VERB"]
NAMES = {"tokens": "form", "lemmas": "lemma", "upos": "upos", "xpos": "xpos", "head": "head", "deprel": "deprel"}


def converted(text):
    """The rows of a CoNLL-U text, read by another library."""
    rows = []
    for sentence in conllu.parse(text):
        words = [token for token in sentence if isinstance(token["id"], int)]
        for token in sentence:  # the space after a multi-word token is that after its last word
            if token["id"] not in range(1, 10_000) and token["id"][1] == "-" and (token["misc"] or {}):
                words[token["id"][2] - 1]["misc"] = token["misc"]
        row = {name: [word[key] for word in words] for name, key in NAMES.items()}
        row["misc"] = ["|".join(f"{k}={v}" for k, v in (word["misc"] or {}).items()) for word in words]
        row["feats"] = ["|".join(f"{k}={v}" for k, v in (word["feats"] or {}).items()) for word in words]
        rows.append(row)
    return rows


def treebank(count=20):
    """Sentences of the synthetic Turkish, each word on the first, the first on the root."""
    sentences = [SENTENCE]
    for number, line in enumerate(lines()["tr"][:count]):
        rows = []
        for at, word in enumerate(line.replace(",", " ,").replace(".", " .").split(), start=1):
            joined = "SpaceAfter=No" if number % 2 and at % 3 == 0 else "_"
            relation = "1\tdep" if at > 1 else "0\troot"
            rows.append(f"{at}\t{word}\t_\t{TAGS[(at + number) % 4]}\tx{at % 3}\t_\t{relation}\t_\t{joined}")
        sentences.append("\n".join(rows) + "\n")
    return "\n".join(sentences)


def stored(folder, rows):
    """The rows as JSON lines, and as Parquet whose tags are numbers of classes."""
    jsonl, parquet = folder / "a.jsonl", folder / "a.parquet"
    jsonl.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    text = List(Value("string"))
    features = Features(
        {**dict.fromkeys(rows[0], text), "upos": List(ClassLabel(names=TAGS)), "head": List(Value("int64"))}
    )
    Dataset.from_list(rows, features=features).to_parquet(parquet)
    return jsonl, parquet


@pytest.mark.parametrize("kind", ["pos", "xpos", "parsing", "parsing-subtypes"])
def test_rows_are_read_as_the_file_is(kind, tmp_path, tiny_teacher, tiny_tokenizer):
    file = tmp_path / "a.conllu"
    file.write_text(treebank(), encoding="utf-8")
    task = task_kind(kind)
    expected = task.read(file)
    learned = task.from_examples(expected)
    model = learned.new_model(tiny_teacher)
    scores = learned.score(expected, learned.predict(model, tiny_tokenizer, expected))
    for path in stored(tmp_path, converted(treebank())):
        found = task.read(path)
        assert [(one.words, one.gold, one.spaced()) for one in found] == [
            (one.words, one.gold, one.spaced()) for one in expected
        ]
        assert task.from_examples(found) == learned
        assert learned.score(found, learned.predict(model, tiny_tokenizer, found)) == scores
        assert task.read(path, labelled=False)[0].gold is None or "pos" in kind
        assert task.columns(path) == tuple(converted(treebank())[0])
    assert found[0].source == f"{tmp_path / 'a.parquet'}, row 1"


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["tr_boun-test", "wo_wtb-test", "vi_vtb-test"])
def test_real_treebanks_as_rows(name, realdata, tmp_path):
    file = realdata / "ud" / f"{name}.conllu"
    rows = converted(file.read_text(encoding="utf-8"))
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    for task in (PartOfSpeech, Parsing):
        pairs = zip(task.read(file), task.read(path), strict=True)
        assert all((a.words, a.gold, a.spaced()) == (b.words, b.gold, b.spaced()) for a, b in pairs)


def test_what_is_read_from_rows_is_written_as_conllu(tmp_path):
    path, _ = stored(tmp_path, converted(SENTENCE))
    (example,) = PartOfSpeech.read(path)
    task = PartOfSpeech(tuple(TAGS))
    (written,) = conllu.parse(task.render(example, _predicted(example.gold)) + "\n")
    (expected,) = conllu.parse(SENTENCE)
    words = [token for token in expected if isinstance(token["id"], int)]
    assert [dict(token) for token in written] == [dict(word) for word in words]


def _predicted(gold):
    from bistil.tasks import Prediction

    return Prediction(gold, (1.0,) * len(gold))


WORDS = ["Kedi", "uyudu"]


@pytest.mark.parametrize(
    ("task", "row", "told"),
    [
        (PartOfSpeech, {"words": WORDS, "upos": ["X", "X"]}, "there is no 'tokens'; there are 'words', 'upos'"),
        (PartOfSpeech, {"tokens": "Kedi"}, "'tokens' is of the type str. Give a list of words"),
        (PartOfSpeech, {"tokens": WORDS, "tags": ["X", "X"]}, "there is no 'upos'; there are 'tokens', 'tags'"),
        (PartOfSpeech, {"tokens": WORDS, "upos": ["X"]}, "has 2 tokens, but 'upos' is 1"),
        (PartOfSpeech, {"tokens": WORDS, "upos": "X"}, "but 'upos' is the str 'X'"),
        (PartOfSpeech, {"tokens": ["Kedi", ""], "upos": ["X", "X"]}, "'tokens' has '' for word 2"),
        (PartOfSpeech, {"tokens": ["Ke\tdi", "a"], "upos": ["X", "X"]}, r"'tokens' has 'Ke\\tdi' for word 1"),
        (PartOfSpeech, {"tokens": WORDS, "upos": ["X", "X\n"]}, r"'upos' has 'X\\n' for word 2"),
        (PartOfSpeech, {"tokens": ["Kedi", 3], "upos": ["X", "X"]}, "token 2 is 3"),
        (Parsing, {"tokens": WORDS, "head": [2, 0]}, "there is no 'deprel'"),
        (Parsing, {"tokens": WORDS, "head": [2, 5], "deprel": ["a", "b"]}, "word 2: the head is word 5"),
        (Parsing, {"tokens": WORDS, "head": [2, 0.5], "deprel": ["a", "b"]}, "word 2: the head is '0.5'"),
        (Parsing, {"tokens": WORDS, "head": [2, 1], "deprel": ["a", "b"]}, "no word is the root"),
        (Parsing, {"tokens": WORDS, "head": [2, 0], "deprel": ["a", None]}, "word 2: there is no relation"),
    ],
)
def test_bad_rows_are_named(task, row, told, tmp_path):
    (tmp_path / "a.jsonl").write_text(f"\n{json.dumps(row)}", encoding="utf-8")
    with pytest.raises(BistilError, match=rf"a\.jsonl, line 2.*{told}") as caught:
        task.read(tmp_path / "a.jsonl")
    assert "\n" not in str(caught.value)


def test_null_is_unlabelled(tmp_path):
    row = {"tokens": WORDS, "upos": None, "head": None, "deprel": None}
    (tmp_path / "a.jsonl").write_text(json.dumps(row), encoding="utf-8")
    for task in (PartOfSpeech, Parsing):
        assert [(one.words, one.gold) for one in task.read(tmp_path / "a.jsonl")] == [(tuple(WORDS), None)]
    (tmp_path / "b.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(BistilError, match=r"b\.jsonl holds no sentences"):
        PartOfSpeech.read(tmp_path / "b.jsonl")


CONTEXT = "🦁 Aslan Kral 1994'te çıktı."
ANSWERS = {"text": ["1994", "1994'te"], "answer_start": [13, 13]}


def question(**changes):
    return {"id": "q1", "question": "Ne zaman?", "context": CONTEXT, "answers": ANSWERS} | changes


def questions_in(folder, rows):
    path = folder / "a.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return QuestionAnswering.read(path)


def test_questions_are_read_as_squad_s_file_is(tmp_path):
    listed = [dict(zip(ANSWERS, pair, strict=True)) for pair in zip(*ANSWERS.values(), strict=True)]
    empty = {"text": [], "answer_start": []}
    changes = [
        {},
        {"answers": listed},
        {"answers": empty},
        {"answers": None},
        {"answers": [], "is_impossible": True},
    ]
    rows = [question(id=f"q{number}", **change) for number, change in enumerate(changes)]
    found = questions_in(tmp_path, rows)
    # SQuAD's own file has lists
    entries = [{**row, "answers": listed if row["answers"] == ANSWERS else row["answers"]} for row in rows]
    entries[2]["answers"] = []
    del entries[3]["answers"]
    document = {"data": [{"paragraphs": [{"context": CONTEXT, "qas": entries}]}]}
    (tmp_path / "a.json").write_text(json.dumps(document), encoding="utf-8")
    expected = QuestionAnswering.read(tmp_path / "a.json")
    for one, other in zip(found, expected, strict=True):
        assert (one.question, one.context, one.answers, one.id) == (
            other.question, other.context, other.answers, other.id,
        )  # fmt: skip
    assert [one.gold for one in found] == [("1994", "1994'te")] * 2 + [("",), None, ("",)]
    Dataset.from_list([rows[0], rows[2], rows[3]]).to_parquet(tmp_path / "a.parquet")
    stored = QuestionAnswering.read(tmp_path / "a.parquet")
    assert [one.answers for one in stored] == [found[0].answers, (), None]
    assert stored[2].source == f"{tmp_path / 'a.parquet'}, row 3"
    del rows[3]["answers"]
    assert questions_in(tmp_path, [rows[3]])[0].answers is None
    assert QuestionAnswering.read(tmp_path / "a.json", labelled=False)[0].answers is None


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"context": CONTEXT}, "there is no field 'question'; there are 'context'"),
        (question(question=3), "'question' must be text, not the int 3"),
        (
            question(answers={"text": ["1994"], "answer_start": []}),
            "answers: 'text' has 1 entries and 'answer_start' 0",
        ),
        (question(answers={"text": "1994", "answer_start": 13}), "'text' must be a list"),
        (
            question(answers={"text": ["1994"], "answer_start": [12]}),
            "the answer '1994' should stand at character 12",
        ),
        (question(answers=["1994"]), r"answers\[0\] is the str \"1994\""),
        (question(answers="1994"), "'answers' must be a list"),
    ],
)
def test_bad_questions_are_named(row, told, tmp_path):
    with pytest.raises(BistilError, match=rf"a\.jsonl, line 1.*{told}"):
        questions_in(tmp_path, [row])
