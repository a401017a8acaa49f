"""The model card: valid for the hub, with the report's numbers, and with nothing of the user's text or paths."""

import json
import re

import pytest
from huggingface_hub import ModelCard, metadata_load
from tests.report.conftest import TEXTS, make
from transformers.pipelines import SUPPORTED_TASKS

from bistil.errors import BistilError
from bistil.exporting.card import card, write_cards
from bistil.files import publish
from bistil.hub import CARD
from bistil.tasks import installed_tasks

EXPORTED = {
    "bytes": {"onnx/model.onnx": 78_772_693, "onnx/model_quantized.onnx": 20_002_879},
    "kept": ["layer.0.output.dense.weight"],
    "scores": {"tr": {"metric": "accuracy", "float32": 75.9, "int8": 75.7, "loss": 0.2, "examples": 1204}},
    "agreement": {"en": {"agreement": 98.7, "loss": 0.2, "texts": 500}},
}


@pytest.fixture
def report():
    made = make(seeds=2)
    made["teacher"] |= {"hub_id": "intfloat/multilingual-e5-small", "license": "MIT"}
    made["recipe"]["source"] |= {"text": ["/home/ada/data/en.txt"], "license": "CC-BY-SA-4.0"}
    made["recipe"]["target"] |= {"text": ["corpora\\tr\\", "more/*.txt"]}
    made["recipe"]["tasks"] = [
        {
            "name": "definitions",
            "train": "/home/ada/data/train.jsonl",
            "test": {"tr": "/home/ada/data/test.tr.jsonl", "en": "test.en.jsonl"},
            "density": 0.08,
            "max_length": 64,
            "license": "GPL-3.0",
        }
    ]
    (task,) = made["tasks"]
    found = {"difference": -2.5, "difference_low": -3.1, "difference_high": -1.9}
    task["comparisons"] = {"tr": {"student": {"against_teacher": found}}}
    task["head"] = "AutoModelForSequenceClassification"
    return made


def loaded(text, tmp_path):
    """The metadata as the hub's own code reads them, in both of its ways."""
    path = tmp_path / CARD
    path.write_text(text, encoding="utf-8")
    found = ModelCard.load(path)
    assert metadata_load(path) == found.data.to_dict()
    return found.data


def test_the_hub_reads_languages_licence_base_model_and_scores(report, tmp_path):
    data = loaded(card(report, "definitions"), tmp_path)
    assert (data.language, data.license, data.library_name) == (["en", "tr"], "mit", "transformers")
    assert (data.base_model, data.pipeline_tag) == ("intfloat/multilingual-e5-small", "text-classification")
    assert "bistil" in data.tags
    assert data.metrics == ["accuracy"]
    scores = report["tasks"][0]["scores"]["student"]
    found = [
        (one.dataset_type, one.dataset_config, one.metric_type, one.metric_value) for one in data.eval_results
    ]
    assert found == [
        ("test.tr.jsonl", "tr", "accuracy", round(scores["tr"][0], 2)),
        ("test.en.jsonl", "en", "accuracy", round(scores["en"][0], 2)),
    ]
    assert data.model_name == "quickstart-tr: definitions"


def test_examples_that_the_teacher_labelled_are_among_the_data(report):
    report["recipe"]["tasks"][0]["unlabelled"] = {"en": "/home/ada/data/more.en.jsonl", "tr": "more.tr.jsonl"}
    report["tasks"][0]["unlabelled_examples"] = {"en": 2_000, "tr": 300}
    text = card(report, "definitions")
    assert "| labelled by the teacher | English | more.en.jsonl | GPL-3.0 | 2,000 |" in text
    assert "| labelled by the teacher | Turkish | more.tr.jsonl | GPL-3.0 | 300 |" in text
    assert "no labelled Turkish ones; the student also on 2,000 English and 300 Turkish ones" in text


def test_the_shares_that_the_task_may_change(report):
    text = card(report, "definitions")
    assert "by sparse fine-tuning, 8 % of the encoder's parameters." in text
    assert "also by sparse fine-tuning." in text
    report["recipe"]["tasks"][0]["student_density"] = 0.5
    text = card(report, "definitions")
    assert "by sparse fine-tuning, 8 % of the encoder's parameters." in text
    assert "also by sparse fine-tuning, 50 % of its parameters." in text


