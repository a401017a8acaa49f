"""Files as people have them, which a reader must take as meant or refuse by name and line."""

import json
import time

import pyarrow as pa
import pytest
from pyarrow import parquet

from bistil.errors import BistilError
from bistil.tasks import Classification, NamedEntities, Parsing, PartOfSpeech, QuestionAnswering

COUNTED = "1\tMavi\tO\n2\tkedi\tO\n3\tOslo\tB-LOC\n"
TREE = "1-2\tEvdeki\t_\t_\t_\t_\t_\t_\t_\t_\n"
TREE += "1\tEvde\tev\tNOUN\t_\t_\t3\tnmod\t_\t_\n2\tki\tki\tADP\t_\t_\t1\tcase\t_\t_\n"
TREE += "2.1\t_\t_\t_\t_\t_\t_\t_\t_\t_\n3\tkuş\tkuş\tNOUN\t_\t_\t0\troot\t_\t_\n"


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def entities(tmp_path, text, name="a.bio", labelled=True):
    return [one.words for one in NamedEntities.read(written(tmp_path / name, text), labelled=labelled)]


def test_one_sentence_decides_nothing_about_the_others(tmp_path):
    mavi = ("Mavi", "kedi", "Oslo")
    from_zero = "0\tKuzey\tB-ORG\n1\tIzmir\tI-ORG\n"
    assert entities(tmp_path, f"{COUNTED}\n{COUNTED}\n{from_zero}\n{COUNTED}") == [
        mavi,
        mavi,
        ("Kuzey", "Izmir"),
        mavi,
    ]
    assert entities(tmp_path, f"{from_zero}\n{COUNTED}") == [("Kuzey", "Izmir"), mavi]
    # a file whose words are not numbered may have a sentence of one number
    assert entities(tmp_path, "1 CD O\n\nEU NNP B-ORG\nsays VBZ O\n") == [("1",), ("EU", "says")]
    for odd, line, given in (("1\ta\tO\n3\tb\tO\n", 6, "'3'"), ("x\ty\tO\n", 5, "'x'"), ("2\ta\tO\n", 5, "'2'")):
        with pytest.raises(BistilError, match=f"a.bio, line {line}: the first column is {given}"):
            entities(tmp_path, f"{COUNTED}\n{odd}\n{COUNTED}")


def test_ranges_and_empty_nodes_are_no_words(tmp_path):
    words = ("Evde", "ki", "kuş")
    assert entities(tmp_path, TREE, "a.conllu", labelled=False) == [words]
    assert entities(tmp_path, "1-2\tab\tO\n1\ta\tO\n2\tb\tB-X\n2.1\tc\tO\n") == [("a", "b")]
    for task in (PartOfSpeech, Parsing):
        assert task.read(written(tmp_path / "a.conllu", TREE))[0].words == words
    assert entities(tmp_path, "1-2 O\n3 O\nwon O\n") == [("1-2", "3", "won")]  # a score, where nothing is numbered


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(
    "text", ["Alilipa O\nSh35 000 O\nOslo B-LOC\n", "1 Alilipa O\n2 Sh35 000 O\n3 Oslo B-LOC\n"]
)
def test_a_blank_in_a_word_is_named(text, labelled, tmp_path):
    with pytest.raises(BistilError, match=r"a\.bio, line 2 has \d columns where the file has \d: '.*Sh35 000 O'"):
        entities(tmp_path, text, labelled=labelled)
    assert entities(tmp_path, "Alilipa\tO\nSh35 000\tO\n") == [("Alilipa", "Sh35 000")]


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.tsv"])
def test_a_table_of_texts_holds_no_entities(name, tmp_path):
    with pytest.raises(BistilError, match=rf"{name}: entities are read from .* not from"):
        entities(tmp_path, "text\nThe grey cat sleeps.\nA bird flew over the wall\n", name, labelled=False)


def test_a_labelled_file_is_recognised(tmp_path):
    for text in ("the O\ncat O\n\nOslo B-LOC\n", COUNTED, "1\tAl\tB-PER\t-\tx\n2\tin\tO\t-\tx\n"):
        assert NamedEntities.recognises(written(tmp_path / "a.txt", text))
    for text in ("", "the O\n", "The cat.\nA bird O\n", "a\nb\n", "the cat left\nthe bird O\n"):
        assert not NamedEntities.recognises(written(tmp_path / "a.txt", text))


@pytest.mark.parametrize("task", [PartOfSpeech, Parsing, NamedEntities])
def test_words_that_are_withheld(task, tmp_path):
    text = "".join(f"{n}\t_\t_\tNOUN\t_\t_\t{n - 1}\t{'root' if n == 1 else 'obj'}\t_\t_\n" for n in (1, 2, 3))
    text = "1\t_\tO\n2\t_\tB-X\n" if task is NamedEntities else text
    file = written(tmp_path / ("a.iob2" if task is NamedEntities else "a.conllu"), text)
    with pytest.raises(BistilError, match=r"every word is '_': they are withheld"):
        task.read(file)
    task.read(written(file, text.replace("_", "a", 1)))  # a word may be _


def test_numbers_that_are_no_heads(tmp_path):
    huge = TREE.replace("\t0\troot", f"\t{'9' * 5000}\troot")
    with pytest.raises(BistilError, match=r"line 5: the head is word 9+, but the sentence ends with word 3"):
        Parsing.read(written(tmp_path / "a.conllu", huge))


