"""Task models called with text: offsets, long texts, batches, and what transformers' own pipelines say."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import tokenizers
import torch
from datasets import Dataset, DatasetDict
from tokenizers import Tokenizer, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, pipeline
from typer.testing import CliRunner

import bistil
from bistil.api.model import TaskModel
from bistil.cli import app
from bistil.errors import BistilError
from bistil.runtime.results import Answer, EntityText, Label, ParsedText, TaggedText
from bistil.tasks import task_kind

UNPAIRED = Dataset.from_dict({"text": ["kedi", "ev"], "text_pair": [None, None]})

LABELS = {
    "pos": ("ADJ", "NOUN", "PUNCT", "VERB"),
    "xpos": ("A", "B"),
    "parsing": ("nsubj", "obj", "punct", "root"),
    "ner": ("O", "B-LOC", "I-LOC", "B-PER", "I-PER"),
    "classification": ("food", "object", "person"),
    "qa": ("start", "end"),
}
WORDS = ["pos", "xpos", "parsing", "ner"]
TEXTS = [
    "Öğretmen  okuyor: “küçük evi”, yedi kitabı!",
    "kedi 👩‍🏫 \U0001f1f9\U0001f1f7 👍🏽 ❤️ uyudu🙂",
    "e\u0301vet I\u0307stanbul'da कि नमस्ते।",
    "שלום, עולם! مرحبا (بالعالم)؟ \u200fkedi\u200e",
    " \t kedi\u00a0evi\n\nyarın\u2028 pazarda ",
    "...",
    "",
    "  ",
    "kedi kedi kedi. kedi",
]


@pytest.fixture(scope="module")
def models(tiny_teacher, tiny_tokenizer, tiny_lines, tmp_path_factory) -> dict[str, TaskModel]:
    """A tiny model of each task, whose labels differ from word to word."""
    made = {}
    for kind, labels in LABELS.items():
        network = task_kind(kind)(labels).new_model(tiny_teacher)
        with torch.no_grad():
            if kind == "qa":
                network.qa_outputs.weight.mul_(50)  # else all spans are about equally likely
            elif kind != "parsing":
                inputs = tiny_tokenizer(tiny_lines["tr"][:50], padding=True, return_tensors="pt")
                logits = network.eval()(**inputs).logits
                network.classifier.bias.sub_(logits.flatten(0, -2).mean(0))
                network.classifier.weight.mul_(5)
                network.classifier.bias.mul_(5)
        folder = tmp_path_factory.mktemp("models") / kind
        network.save_pretrained(folder)
        tiny_tokenizer.save_pretrained(folder)
        made[kind] = bistil.load(folder)
    return made


@pytest.fixture(scope="module")
def word_pieces(tiny_lines):
    """A tokenizer shaped as BERT's, a piece a character."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    characters = sorted({character for lines in tiny_lines.values() for line in lines for character in line})
    pieces = [*special, *characters, *(f"##{character}" for character in characters)]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **names)


def long_text(tiny_lines) -> str:
    """Some thousand tokens, where the model takes 128."""
    return "  ".join(tiny_lines["tr"])


@pytest.mark.parametrize("kind", WORDS)
def test_words_are_where_they_say(kind, models, tiny_lines):
    for text in [*TEXTS, long_text(tiny_lines)]:
        result = models[kind](text)
        assert result.text == text
        end = 0
        for word in result.words:
            assert text[word.start : word.end] == word.text
            assert not text[end : word.start].strip()  # nothing is left out, nothing comes twice
            assert 0 <= word.probability <= 1
            end = word.end
        assert not text[end:].strip()
    assert isinstance(result, {"parsing": ParsedText, "ner": EntityText}.get(kind, TaggedText))
    assert len(result.words) == sum(line.count(" ") + 3 for line in tiny_lines["tr"])


def test_tags_and_trees_are_the_task_s_own(models, tiny_lines):
    text = long_text(tiny_lines)
    for kind in WORDS:
        model = models[kind]
        (prediction,) = model.predict([model.learned.parse(text)])
        words = model(text).words
        found = [f"{word.head}:{word.relation}" if kind == "parsing" else word.tag for word in words]
        assert tuple(found) == prediction.labels
        assert [word.probability for word in words] == list(prediction.probabilities)
        assert kind == "xpos" or len(set(found)) > 2
    assert [word.head for word in models["parsing"](text).words].count(0) == 1


