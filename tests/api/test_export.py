"""Exported folders: what is in them, what others read of them, and what is refused."""

import json
import os
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer
from typer.testing import CliRunner

import bistil
from bistil.cli import app, main
from bistil.errors import BistilError
from bistil.exporting import comparison, quantisation
from bistil.files import MARKER, check_published, publish, publish_files
from bistil.runtime.pooling import Pooling
from bistil.tasks import Classification, PartOfSpeech, QuestionAnswering

FILES = {"onnx/model.onnx", "onnx/model_quantized.onnx", "export.json"}
LINES = ["Öğretmen kitabı okuyor.", "Çocuklarımız her hafta yedi kitabı okuyor.", "bir öğrenci"]


def listed(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tiny_teacher, tiny_tokenizer, tmp_path_factory):
    """A tagger that bistil published, and labelled sentences."""
    root = tmp_path_factory.mktemp("models")
    for name, task in (("pos", PartOfSpeech(("ADJ", "NOUN", "VERB"))), ("qa", QuestionAnswering(no_answer=False))):
        model = task.new_model(tiny_teacher)
        model.save_pretrained(root / "work" / name)
        tiny_tokenizer.save_pretrained(root / "work" / name)
        publish(root / "work" / name, root / name)
    row = "{}\t{}\t_\t{}\t_\t_\t{}\t{}\t_\t_\n"
    sentences = [
        row.format(1, "öğretmen", tag, 0, "root") + row.format(2, word, "NOUN", 1, "obj") + "\n"
        for tag in ("ADJ", "VERB", "NOUN")
        for word in ("kitabı", "evi", "ekmeği", "saati")
    ]
    (root / "test.conllu").write_text("".join(sentences), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def exported(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "pos"
    test, text = {"tr": made / "test.conllu"}, {"en": LINES}
    return bistil.export(made / "pos", out, test=test, text=text, tolerance=100, progress=False)


def test_a_copy_has_the_model_and_its_files(made, exported):
    own = listed(made / "pos")
    assert listed(exported.output_dir) == own | FILES
    for name in own - {"config.json", MARKER}:
        assert (exported.output_dir / name).read_bytes() == (made / "pos" / name).read_bytes()
    assert listed(made / "pos") == own  # the source is as it was
    check_published(exported.output_dir)  # all of it is bistil's
    config = json.loads((exported.output_dir / "config.json").read_text())
    assert config.pop("transformers.js_config") == {"dtype": "q8"}
    assert config == json.loads((made / "pos" / "config.json").read_text())
    model = AutoModelForTokenClassification.from_pretrained(exported.output_dir)
    assert model.config.id2label == {0: "ADJ", 1: "NOUN", 2: "VERB"}


def test_the_report_says_what_is_there(exported):
    report = json.loads((exported.output_dir / "export.json").read_text())
    assert report == exported.report
    assert (report["task"], report["outputs"]) == ("pos", ["logits"])
    assert report["bytes"] == {
        name: (exported.output_dir / name).stat().st_size for name in sorted(FILES - {"export.json"})
    }
    own = report["scores"]["tr"]
    assert (own["metric"], own["examples"]) == ("accuracy", 12)
    assert own["loss"] == pytest.approx(own["float32"] - own["int8"])
    assert report["agreement"]["en"]["texts"] == 3
    assert report["kept"] == []
    shown = repr(exported)
    assert "kept in float32" in shown
    assert "nothing" in shown
    assert os.fspath(exported) == str(exported) == str(exported.output_dir)


def test_the_scores_are_those_of_the_files(made, exported):
    """Computed anew from the files, with onnxruntime alone."""
    task = PartOfSpeech(("ADJ", "NOUN", "VERB"))
    examples = task.read(made / "test.conllu")
    tokenizer = AutoTokenizer.from_pretrained(exported.output_dir)
    for name, key in (("onnx/model.onnx", "float32"), ("onnx/model_quantized.onnx", "int8")):
        session = onnxruntime.InferenceSession(exported.output_dir / name, providers=["CPUExecutionProvider"])
        right = total = 0
        for example in examples:
            one = tokenizer(list(example.words), is_split_into_words=True, return_tensors="np")
            inputs = {known.name: one[known.name].astype(np.int64) for known in session.get_inputs()}
            best = session.run(["logits"], inputs)[0][0].argmax(-1)
            words = one.word_ids()
            for word, gold in enumerate(example.gold):
                right += task.labels[best[words.index(word)]] == gold
                total += 1
        assert 100 * right / total == pytest.approx(exported.report["scores"]["tr"][key])


@pytest.mark.slow
def test_in_place_and_again(made, tmp_path):
    folder = tmp_path / "pos"
    publish(made / "pos", folder)
    before = listed(folder)
    bistil.export(folder, text={"tr": LINES}, tolerance=100, progress=False)
    assert listed(folder) == before | FILES
    check_published(folder)
    found = bistil.export(folder, quantize=None, progress=False)
    assert listed(folder) == before | {"onnx/model.onnx", "export.json"}
    assert found.report["kept"] == []
    assert json.loads((folder / "config.json").read_text())["transformers.js_config"] == {"dtype": "fp32"}
    check_published(folder)
    publish(made / "pos", folder)  # as a run does that is resumed
    assert listed(folder) == before | {"onnx/model.onnx", "export.json"}


@pytest.mark.slow
def test_a_normalizer_that_others_know(made, tiny_tokenizer, tmp_path):
    """In a copy and in place; the tokenizer of the user's own folder stays as it is."""
    work = shutil.copytree(made / "work" / "pos", tmp_path / "work")
    values = json.loads((work / "tokenizer.json").read_text(encoding="utf-8"))
    values["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Nmt"}, values["normalizer"]]}
    (work / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    publish(work, tmp_path / "pos")
    own = (work / "tokenizer.json").read_bytes()
    bistil.export(tmp_path / "pos", tmp_path / "copy", quantize=None, progress=False)
    assert (tmp_path / "pos" / "tokenizer.json").read_bytes() == own
    bistil.export(tmp_path / "pos", quantize=None, progress=False)
    for folder in (tmp_path / "pos", tmp_path / "copy"):
        check_published(folder)
        found = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        steps = [step["type"] for step in found.pop("normalizer")["normalizers"]]
        assert steps == ["Replace", "Replace", "NFKC"]
        assert found == {name: value for name, value in values.items() if name != "normalizer"}
    bistil.export(work, quantize=None, progress=False)
    assert (work / "tokenizer.json").read_bytes() == own


@pytest.mark.slow
def test_a_folder_of_the_users_own_gets_files_and_keeps_its_own(tiny_teacher, tmp_path):
    folder = shutil.copytree(tiny_teacher, tmp_path / "own")
    config = (folder / "config.json").read_bytes()
    found = bistil.export(folder, text={"tr": LINES}, tolerance=100, progress=False)
    assert found.report["task"] is None
    assert found.report["outputs"] == ["last_hidden_state"]
    assert 90 < found.report["agreement"]["tr"]["agreement"] <= 100
    assert (folder / "config.json").read_bytes() == config
    (folder / "onnx" / "model.onnx").write_bytes(b"mine")
    with pytest.raises(BistilError, match=r"onnx/model\.onnx was not written by bistil"):
        bistil.export(folder, progress=False)
    assert (folder / "onnx" / "model.onnx").read_bytes() == b"mine"


@pytest.mark.slow
def test_not_compared_is_said(made, tmp_path):
    found = bistil.export(made / "qa", tmp_path / "out", progress=False)
    assert "not compared with float32" in repr(found)
    assert found.report["outputs"] == ["start_logits", "end_logits"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        ["bert.encoder.layer.3.output.dense", "classifier"],
        ["bert.encoder.layer.3.output.dense"],  # which is tried before others, and chosen after them
    ],
)
def test_what_hurts_stays_in_float32(made, tmp_path, monkeypatch, names):
    """A score that falls by a point for each of the named products that is in int8."""
    module = import_module("bistil.exporting.conversion")
    kept = []

    def quantise(graph, out, keep, divisors):
        kept[:] = keep
        return quantisation.quantise(graph, out, keep, divisors)

    def facts(self, model):
        loss = float(sum(f"{name}.weight" not in kept for name in names))
        return {"metric": "accuracy", "float32": 90.0, "int8": 90.0 - loss, "loss": loss, "examples": 1}

    monkeypatch.setattr(module, "quantise", quantise)
    monkeypatch.setattr(comparison.OnExamples, "facts", facts)
    test = {"tr": made / "test.conllu"}
    found = bistil.export(made / "pos", tmp_path / "out", test=test, progress=False)
    assert sorted(found.report["kept"]) == names
    assert found.report["scores"]["tr"]["loss"] == 0
    held = {one.name for one in onnx.load(tmp_path / "out/onnx/model_quantized.onnx").graph.initializer}
    for name in (*names, "bert.encoder.layer.0.output.dense", "classifier"):
        assert (f"{name}.weight" in held) == (name in names)
    monkeypatch.setattr(comparison.OnExamples, "facts", lambda *_: {"loss": 5.0})
    with pytest.raises(BistilError, match=r"int8 costs more than 0\.3 points \(tr 5\.0\), even with "):
        bistil.export(made / "pos", tmp_path / "none", test=test, progress=False)
    assert not (tmp_path / "none").exists()