def test_what_is_not_known_is_said_and_left_out_of_the_metadata(report, tmp_path):
    report["teacher"] = {"name": "/home/ada/teachers/mine", "hub_id": None, "license": None}
    text = card(report, "definitions")
    data = loaded(text, tmp_path).to_dict()
    assert not {"license", "base_model"} & data.keys()
    assert "**Teacher:** mine, a local model, licence: unknown" in text
    assert "Find it out before you share the model" in text
    assert "| unlabelled text | Turkish | tr, \\*.txt | unknown | – |" in text
    assert "| unlabelled text | English | en.txt | CC-BY-SA-4.0 | – |" in text
    assert "| training | English | train.jsonl | GPL-3.0 | 1,500 |" in text
    assert "Where a licence is unknown, it was not stated." in text


def test_a_student_has_no_scores_of_its_own(report, tmp_path):
    text = card(report)
    data = loaded(text, tmp_path).to_dict()
    assert data["pipeline_tag"] == "feature-extraction"
    assert not {"model-index", "model_name", "metrics"} & data.keys()
    assert "scores of task models made from this student" in text
    assert "train.jsonl" not in text.partition("## Data")[2]


def test_scores_have_intervals_and_numbers_are_the_reports(report):
    text = card(report, "definitions")
    row = next(line for line in text.splitlines() if line.startswith("| definitions, Turkish"))
    assert "| test.tr.jsonl | 1,204 |" in row
    assert "−2.5 \\[−3.1, −1.9\\]" in row
    for words in (
        "mean ± standard deviation over 2 seeds; this model has seed 0",
        "27,004",
        "layers 2, 4, 6, 8, 10",
    ):
        assert words in text
    assert "250,000 tokens of unlabelled text" in text
    assert "| Student | 21.2 M |" in text
    assert "Student without general distillation |" not in text.partition("## Size and speed")[2]


def test_no_path_and_no_text_of_the_user_is_in_a_card(report):
    for text in (card(report, "definitions", EXPORTED), card(report)):
        assert "/home/ada" not in text
        assert "corpora" not in text
        assert not [one for one, *_ in TEXTS if one in text]


def test_what_int8_changed_is_shown(report):
    text = card(report, "definitions", EXPORTED)
    assert "| Turkish, labelled | 75.9 | 75.7 | −0.2 | 1,204 |" in text
    assert "| English, plain text |  | 98.7 % alike |  | 500 |" in text
    assert "`onnx/model_quantized.onnx`: 20.0 MB" in text
    assert "layer.0.output.dense.weight" in text
    assert "int8" not in card(report, "definitions")
    assert "int8 was not compared with float32" in card(report, "definitions", {"bytes": {"onnx/model.onnx": 7}})


@pytest.mark.parametrize("language", ["no", "zh_Hant", "y", "on"])
def test_codes_that_yaml_takes_for_something_else(report, tmp_path, language):
    report |= {"target": language, "tasks": []}
    assert loaded(card(report), tmp_path).language == ["en", language.partition("_")[0]]


def test_names_are_no_mark_up(report, tmp_path):
    report["name"] = "a---\n# b: [c](d)"
    report["recipe"]["tasks"][0]["test"]["tr"] = "x|y: #\n---\n.jsonl"
    text = card(report, "definitions")
    data = loaded(text, tmp_path)
    assert data.eval_results[0].dataset_type == "x|y: #\n---\n.jsonl"
    assert data.model_name == "a---\n# b: [c](d): definitions"
    assert "\n# a--- \\# b: \\[c\\](d): definitions\n" in text
    assert "| x\\|y: \\# --- .jsonl |" in text


def test_an_older_report_has_a_card_too(tmp_path):
    """One without heads, licences and the recipe's tasks."""
    for task in (None, "definitions"):
        text = card(make(), task)
        assert "licence: unknown" in text
        assert "no head for this task" not in text
        assert loaded(text, tmp_path).library_name == ("transformers" if task is None else "bistil")