def test_entities_are_where_they_say(models, tiny_lines):
    for text in [*TEXTS, long_text(tiny_lines)]:
        result = models["ner"](text)
        inside = set()
        for entity in result.entities:
            assert text[entity.start : entity.end] == entity.text
            inside |= set(range(entity.start, entity.end))
        for word in result.words:
            assert (word.tag != "O") == (word.start in inside)
    assert len({entity.type for entity in result.entities}) == 2


def test_an_answer_is_where_it_was_found(models, tiny_lines):
    context = "  ".join(tiny_lines["tr"][:40] * 2)  # all of it is there twice
    for number in range(8):
        shifted = context[13 * number :]
        answer = models["qa"](question=f"{number} ne yapıyor?", context=shifted)
        (prediction,) = models["qa"].predict(
            [models["qa"].learned.parse_row({"question": answer.question, "context": shifted})]
        )
        assert (answer.start, answer.end) == prediction.span
        assert shifted[answer.start : answer.end] == answer.text == prediction.labels[0]
    assert models["qa"](question="Ne?", context=" ") == Answer("Ne?", " ", "", None, None, 1.0)


def flat(result):
    """A result's values, numbers apart from the rest."""
    values = json.loads(json.dumps(dataclasses.asdict(result)))
    numbers = []

    def without(value):
        if isinstance(value, float):
            numbers.append(value)
            return None
        if isinstance(value, dict):
            return {name: without(one) for name, one in value.items()}
        return [without(one) for one in value] if isinstance(value, list) else value

    return without(values), numbers


@pytest.mark.parametrize("kind", LABELS)
def test_a_batch_is_as_one_at_a_time(kind, models, tiny_lines):
    texts = [*TEXTS, *tiny_lines["tr"][:20], long_text(tiny_lines)[:3000]]
    items = [{"question": "Kim okuyor?", "context": text} for text in texts] if kind == "qa" else texts
    alone = [models[kind](item) for item in items]
    for given in (items, tuple(items), Dataset.from_dict({"x": items})["x"], iter(items)):
        together = models[kind](given, batch_size=np.int64(3))
        assert isinstance(together, list)
        for one, other in zip(alone, together, strict=True):
            assert flat(one)[0] == flat(other)[0]
            assert flat(one)[1] == pytest.approx(flat(other)[1], abs=1e-4)


def test_labels_as_the_pipeline_of_transformers_has_them(models, tiny_lines):
    model = models["classification"]
    judge = pipeline("text-classification", model=model.network, tokenizer=model.tokenizer, top_k=None)
    texts = tiny_lines["tr"][:12]
    pairs = list(zip(texts[:6], texts[6:], strict=True))
    rows = [{"text": first, "text_pair": second} for first, second in pairs]
    for items, given in ((texts, texts), (rows, rows), (rows, pairs)):
        expected = judge(items, truncation=True)
        for scores, result in zip(expected, model(given), strict=True):
            assert [score["label"] for score in scores] == list(result.probabilities)
            assert [score["score"] for score in scores] == pytest.approx(
                list(result.probabilities.values()), abs=1e-5
            )
            assert (result.label, result.probability) == next(iter(result.probabilities.items()))
    assert model(premise="a", hypothesis="b") == model({"text": "a", "text_pair": "b"})
    assert (result.text, result.text_pair) == pairs[-1]
    assert len({result.label for result in model(texts)}) > 1


def plain(tiny_lines):
    """Texts without punctuation, whose words are the same to all."""
    return [line.replace(",", " ").replace(".", "") for line in tiny_lines["tr"][:30]]


