"""Reading of what sentence embeddings are tested on: which test a file is, and what is wrong with it."""

import json

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from bistil.errors import BistilError
from bistil.evaluation.embeddings import Bitext, Neighbours, Retrieval, Similarity
from bistil.evaluation.testfiles import read_test


@pytest.fixture
def file(tmp_path):
    """A function that writes a file."""

    def write(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


def squad(*questions, sentences=("Kedi uyudu.", "Köpek koştu."), breaks=((0, 11), (12, 24))):
    context = " ".join(sentences)
    entries = [
        {"id": name, "question": asked, "answers": [{"text": text, "answer_start": context.index(text)}]}
        for name, asked, text in questions
    ]
    paragraph = {"context": context, "sentences": sentences, "sentence_breaks": breaks, "qas": entries}
    return {"data": [{"title": "Evcil hayvanlar", "paragraphs": [paragraph]}]}


def test_two_files_of_lines(file):
    found = read_test([file("a.eng", "A cat.\n\nA dog.\n"), file("a.tur", "\ufeffBir kedi.\r\n\r\nBir köpek.")])
    assert found == Bitext(("A cat.", "A dog."), ("Bir kedi.", "Bir köpek."))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", 'A "cat.\tBir kedi.\n'),
        ("a.csv", '"A ""cat.",Bir kedi.\n'),
        ("a.tsv", 'Text\tText_pair\nA "cat.\tBir kedi.\n'),
        ("a.tsv", 'source\ttarget\tdomain\nA "cat.\tBir kedi.\tnews\n'),
        ("a.jsonl", '{"en": "A \\"cat.", "tr": "Bir kedi."}\n'),
        ("a.jsonl", '{"id": 3, "sentence1": "A \\"cat.", "sentence2": "Bir kedi."}\n'),
        ("a.csv", ',Idx,sentence1,sentence2\n0,7,"A ""cat.",Bir kedi.\n'),
    ],
)
def test_tables_of_two_texts(file, name, content):
    assert read_test([file(name, content)]) == Bitext(['A "cat.'], ["Bir kedi."])


@pytest.mark.parametrize("first", [("Hey", "Hey"), ("en", "tr"), ("你好", "Hi"), ("English", "Turkish")])
def test_a_first_line_without_the_names_of_columns_is_a_pair(file, first):
    found = read_test([file("a.tsv", "\t".join(first) + "\nA cat.\tBir kedi.\n")])
    assert found == Bitext([first[0], "A cat."], [first[1], "Bir kedi."])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", '"A cat, here.",A cat.,4.75\n'),
        ("a.tsv", "A cat, here.\tA cat.\t4.75\n"),
        ("a.tsv", "genre\tscore\tSentence1\tSentence2\nnews\t4.750\tA cat, here.\tA cat.\n"),
        ("a.jsonl", '{"sentence1": "A cat, here.", "sentence2": "A cat.", "similarity_score": 4.75}'),
    ],
)
def test_tables_of_two_texts_and_a_score(file, name, content):
    assert read_test([file(name, content)]) == Similarity(["A cat, here."], ["A cat."], [4.75])