def test_labels_that_float32_is_sure_of_count(made):
    from bistil.tasks import Prediction

    class Fixed:
        def predict(self, model, tokenizer, examples):
            return [Prediction(model, (0.9, 0.6, 0.4, 1.0))]

    before = Fixed().predict(("A", "B", "C", "D"), None, None)
    found = comparison.OnText(Fixed(), None, [1], before)
    assert found.facts(("A", "B", "C", "D")) == {"agreement": 100, "loss": 0, "texts": 1}
    assert found.facts(("B", "B", "A", "D")) == {"agreement": 50, "loss": pytest.approx(20), "texts": 1}
    assert found.facts(("A", "C", "C", "D")) == {"agreement": 75, "loss": pytest.approx(5), "texts": 1}


def test_states_are_compared_line_by_line(tiny_teacher):
    from bistil.models import encoders

    model, tokenizer = encoders.load(tiny_teacher)
    lines = [*LINES, "kedi"]
    found = comparison.OnStates.of(model, tokenizer, Pooling(), lines)
    for line, state in zip(lines, found.found, strict=True):
        with torch.no_grad():
            alone = model(**tokenizer(line, return_tensors="pt")).last_hidden_state[0].mean(0)
        assert torch.allclose(torch.from_numpy(state), alone / alone.norm(), atol=1e-4)
    assert found.facts(model)["agreement"] == pytest.approx(100, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "nowhere/at/all"}, "nowhere/at/all"),
        ({"model": "."}, "is not a whole transformers folder"),
        ({"quantize": "int4"}, "quantize is 'int4'"),
        ({"tolerance": -1}, "tolerance is -1"),
        ({"test": {"tr": "none.conllu"}}, "there is no file none.conllu"),
        ({"text": {"tr": "none.txt"}}, "none.txt does not exist"),
        ({"test": "none.conllu"}, "test is of the type str. Give the examples of each language, such as {'tr'"),
        ({"test": ["kedi"]}, "test is of the type list"),
    ],
)
def test_bad_arguments(arguments, words, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"model": made / "pos", "output_dir": tmp_path / "out", "progress": False} | arguments
    with pytest.raises(BistilError, match=words):
        bistil.export(**given)
    assert not (tmp_path / "out").exists()