def test_tags_are_those_that_the_pipeline_of_transformers_gives_the_first_tokens(models, tiny_lines):
    for kind in ("pos", "ner"):
        options = {"model": models[kind].network, "tokenizer": models[kind].tokenizer, "ignore_labels": []}
        tagger = pipeline("token-classification", **options)
        for text in plain(tiny_lines):
            first = {}
            for token in tagger(text):
                start = token["start"] + (text[token["start"]] == " ")
                first.setdefault(start, (token["entity"], token["score"]))
            for word in models[kind](text).words:
                tag, probability = first[word.start]
                assert word.tag == tag
                assert word.probability == pytest.approx(float(probability), abs=1e-5)


def test_entities_are_those_of_the_pipeline_of_transformers(models, word_pieces, tiny_lines, tmp_path):
    """By word pieces, of which it knows which make a word."""
    models["ner"].network.save_pretrained(tmp_path)
    word_pieces.save_pretrained(tmp_path)
    model = bistil.load(tmp_path)
    options = {"model": model.network, "tokenizer": model.tokenizer, "aggregation_strategy": "first"}
    finder = pipeline("token-classification", **options)
    count = 0
    for text in plain(tiny_lines):
        found = model(text).entities
        for group, entity in zip(finder(text), found, strict=True):
            assert (entity.type, entity.start, entity.end) == (group["entity_group"], group["start"], group["end"])
            assert entity.probability == pytest.approx(float(group["score"]), abs=1e-5)
            count += entity.text.count(" ") > 0
    assert count > 5  # of several words


def test_a_pair_without_a_second_text_is_a_text(models):
    model = models["classification"]
    assert model(UNPAIRED) == model(["kedi", "ev"])
    assert type(model(np.array(["kedi"]))[0].text) is str


@pytest.mark.parametrize("kind", ["pos", "ner", "parsing"])
def test_a_text_as_a_row(kind, models):
    model, text = models[kind], "Evdeki (gri) kedi uyudu."
    assert model({"text": text}) == model(text=text) == model(text)
    assert model(Dataset.from_dict({"text": [text, "Evet!"], "id": [1, 2], "text_pair": [None, None]})) == model(
        [text, "Evet!"]
    )


def test_words_that_are_given(models):
    result = models["pos"]({"tokens": ["Dr.", "ông ta", "uyudu", "."]})
    assert result.text == "Dr. ông ta uyudu ."
    assert [result.text[word.start : word.end] for word in result.words] == ["Dr.", "ông ta", "uyudu", "."]
    assert models["ner"](tokens=["Dr.", "uyudu"]).words[1].start == 4


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        ("pos", [], "texts is empty. Give at least one: a text"),
        ("pos", None, "texts is None. Give a text"),
        ("pos", 3, "texts is of the type int. Give a text"),
        ("pos", b"kedi", "of the type bytes"),
        ("pos", np.array("kedi"), "texts is of the type ndarray. Give a text"),
        ("pos", np.array([["kedi", "uyudu"]]), r"texts\[0\] is of the type ndarray. Give a text"),
        (
            "pos",
            pd.DataFrame({"tokens": [["kedi"]]}),
            r"texts is a table of the type DataFrame. Give its rows: table.to_dict\('records'\)",
        ),
        ("pos", ["kedi", None], r"texts\[1\] is None"),
        ("pos", [["kedi", "uyudu"]], r"texts\[0\] is of the type list. Give a text, or {'tokens'"),
        ("pos", {"txt": "kedi"}, "The input: there is no 'tokens'; there are 'txt'"),
        ("pos", [("Evdeki", "kedi")], r"texts\[0\] is of the type tuple. Give a text, or {'tokens'"),
        (
            "ner",
            {"text": "Evdeki", "text_pair": "kedi"},
            "The input has a 'text_pair', but ner is of single texts. Give a text, or {'tokens'",
        ),
        ("ner", {"text": 3}, "The input: 'text' is of the type int. Give a text"),
        ("ner", {"tokens": ["kedi", 3]}, "token 2 is 3"),
        ("ner", {"tokens": ["kedi", "a\nb"]}, r"The input: 'tokens' has 'a\\nb' for word 2"),
        ("parsing", {"tokens": "kedi"}, "'tokens' is of the type str"),
        ("pos", ["kedi", "ke\ud83ddi"], r"texts\[1\]: .*half of a character"),
        ("classification", [("a", "b"), "c"], "1 of 2 examples are pairs"),
        ("classification", [("a", "b", "c")], r"texts\[0\] is of the type tuple"),
        ("classification", {"txt": "a"}, "there is no column 'text'"),
        ("classification", {"text": 3}, "'text' must be text, not 3"),
        ("classification", {"premise": "a", "hypothesis": None}, "'hypothesis' must be text, not None"),
        (
            "classification",
            DatasetDict(train=UNPAIRED),
            r"texts is of the type DatasetDict. Give one of its splits: \['train'\]",
        ),
        ("pos", "ke\ud83ddi", r"^The input: \\ud83d is half of a character"),
        ("qa", {"question": None, "context": "x"}, "'question' must be text, not null"),
        ("qa", "Ne?", "The input is a text. Give {'question': …, 'context': …}"),
        ("qa", [("Ne?", "x")], r"texts\[0\] is of the type tuple. Give {'question': …, 'context': …}"),
        ("qa", {"question": "Ne?"}, "there is no field 'context'; there are 'question'"),
        ("qa", {"question": "Ne?", "context": None}, "'context' must be text"),
        ("qa", [], "texts is empty. Give at least one: {'question'"),
    ],
)
def test_what_is_no_text_is_one_sentence(kind, given, told, models):
    with pytest.raises(BistilError, match=told) as caught:
        models[kind](given)
    assert "\n" not in str(caught.value)