def test_parquet(tmp_path):
    table = pa.table({"sentence1": ["A cat."], "sentence2": ["A dog."], "score": [0.25]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert read_test([tmp_path / "a.parquet"]) == Similarity(["A cat."], ["A dog."], [0.25])


def test_parquet_that_pandas_wrote(tmp_path):
    table = pd.DataFrame(
        {"sentence1": ["A cat.", "", "An owl.", "A dog."], "sentence2": ["Kedi.", "", "B.", "K."]}
    )
    table[table.sentence1 != ""].to_parquet(tmp_path / "a.parquet")
    assert read_test([tmp_path / "a.parquet"]) == Bitext(["A cat.", "An owl.", "A dog."], ["Kedi.", "B.", "K."])


def test_the_first_row_says_which_column_comes_first(file):
    rows = '{"en": "A cat.", "tr": "Bir kedi."}\n{"tr": "Bir köpek.", "en": "A dog."}\n'
    assert read_test([file("a.jsonl", rows)]) == Bitext(["A cat.", "A dog."], ["Bir kedi.", "Bir köpek."])


def test_labelled_texts(file):
    train, test = (
        file("train.tsv", "text\tlabel\nA cat.\tanimal\n"),
        file("test.csv", "label,text\nanimal,Bir kedi.\n"),
    )
    assert read_test([test], train) == Neighbours(["A cat."], ["animal"], ["Bir kedi."], ["animal"])


def test_questions_are_asked_of_the_sentences_of_all_files(file):
    tr = file("tr.json", squad(("1", "Kim uyudu?", "Kedi"), ("2", "Kim koştu?", "Köpek")))
    en = squad(("1", "Who slept?", "cat"), sentences=("A dog ran.", "A cat slept."), breaks=((0, 10), (11, 23)))
    found = read_test([tr, file("en.json", en)])
    assert found == Retrieval(
        ["Kim uyudu?", "Kim koştu?", "Who slept?"],
        ["Kedi uyudu.", "Köpek koştu.", "A dog ran.", "A cat slept."],
        [{0, 3}, {1}, {0, 3}],
    )
    assert read_test([tr]) == Retrieval(found.questions[:2], found.passages[:2], [{0}, {1}])


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a.en": "a\nb\n", "a.tr": "a\n"}, r"a\.en has 2 lines and .*a\.tr 1\. Give files"),
        ({"a.en": "a\nb\n", "a.tr": "a\n \n"}, r"a\.tr, line 2 is blank"),
        ({"a.en": "\n", "a.tr": "\n"}, "There is no text in"),
        ({"a.txt": "a\n"}, "a.txt cannot be scored. Give two files"),
        ({"a.tsv": "a b c\td e f\n", "b.tsv": "a b c\td e f\n"}, "cannot be scored"),
        ({"a.csv": "One.,Two.,4.5\nOne.,Two.,high\n"}, r"a\.csv, line 2: the score is 'high'. Give a number."),
        ({"a.csv": "One.,Two.,4.5\nOne.,Two.,nan\n"}, r"line 2: the score is 'nan'"),
        ({"a.csv": "One.,Two.,4.5\nOne.,Two.\n"}, r"line 2 has 2 columns where the first line has 3"),
        ({"a.tsv": "One.\tTwo.\n\tTwo.\n"}, r"a\.tsv, line 2: 'sentence1' is ''"),
        ({"a.tsv": ""}, "holds no pairs of texts"),
        ({"a.tsv": "sentence1\tsentence2\tscore\n"}, "holds no pairs of texts"),
        ({"a.tsv": "a\tb\tc\td\n1\t2\t3\t4\n"}, r"line 2: the columns are 'a', 'b', 'c', 'd'\. Give two files"),
        (
            {"a.tsv": "sentence1\tsentence2\tSimilarity\nOne.\tTwo.\t4.5\nOne.\tTwo.\t0\n"},
            r"a\.tsv: beside two texts there is a column 'similarity', which is not used\. Rename it to 'score'",
        ),
        (
            {"a.jsonl": '{"idx": 0, "text": "a", "text_pair": "b", "label": "entailment"}\n'},
            r"column 'label', which is not used\. .* or leave the column out",
        ),
        ({"a.tsv": "text\tlabel\nA cat.\tanimal\n"}, r"name the labelled texts to learn from, too \(train\)"),
        (
            {"a.jsonl": '{"source": "a", "target": "b", "score": 1}\n{"source": "a", "target": "b"}\n'},
            "2 pairs have 1 scores",
        ),
        (
            {"a.jsonl": '{"en": "a", "tr": "b"}\n{"en": "a", "de": "b"}\n'},
            r"a\.jsonl, line 2: the columns are 'en', 'de'\. Give two files",
        ),
        ({"a.json": ""}, "holds no questions with answers"),
        (
            {"a.json": {"data": [{"paragraphs": [{"context": "a", "qas": []}]}]}},
            r"data\[0\].paragraphs\[0\] has no 's",
        ),
        ({"a.json": squad(("1", "Kim?", "Kedi"), breaks=((0, 11),))}, "2 sentences and 1 sentence_breaks"),
        ({"a.json": squad(("1", "Kim?", "Kedi"), breaks=((0, 11), "b"))}, "with the break 'b' is no sentence"),
        (
            {"a.json": squad(("9", "Kim?", "koştu"), breaks=((0, 3), (3, 5)))},
            "question 9: no sentence has the answer",
        ),
    ],
)
def test_what_cannot_be_scored(file, files, told):
    with pytest.raises(BistilError, match=told):
        read_test([file(name, content) for name, content in files.items()])


@pytest.mark.parametrize(
    ("train", "told"),
    [
        (
            "text\ttopic\nA cat.\tanimal\n",
            r"train\.tsv, line 2: there is no column 'label'; there are 'text', 'topic'",
        ),
        ("text\tlabel\n", r"train\.tsv holds no labelled texts"),
        ("text\tlabel\n\tanimal\n", r"train\.tsv, line 2: 'text' is ''"),
        ("text\tlabel\nA cat.\t \n", r"train\.tsv, line 2: 'label' is ' '"),
        (
            "text\tlabel\n" + "".join(f"A cat.\t{number}\n" for number in range(6)),
            r"labels of .*test\.tsv \('animal'\) is in .*train\.tsv \('0', '1', '2', '3', '4', …\)\. Give",
        ),
    ],
)
def test_labelled_texts_that_are_not(file, train, told):
    with pytest.raises(BistilError, match=told):
        read_test([file("test.tsv", "text\tlabel\nA cat.\tanimal\n")], file("train.tsv", train))


@pytest.mark.realdata
def test_the_files_of_the_field(realdata):
    def counted(*names, train=None):
        found = read_test([realdata / name for name in names], train and realdata / train)
        return type(found), len(found)

    assert counted("retrieval/ntrex.en.txt", "retrieval/ntrex.tr.txt") == (Bitext, 1997)
    assert counted("retrieval/stsb-de-test.csv") == counted("retrieval/stsb-tr-test.tsv") == (Similarity, 1379)
    assert counted("retrieval/xquad-r.en.json", "retrieval/xquad-r.tr.json") == (Retrieval, 2 * 1190)
    assert counted("topic/tr_sib200-test.tsv", train="topic/en_sib200-train.tsv") == (Neighbours, 204)