@pytest.mark.parametrize("kind", installed_tasks(), ids=lambda kind: kind.kind)
def test_every_task_has_a_way_into_transformers(report, tmp_path, kind):
    """What the code of a card imports is there, and its pipeline is one of transformers'."""
    report["tasks"][0] |= {"kind": kind.kind, "head": kind.head.__name__}
    text = card(report, "definitions")
    data = loaded(text, tmp_path)
    parser = kind.kind.startswith("parsing")
    assert (data.library_name, data.pipeline_tag is None) == (
        ("bistil", True) if parser else ("transformers", False)
    )
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    assert f"bistil predict OWNER/NAME {'questions.json' if kind.kind == 'qa' else 'texts.txt'}" in text
    for block in blocks:
        exec("\n".join(line for line in block.splitlines() if "import " in line), {})
        for name in re.findall(r'pipeline\("([\w-]+)"', block):
            assert kind.head in SUPPORTED_TASKS[name]["pt"]


def test_cards_are_written_again_with_what_was_exported_since(report, tmp_path):
    model = tmp_path / "made"
    model.mkdir()
    (model / "config.json").write_text("{}")
    for place in ("student", "tasks/definitions"):
        publish(model, tmp_path / place, {CARD: "old"})
    (tmp_path / "student/export.json").write_text("[]")
    (tmp_path / "tasks/definitions/export.json").write_text(json.dumps(EXPORTED))
    write_cards(report, tmp_path)
    assert (tmp_path / "tasks/definitions" / CARD).read_text("utf-8") == card(report, "definitions", EXPORTED)
    assert (tmp_path / "student" / CARD).read_text("utf-8") == card(report)
    without = EXPORTED | {"bytes": {"onnx/model.onnx": 78_772_693}}
    (tmp_path / "tasks/definitions/export.json").write_text(json.dumps(without))
    write_cards(report, tmp_path)
    told = (tmp_path / "tasks/definitions" / CARD).read_text("utf-8")
    assert ("**There is no int8 file here.**" in told) == ("in int8" in card(report, "definitions", without))
    (tmp_path / "tasks/definitions/export.json").write_text(json.dumps(EXPORTED))
    write_cards(report, tmp_path)
    report["weights"] = {"student": {"model.safetensors": "of a model before"}}
    before = card(report)
    report["source"] = "de"
    assert card(report) != before
    assert write_cards(report, tmp_path) == ["student"]
    assert (tmp_path / "student" / CARD).read_text("utf-8") == before
    del report["weights"]
    (tmp_path / "student" / CARD).write_text("mine")
    with pytest.raises(BistilError, match=r"README\.md was not written by bistil, or was changed"):
        write_cards(report, tmp_path)
    assert (tmp_path / "student" / CARD).read_text() == "mine"


def test_a_model_that_predicts_masks_and_one_of_languages_that_nobody_knows(tmp_path):
    known = {
        "name": "small",
        "teacher": {"name": "xlm-roberta-base", "hub_id": "xlm-roberta-base", "license": "mit"},
        "made": "trimmed",
        "languages": ["tr", "de", "zh_Hant"],
        "architecture": "XLMRobertaForMaskedLM",
        "vocabulary": {"before": 250_002, "after": 61_210},
        "recipe": {
            "text": {
                "tr": ["/home/ada/tr.txt"],
                "de": "de/*.txt",
                "zh_Hant": ["https://store/a/zh.txt?key=SECRET/1"],
            }
        },
    }
    text = card(known)
    data = loaded(text, tmp_path)
    assert (data.language, data.pipeline_tag, data.base_model) == (
        ["tr", "de", "zh"],
        "fill-mask",
        "xlm-roberta-base",
    )
    assert data.tags == ["bistil", "vocabulary-trimming"]
    assert "250,002 tokens, the 61,210 that the Turkish, German and" in text
    assert 'model(f"A {model.tokenizer.mask_token}.")' in text
    assert "| unlabelled text | German | \\*.txt | unknown |" in text
    assert "/home" not in text
    assert "SECRET" not in text
    assert "zh.txt" in text
    task = {"name": "pos", "kind": "pos", "metric": "Accuracy", "head": "AutoModelForTokenClassification"}
    tuned = {"name": "a", "teacher": {"name": "b"}, "made": "fine-tuned", "languages": [], "tasks": [task]}
    text = card(tuned, "pos")
    data = loaded(text, tmp_path).to_dict()
    assert not {"language", "license", "base_model", "model-index"} & data.keys()
    assert "- **Languages:** unknown" in text
    assert "## Scores" not in text
    assert "Scores are" not in text