def test_other_wrong_arguments(models):
    with pytest.raises(BistilError, match="Both texts and context are given"):
        models["qa"]("Ne?", context="x")
    for model in models.values():
        with pytest.raises(BistilError, match=r"There is no argument batch_sise. Give texts, and batch_size"):
            model("a", batch_sise=3)
    with pytest.raises(BistilError, match=r"only of parsing. Leave out lenient"):
        models["pos"].evaluate([{"tokens": ["a"], "upos": ["X"]}], lenient=True)
    with pytest.raises(BistilError, match=r"label_map is of the type list. Give the new labels by the old ones"):
        models["pos"].evaluate([{"tokens": ["a"], "upos": ["X"]}], label_map=[("a", "b")])
    with pytest.raises(BistilError, match=r"^test is None"):
        bistil.compare(models["pos"], models["pos"], test=None)
    for threads in (0, -1, 1.5, "2"):
        with pytest.raises(BistilError, match=f"threads is {threads!r}. Give a whole number from 1"):
            bistil.load(models["pos"].path, threads=threads)
    for size in (0, -1, None, 2.5):
        with pytest.raises(BistilError, match=r"batch_size is .* whole number"):
            models["pos"]("kedi", batch_size=size)


def test_a_hub_id_is_fetched_and_a_path_is_not(models, monkeypatch, tmp_path):
    asked = []

    def download(name, **options):
        asked.append(name)
        assert {"onnx/model.onnx", "onnx/model_quantized.onnx"} <= set(options["allow_patterns"])
        return str(models["pos"].path)

    monkeypatch.setattr("bistil.models.sources.snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    assert bistil.load("someone/turkish-tagger").task == "pos"
    assert asked.pop() == "someone/turkish-tagger"
    for name, told in [
        (
            "runs/tr/tasks/pos",
            "no task model folder runs/tr/tasks/pos .* Give OUT/tasks/NAME of a run, or a hub id",
        ),
        ("./pos", "no task model folder"),
        (tmp_path / "pos", "no task model folder"),
        ("", "The task model is ''"),
        (None, "The task model is None"),
        (3, "The task model is of the type int"),
        (tmp_path, "is not a model folder"),
    ]:
        with pytest.raises(BistilError, match=told):
            bistil.load(name)
    assert not asked
    monkeypatch.undo()
    with pytest.raises(BistilError, match=r"neither a folder nor a hub id\. Give OUT/tasks/NAME"):
        bistil.load("some model!")


def test_a_model_says_what_it_is(models):
    model = models["pos"]
    assert (model.task, model.labels) == ("pos", LABELS["pos"])
    assert repr(model) == f"TaskModel('{model.path}', task='pos', 4 labels: ADJ, NOUN, PUNCT, VERB)"
    assert bistil.load(model) is model
    assert isinstance(models["classification"]("kedi"), Label)


@pytest.mark.parametrize("changes", [{"problem_type": "multi_label_classification"}, {"id2label": {0: "score"}}])
def test_a_classifier_of_another_kind_is_refused(changes, tiny_teacher, tiny_tokenizer, tmp_path):
    from transformers import AutoModelForSequenceClassification

    AutoModelForSequenceClassification.from_pretrained(tiny_teacher, **changes).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BistilError, match="does not give a text one label of several"):
        bistil.load(tmp_path)


