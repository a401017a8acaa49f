import csv
import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from bistil.errors import BistilError
from bistil.tasks import Classification, Prediction
from bistil.tasks.classification import Example

ROWS = [("ekmek, taze", "food"), ('"red" apples', "food"), ("çocuklarımız", "person")]


def written(path, text: str, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("suffix", ["jsonl", "tsv", "csv"])
def test_the_three_formats_hold_the_same_rows(suffix, end, encoding, tmp_path):
    path = tmp_path / f"train.{suffix}"
    if suffix == "jsonl":
        lines = [json.dumps({"id": 1, "text": text, "label": label}) for text, label in ROWS]
        written(path, end.join(lines) + end, encoding)
    elif suffix == "tsv":
        written(path, end.join(["id\tText\tLABEL", *(f"1\t{text}\t{label}" for text, label in ROWS)]), encoding)
    else:
        with path.open("w", encoding=encoding, newline="") as file:
            csv.writer(file, lineterminator=end).writerows([("text", "label"), *ROWS])
    examples = Classification.read(path)
    assert [(*example.texts, example.label) for example in examples] == ROWS
    lines = (1, 2, 3) if suffix == "jsonl" else (2, 3, 4)
    assert [example.source for example in examples] == [f"{path}, line {line}" for line in lines]


@pytest.mark.parametrize("names", [("premise", "hypothesis"), ("sentence1", "sentence2")])
def test_pairs(names, tmp_path, tiny_tokenizer):
    path = written(tmp_path / "nli.tsv", "\t".join([*names, "label"]) + "\nthe house\tseven books\tneutral\n")
    (example,) = Classification.read(path)
    assert example.texts == ("the house", "seven books")
    (feature,) = Classification(("entailment", "neutral")).features([example], tiny_tokenizer, 128)
    first, second = (tiny_tokenizer(text, add_special_tokens=False)["input_ids"] for text in example.texts)
    assert feature["input_ids"] == [0, *first, 2, 2, *second, 2]
    assert feature["labels"] == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.jsonl",
            '{"txt": "x", "label": "y"}',
            "line 1: there is no column 'text'.* there are 'txt', 'label'",
        ),
        ("a.csv", "text,class\nx,y\n", "line 2: there is no column 'label'; there are 'text', 'class'"),
        ("a.jsonl", '{"text": "x", "label": "y"}\n{"text"', "line 2 is not JSON"),
        ("a.jsonl", '["x"]', "line 1 is a JSON list"),
        ("a.jsonl", '{"text": 3, "label": "y"}', "line 1: 'text' must be text, not 3"),
        ("a.jsonl", '{"text": "x", "label": null}', "line 1: the label is None"),
        ("a.tsv", "text\tlabel\nx\ty\nx\ty\tz\n", "line 3 has 3 columns where the header has 2"),
        ("a.csv", "text,label\n", "holds no examples"),
        ("a.jsonl", "", "holds no examples"),
        ("a.csv", 'text,label\nok,x\n"stray,x\nfine,y\nHe said "hi",y\n', "line 3: ',' expected after '\"'"),
        ("a.csv", 'text,label\n"two\nlines",x\n"two\nlines",x,y\n', "line 4 has 3 columns"),
        ("a.jsonl", '{"text": "cut \\ud83d", "label": "y"}', r"line 1: \\ud83d is half of a character"),
        ("a.txt", "x", "rows are read from .jsonl, .tsv, .csv, .parquet, not from '.txt'"),
    ],
)
def test_bad_files_are_named_with_the_line(name, text, message, tmp_path):
    with pytest.raises(BistilError, match=message) as caught:
        Classification.read(written(tmp_path / name, text))
    assert name in str(caught.value)


def test_long_texts_are_no_errors_and_unlabelled_ones_are_read_on_request(tmp_path):
    table = written(tmp_path / "a.csv", f'text\n"{"long, " * 40_000}"\n')
    (example,) = Classification.read(table, labelled=False)
    assert (len(example.text), example.gold) == (240_000, None)
    with pytest.raises(BistilError, match="no column 'label'"):
        Classification.read(table)


