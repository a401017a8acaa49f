"""Data as people have them become files that a recipe can name."""

import re

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from bistil.api.data import labelled_file, text_patterns
from bistil.corpora.text import files
from bistil.errors import BistilError
from bistil.recipe.recipe import Recipe
from bistil.tasks.rows import read_rows

FEATURES = Features(
    {"text": Value("string"), "label": ClassLabel(names=["food", "object"]), "tags": List(ClassLabel(names=["x"]))}
)
ROWS = Dataset.from_dict({"text": ["elma", "ev"], "label": [0, -1], "tags": [[0], []]}, features=FEATURES)
NAMED = [{"text": "elma", "label": "food", "tags": ["x"]}, {"text": "ev", "label": None, "tags": []}]


def written(data, folder):
    return [dict(row) for _, row in read_rows(labelled_file(data, folder, "train"))]


def louder(batch):
    return {**batch, "text": [text.upper() for text in batch["text"]]}


def test_a_transform_is_what_the_user_sees(tmp_path):
    assert written(ROWS, tmp_path) == NAMED
    seen = written(ROWS.with_transform(louder), tmp_path)
    assert seen == [{**row, "text": row["text"].upper()} for row in NAMED]
    renamed = ROWS.with_transform(lambda batch: {"text": batch["text"], "label": ["eat"] * len(batch["text"])})
    assert [row["label"] for row in written(renamed, tmp_path)] == ["eat", "eat"]
    other = ROWS.with_transform(lambda batch: {**batch, "label": [7] * len(batch["text"])})
    with pytest.raises(BistilError, match=r"train\[0\]: 7 is no number of the 2 classes"):
        written(other, tmp_path)


@pytest.mark.parametrize("form", [None, "numpy", "torch"])
def test_a_stream_has_the_names_of_its_classes(form, tmp_path):
    assert written(ROWS.to_iterable_dataset().with_format(form), tmp_path) == NAMED


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        (["kedi uyudu", "corpora/a.txt"], "'corpora/a.txt' is a file"),
        (["kedi uyudu", "./corpora"], "'./corpora' is a folder"),
        (["corpora"], "'corpora' is a folder"),
        (["corpora/*.txt"], "'corpora/*.txt' is a glob"),
        (["kedi", "**/*.jsonl.gz:body"], "'**/*.jsonl.gz:body' is a glob"),
    ],
)
def test_paths_in_a_list_are_no_texts(texts, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpora/a.txt").write_text("kedi")
    with pytest.raises(BistilError, match=rf"list of texts, but {re.escape(what)}\. Give .* Path objects"):
        text_patterns({"tr": texts}, tmp_path / "data")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (pd.DataFrame({"text": ["a", "b"], "label": ["x", 1]}), "label"),
        (pd.DataFrame({"text": ["a"], "label": [object()]}), "object"),
        (pd.DataFrame([["a", "x", "y"]], columns=["text", "label", "label"]), "label"),
        (pd.DataFrame({"text": ["a"], "label": [{}]}), "label"),
        (pd.DataFrame({"text": ["a"], "label": [1j]}), "label"),
    ],
)
def test_a_table_that_is_no_parquet(table, told, tmp_path):
    with pytest.raises(
        BistilError, match=rf"^train cannot be written as Parquet: .*{told}.*\. Give columns of"
    ) as e:
        labelled_file(table, tmp_path, "train")
    assert "\n" not in str(e.value)
    assert list(tmp_path.iterdir()) == []


def test_the_numbers_of_a_table_s_rows_are_no_column(tmp_path):
    table = pd.DataFrame({"text": ["elma", "ev", "su", "saat"], "label": ["food", "object", "food", "object"]})
    assert written(table[table.text != "ev"], tmp_path) == table.drop(1).to_dict("records")
    assert written(table.set_index("text"), tmp_path)[0] == {"label": "food", "text": "elma"}  # one with a name is


def test_splits_are_no_data(tmp_path):
    splits = DatasetDict(validation=ROWS, test=ROWS)
    cure = r" is of the type DatasetDict. Give one of its splits: \['validation'\]"
    with pytest.raises(BistilError, match=f"^train{cure}"):
        labelled_file(splits, tmp_path, "train")
    with pytest.raises(BistilError, match=f"^The text of tr{cure}"):
        text_patterns({"tr": splits}, tmp_path)


@pytest.mark.parametrize("text", ["", " "])
def test_nothing_as_text_is_not_the_folder_where_one_is(text, tmp_path, monkeypatch, recipe_file):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("kedi")
    with pytest.raises(BistilError, match=f"The text of en is '{text}'. Give a path"):
        text_patterns({"en": text}, tmp_path / "data")
    with pytest.raises(BistilError, match=f"source.text: The text is '{text}'. Give a file"):
        Recipe.load(recipe_file, [f"source.text='{text}'"]).check_files()


def test_texts_that_are_no_paths_stay_texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpora").mkdir()
    texts = ["*", ".", "..", "/", "~a\0", "corpora", "Read *.txt files.", "2*3.", "x" * 5000]
    (pattern,) = text_patterns({"tr": texts}, tmp_path / "data")["tr"]
    assert (tmp_path / "data").samefile(pattern.rpartition("/")[0])
    with open(pattern, encoding="utf-8") as file:
        assert file.read().splitlines() == texts


def test_a_glob_in_a_folder_whose_name_is_one(tmp_path, monkeypatch):
    folder = tmp_path / "[old] tr*"
    (folder / "more").mkdir(parents=True)
    for name in ("a.txt", "b[1].txt", "more/c.txt", "d.jsonl", "e[1].jsonl"):
        (folder / name).write_text("kedi")
    monkeypatch.chdir(folder)

    def found(pattern):
        paths = [file.path for file in files(text_patterns({"tr": pattern}, folder)["tr"])]
        return [str(path.relative_to(folder)) for path in paths]

    assert found("*.txt") == ["a.txt", "b[1].txt"]
    assert found("**/*.txt") == ["a.txt", "b[1].txt", "more/c.txt"]
    assert found("more/../[ab].txt") == ["a.txt"]
    assert found("b[1].txt") == ["b[1].txt"]
    assert found("e[1].jsonl:body") == ["e[1].jsonl"]
    assert found("d*.jsonl:body") == ["d.jsonl"]
    assert found("more") == ["more/c.txt"]