ROWS = {
    "pos": [{"tokens": ["Kedi", "uyudu", "."], "upos": ["NOUN", "VERB", "PUNCT"]}] * 3,
    "parsing": [{"tokens": ["Kedi", "uyudu"], "head": [2, 0], "deprel": ["nsubj", "root"]}] * 3,
    "ner": [{"tokens": ["Kedi", "Ankara"], "ner_tags": ["O", "B-LOC"]}] * 3,
    "classification": [{"text": "taze ekmek", "label": "food"}, {"text": "eski saati", "label": "object"}],
    "qa": [{"question": "Ne?", "context": "Taze ekmek.", "answers": {"text": ["ekmek"], "answer_start": [5]}}] * 2,
}


@pytest.mark.parametrize("kind", ROWS)
def test_evaluation_of_a_file_of_rows_and_of_a_dataset(kind, models, tmp_path):
    rows = ROWS[kind]
    file = tmp_path / "test.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = models[kind].evaluate(file)
    assert found == models[kind].evaluate(str(file)) == models[kind].evaluate(rows)
    assert found == models[kind].evaluate(Dataset.from_list(rows))
    assert found.examples == len(rows)
    shown = CliRunner().invoke(app, ["eval", str(models[kind].path), str(file), "--json"])
    numbers = json.loads(shown.stdout)
    assert (numbers["scores"], numbers["per_label"]) == (found.scores, found.per_label)
    shown = CliRunner().invoke(app, ["eval", str(models[kind].path), str(file)])
    assert shown.stdout == f"{file}: {found!r}\n"
    assert models[kind].learned.columns(file) == tuple(rows[0])


def test_evaluation_with_other_labels_in_a_language_and_lenient(models):
    rows = [{"text": "taze ekmek", "label": "f"}]
    model = models["classification"]
    assert model.evaluate(rows, label_map={"f": "food"}) == model.evaluate([{**rows[0], "label": "food"}])
    misspelled = model.evaluate(
        [{**rows[0], "label": "food"}], label_map={"F": "food", "G": "drink", "food": "food"}
    )
    assert misspelled.warning.startswith("No label is called F or G, so none was renamed.")
    with pytest.raises(BistilError, match="the label 'f' does not occur"):
        model.evaluate(rows)
    assert "las_lenient" in models["parsing"].evaluate(ROWS["parsing"], lenient=True).scores
    with pytest.raises(BistilError, match="no lenient evaluation of classification"):
        model.evaluate([{**rows[0], "label": "food"}], lenient=True)
    answer = models["qa"](ROWS["qa"][0]).text
    row = {"question": "Ne?", "context": "Taze ekmek.", "answers": [{"text": "Taze", "answer_start": 0}]}
    assert models["qa"].evaluate([row], language="de").scores["exact_match"] in (0, 100)
    assert answer in "Taze ekmek."


def test_a_text_in_another_language_is_suspected(models):
    found = models["classification"].evaluate([{"text": "这是一个完全不同的语言", "label": "food"}])
    assert "the model does not know" in found.warning
    assert models["classification"].evaluate([{"text": "taze ekmek", "label": "food"}]).warning is None


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([], "data is empty"),
        (3, "data is of the type int"),
        ([3], "Give rows"),
        ("none.jsonl", "Cannot read none.jsonl"),
        ([{"text": "a"}], "line 1: there is no column 'label'"),
    ],
)
def test_data_that_are_none(data, told, models):
    with pytest.raises(BistilError, match=told):
        models["classification"].evaluate(data)