def test_lists_in_parquet_of_older_datasets(tmp_path):
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["bad", "good"], "_type": "ClassLabel"},
        "spans": [{"start": {"dtype": "int64", "_type": "Value"}}],
    }
    table = pa.table({"text": ["iyi"], "label": [1], "spans": [[{"start": 0}]]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    assert Classification.read(tmp_path / "a.parquet")[0].gold == ("good",)


def test_unreadable_files(tmp_path):
    with pytest.raises(BistilError, match=r"Cannot read .*none.parquet: No such file"):
        Classification.read(tmp_path / "none.parquet")
    with pytest.raises(BistilError, match=r"Cannot read .*none.csv: No such file"):
        Classification.read(tmp_path / "none.csv")
    with pytest.raises(BistilError, match=r"latin.csv is not UTF-8 text \(byte 11\)"):
        Classification.read(written(tmp_path / "latin.csv", "text,label\nçay,x\n", "iso-8859-9"))


def test_features_are_the_tokenizers_own_cut_at_the_length(tiny_tokenizer, tiny_lines):
    task = Classification(("en", "tr"))
    examples = [Example((line,), language) for language in ("tr", "en") for line in tiny_lines[language][:5]]
    features = task.features(examples, tiny_tokenizer, 16)
    for feature, example in zip(features, examples, strict=True):
        whole = tiny_tokenizer(example.text)["input_ids"]
        assert feature["input_ids"] == (whole if len(whole) <= 16 else [*whole[:15], 2])
        assert feature["labels"] == task.labels.index(example.label)
    batch = task.collator(tiny_tokenizer)(features)
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert batch["labels"].tolist() == [1] * 5 + [0] * 5


def test_predictions_agree_with_one_text_at_a_time_and_keep_the_order(tiny_teacher, tiny_tokenizer, tiny_lines):
    task = Classification(("a", "b", "c"))
    model = task.new_model(tiny_teacher).train()
    texts = [line[: 3 + 5 * (number % 9)] for number, line in enumerate(tiny_lines["tr"][:40])]
    predictions = task.predict(model, tiny_tokenizer, [task.parse(text) for text in texts], batch_size=7)
    assert model.training
    model.eval()
    for text, prediction in zip(texts, predictions, strict=True):
        with torch.no_grad():
            alone = model(**tiny_tokenizer(text.strip(), return_tensors="pt")).logits[0].softmax(-1)
        assert prediction.labels == (task.labels[int(alone.argmax())],)
        assert prediction.probabilities[0] == pytest.approx(float(alone.max()), abs=1e-5)


def test_lines_are_examples_for_a_student_but_not_for_pairs(tiny_lines):
    task = Classification(("a", "b", "c"))
    lines = [*tiny_lines["tr"][:5], '{"not": "JSON here"}']
    found = task.for_student(lines, [Example(("one",), "a")], None, None, len(lines))
    task.check(found)
    assert [example.texts for example in found] == [(line,) for line in lines]
    assert task.for_student(lines, [Example(("one", "two"), "a")], None, None, len(lines)) == []


def test_of_more_lines_than_wanted_the_student_learns_as_many_of_each_label(
    tiny_teacher, tiny_tokenizer, tiny_lines
):
    task, lines = Classification(("a", "b", "c")), tiny_lines["tr"][:60]
    model, texts = task.new_model(tiny_teacher), list(map(task.parse, lines))
    with torch.no_grad():
        usual = model.eval()(**tiny_tokenizer(lines, padding=True, return_tensors="pt")).logits.mean(0)
        for lower in torch.arange(0, 1, 0.005):  # until "a" is of few lines, as most labels are of random text
            model.classifier.bias[:] = -usual - torch.tensor([float(lower), 0, 0])
            labels = [found.labels[0] for found in task.predict(model, tiny_tokenizer, texts)]
            if 0 < labels.count("a") < 6:
                break
    assert min(labels.count("b"), labels.count("c")) > 10
    found = task.for_student(lines, [Example(("one",), "a")], model, tiny_tokenizer, 20)
    task.check(found)
    assert len(found) == 20
    chosen = Counter(labels[lines.index(example.text)] for example in found)
    assert chosen["a"] == labels.count("a")
    assert abs(chosen["b"] - chosen["c"]) <= 1


def test_a_text_longer_than_the_model_is_cut(tiny_teacher, tiny_tokenizer):
    task = Classification(("a", "b"))
    (prediction,) = task.predict(task.new_model(tiny_teacher), tiny_tokenizer, [task.parse("kitap " * 500)])
    assert prediction.labels[0] in task.labels


def test_lines_in_and_json_lines_out():
    task = Classification(("food", "person"))
    answer = Prediction(("food",), (0.93456,))
    for example, row in [
        (task.parse(" taze ekmek\n"), {"text": "taze ekmek"}),
        (task.parse("{taze} ekmek"), {"text": "{taze} ekmek"}),
        (task.parse_row({"text": "çay", "label": "x"}), {"text": "çay"}),
        (task.parse_row({"sentence1": "a", "sentence2": "b"}), {"premise": "a", "hypothesis": "b"}),
    ]:
        rendered = task.render(example, answer)
        assert json.loads(rendered) == {**row, "label": "food", "probability": 0.9346}
    assert "ç" in task.render(Example(("çay",)), answer)


@pytest.mark.realdata
def test_real_pair_files(realdata):
    train = Classification.read(realdata / "nli" / "en_conjnli-train.tsv")
    assert len(train) == 15_000
    task = Classification.from_examples(train)
    assert task.labels == ("contradiction", "entailment", "neutral")
    task.check(Classification.read(realdata / "nli" / "quy_americasnli-test.tsv"))
    assert len(Classification.read(realdata / "nli" / "id_indonli-test_lay.jsonl")) == 2_201


SINGLE, PAIRED = ([Example(texts, label, "x.tsv, line 7") for label in "xy"] for texts in (("a",), ("a", "b")))


def test_a_model_says_whether_it_takes_pairs(tiny_teacher):
    """A server shows one box for a text, or two."""
    for pairs, (own, other) in ((False, (SINGLE, PAIRED)), (True, (PAIRED, SINGLE))):
        task = Classification.from_examples(own)
        model = task.new_model(tiny_teacher)
        assert task.pairs is pairs
        assert Classification.from_model(model) == task
        task.check(own)
        message = r"^x\.tsv, line 7: a (pair|single)"
        with pytest.raises(BistilError, match=message):
            task.check(other)
        with pytest.raises(BistilError, match=message):
            task.predict(model, None, other)
        del model.config.bistil_pairs  # as in a model that others made
        Classification.from_model(model).check([*own, *other])


def test_texts_and_pairs_may_not_be_mixed():
    with pytest.raises(BistilError, match=r"^x\.tsv, line 7: a pair of texts, where .* are single texts"):
        Classification.from_examples([*SINGLE, *PAIRED])