def test_text_and_tests_that_do_not_fit(made, tiny_teacher, tmp_path):
    with pytest.raises(BistilError, match="without the head of a task"):
        bistil.export(tiny_teacher, tmp_path / "out", test={"tr": made / "test.conllu"}, progress=False)
    with pytest.raises(BistilError, match="nothing to label for qa"):
        bistil.export(made / "qa", tmp_path / "out", text={"tr": LINES}, progress=False)


def test_a_model_cut_short(made, tmp_path):
    folder = shutil.copytree(made / "pos", tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BistilError, match=r"The model in .*cut cannot be loaded"):
        bistil.export(folder, tmp_path / "out", progress=False)


@pytest.mark.slow
def test_in_another_folder_nothing_is_left_of_the_model_before(made, tmp_path):
    (tmp_path / "own.txt").write_text("mine")
    publish_files(
        tmp_path, {"export.json": "{}", "scores.json": "of another model", "1_Pooling/config.json": "{}"}
    )
    bistil.export(made / "pos", output_dir=tmp_path, quantize=None, progress=False)
    assert not (tmp_path / "scores.json").exists()
    assert not (tmp_path / "1_Pooling/config.json").exists()
    assert (tmp_path / "own.txt").read_text() == "mine"


@pytest.mark.slow
def test_an_export_that_a_full_disk_ended_goes_on(made, tmp_path, monkeypatch):
    """After each of the files that it writes."""
    copyfile, out = shutil.copyfile, tmp_path / "out"
    room = []

    def full(source, target):
        if out in Path(target).parents:
            if not room:
                raise OSError(28, "No space left on device", str(source), None, str(target))
            room.pop()
        return copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    for files in (0, 1, 2):
        room[:] = range(files)
        with pytest.raises(OSError, match="No space left"):
            bistil.export(made / "pos", out, quantize=None, progress=False)
    room[:] = range(100)
    bistil.export(made / "pos", out, quantize=None, progress=False)
    assert listed(out) == listed(made / "pos") | {"onnx/model.onnx", "export.json"}
    check_published(out)