@pytest.mark.parametrize("number", ["9" * 5000, "1-" + "9" * 5000, "9" * 5000 + ".1"])
def test_numbers_that_are_no_words(number, tmp_path):
    row = TREE.splitlines()[0].replace("1-2", number)
    with pytest.raises(BistilError, match=r"a\.conllu, line 1: .*4300 digits"):
        PartOfSpeech.read(written(tmp_path / "a.conllu", f"{row}\n{TREE}"))


def test_a_long_chain_of_heads_takes_no_time(tmp_path):
    rows = [f"{n}\tw\t_\tX\t_\t_\t{n + 1 if n < 50_000 else 0}\tdep\t_\t_" for n in range(1, 50_001)]
    start = time.process_time()
    (sentence,) = Parsing.read(written(tmp_path / "a.conllu", "\n".join(rows)))
    assert len(sentence.words) == 50_000
    assert time.process_time() - start < 15  # in quadratic time it takes minutes


def squad(start, context="Kuş bahçede uçtu."):
    question = {"id": "1", "question": "Ne?", "answers": [{"text": "bahçede", "answer_start": start}]}
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": [question]}]}]})


def test_answer_starts_written_as_text(tmp_path):
    (question,) = QuestionAnswering.read(written(tmp_path / "a.json", squad("4")))
    assert question == QuestionAnswering.read(written(tmp_path / "a.json", squad(4)))[0]
    for wrong in ("four", "4.0", "²", "", True, 4.0, None, "9" * 5000):
        with pytest.raises(BistilError, match="'answer_start' must be"):
            QuestionAnswering.read(written(tmp_path / "a.json", squad(wrong)))


def test_half_a_character_in_questions(tmp_path):
    with pytest.raises(BistilError, match=r"a\.json: \\ud83d is half of a character"):
        QuestionAnswering.read(written(tmp_path / "a.json", squad(4, "Kuş bahçede uçtu \ud83d")))
    for line in ('{"question": "Ne \\ud83d?", "context": "x"}', '{"question": "Ne \ud83d?", "context": "x"}'):
        with pytest.raises(BistilError, match=r"\\ud83d is half of a character"):
            QuestionAnswering().parse(line)


@pytest.mark.parametrize(
    "task", [Classification(("a", "b")), NamedEntities(("O", "B-X")), PartOfSpeech(("X", "Y"))]
)
def test_half_a_character_in_strings_from_python(task):
    with pytest.raises(BistilError, match=r"the line given: \\ud83d is half of a character"):
        task.parse("the grey cat \ud83d")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "text,label,label\nowl,bird,animal\n", r"line 1 names two columns 'label'"),
        ("a.csv", "Text,text,label\nowl,bird,x\n", r"line 2: the columns 'Text' and 'text' are all 'text'"),
        (
            "a.tsv",
            "sentence1_en\tsentence2_en\tsentence1_sw\tsentence2_sw\tlabel\na\tb\tc\td\tx\n",
            r"line 2: the columns 'sentence1_en' and 'sentence1_sw' are all 'sentence1'",
        ),
        ("a.jsonl", '{"text": "owl", "label": "a", "label": "b"}', r"line 1 .* the name 'label' twice"),
        ("a.jsonl", '{"text": "owl", "label": 0.5}\n{"text": "cat", "label": NaN}', r"line 2: the label is nan"),
        ("a.jsonl", '{"text": "owl", "label": -Infinity}', r"line 1: the label is -inf"),
        ("a.jsonl", '{"text": "owl", "label": 1e999}', r"line 1: the label is inf"),
        ("a.jsonl", '{"text": "owl", "label": ' + "7" * 5000 + "}", r"line 1 cannot be read as JSON"),
        ("a.jsonl", '{"text": "owl", "label": ' + "[" * 100_000 + "}", r"line 1 is nested more than"),
        ("a.jsonl", '{"text": "owl", "label": "\\u1"}', r"line 1 is not JSON: Invalid"),
    ],
)
def test_rows_that_are_no_examples(name, text, message, tmp_path):
    with pytest.raises(BistilError, match=rf"{name}, {message}"):
        Classification.read(written(tmp_path / name, text))


def test_columns_that_nobody_reads_may_be_anything(tmp_path):
    examples = Classification.read(written(tmp_path / "a.csv", ",,text,label\n1,2,owl,bird\n"))
    examples += Classification.read(
        written(tmp_path / "a.jsonl", '{"text": "owl", "label": "bird", "score": NaN}')
    )
    assert {(one.texts, one.label) for one in examples} == {(("owl",), "bird")}


def test_parquet_that_lies(tmp_path):
    def table(text, metadata=None, label=(0,)):
        columns = {"text": text, "label": pa.array(label)}
        parquet.write_table(pa.table(columns).replace_schema_metadata(metadata), tmp_path / "a.parquet")
        return Classification.read(tmp_path / "a.parquet")

    classes = {"info": {"features": {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}}}
    names = {b"huggingface": json.dumps(classes).encode()}
    assert table(["x"], names)[0].label == "a"
    with pytest.raises(BistilError, match=r"a\.parquet, row 1: 2 is no number of the 2 classes"):
        table(["x"], names, (2,))
    with pytest.raises(BistilError, match=r"row 1: the label is nan"):
        table(["x"], label=(float("nan"),))
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    with pytest.raises(BistilError, match=r"a\.parquet is not Parquet: .*0xff"):
        table(broken)