def test_another_model_and_a_disk_that_is_read_only_are_refused_before_any_work(made, tmp_path, monkeypatch):
    monkeypatch.setattr("bistil.api.export.to_onnx", None)
    publish(made / "qa", tmp_path / "qa")
    publish_files(tmp_path / "run", {"report.html": "", "tasks/pos/config.json": ""})
    for name in ("qa", "run"):
        with pytest.raises(BistilError, match="holds what bistil wrote there, and no earlier export"):
            bistil.export(made / "pos", tmp_path / name, quantize=None, progress=False)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BistilError, match="file is no folder"):
        bistil.export(made / "pos", tmp_path / "file/out", progress=False)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for out in (None, tmp_path / "new/out"):
        with pytest.raises(BistilError, match=r"cannot be written to\. Say with output_dir"):
            bistil.export(made / "pos", out, progress=False)


@pytest.mark.slow
def test_a_card_says_that_there_is_no_int8_file(made, tmp_path):
    """In place and in a copy, until there is one again; a card of the user's own stays in their folder."""
    card = "---\nlanguage: tr\n---\n\n# A tagger\n\nThis model in int8 is 3.0 times smaller.\n"
    told = card.replace("tagger\n\n", "tagger\n\n**There is no int8 file here.** ")
    publish(made / "work" / "pos", tmp_path / "pos", {"README.md": card})

    def exported(out, quantize):
        found = bistil.export(tmp_path / "pos", out, quantize=quantize, progress=False).output_dir
        check_published(found)
        return (found / "README.md").read_text()

    assert exported(tmp_path / "copy", None).startswith(told[:-48])
    assert exported(None, "int8") == card
    first = exported(None, None)
    assert first.startswith(told[:-48])
    assert first.endswith("\n\nThis model in int8 is 3.0 times smaller.\n")
    assert exported(None, None) == first
    assert exported(tmp_path / "whole", "int8") == card
    (tmp_path / "pos/README.md").write_text(f"{card}mine")
    bistil.export(tmp_path / "pos", quantize=None, progress=False)
    assert (tmp_path / "pos/README.md").read_text() == f"{card}mine"


def test_files_in_folders_are_published_and_known(tmp_path):
    (tmp_path / "own.txt").write_text("mine")
    publish_files(tmp_path, {"onnx/a.txt": "one"})
    publish_files(tmp_path, {"onnx/a.txt": "two"})
    check_published(tmp_path / "onnx/a.txt")
    (tmp_path / "onnx/a.txt").write_text("three")
    with pytest.raises(BistilError, match=r"a\.txt was not written by bistil"):
        publish_files(tmp_path, {"onnx/a.txt": "four"})
    assert (tmp_path / "onnx/a.txt").read_text() == "three"


def test_the_command(made, tmp_path, capsys):
    test = f"tr={made / 'test.conllu'}"
    command = ["export", str(made / "pos"), "--out", str(tmp_path / "out"), "--test", test, "--tolerance", "100"]
    assert "onnx/model_quantized.onnx" in CliRunner().invoke(app, command).stdout
    assert listed(tmp_path / "out") >= FILES
    assert main([*command, "--test", f"tr={made / 'other.conllu'}"]) == 2
    assert "--test gives two files for tr" in capsys.readouterr().err
    assert main(["export", str(made / "pos"), "--test", "none"]) == 2
    assert "--test takes LANGUAGE=FILE" in capsys.readouterr().err
    CliRunner().invoke(app, ["export", str(made / "pos"), "--no-quantize", "--out", str(tmp_path / "plain")])
    assert "onnx/model_quantized.onnx" not in listed(tmp_path / "plain")


@pytest.mark.slow
def test_classification_of_other_models_is_a_task(tiny_teacher, tiny_tokenizer, tmp_path):
    """One that bistil did not train, told by its architecture."""
    model = Classification(("a", "b")).new_model(tiny_teacher)
    del model.config.bistil_task
    model.save_pretrained(tmp_path / "other")
    tiny_tokenizer.save_pretrained(tmp_path / "other")
    found = bistil.export(tmp_path / "other", quantize=None, progress=False)
    assert (found.report["task"], found.report["outputs"]) == ("classification", ["logits"])
