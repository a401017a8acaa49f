"""Folders that are no model, or whose parts do not belong together: one sentence, in Python and at the prompt."""

import json
import os
import shutil
from pathlib import Path

import onnx
import pytest
from safetensors.torch import load_file, save_file
from tests.runtime.conftest import LABELS

import bistil
from bistil.cli import main
from bistil.errors import BistilError
from bistil.runtime.engine import FILES, OnnxEngine
from bistil.runtime.tokenizer import FolderTokenizer, settings
from bistil.tasks import saved

KINDS = tuple(LABELS)


@pytest.fixture
def copy(exported, tmp_path):
    """A function that copies the folder of a kind, to be damaged."""
    return lambda kind: shutil.copytree(exported[kind], tmp_path / kind)


def refused(folder, engine, words):
    with pytest.raises(BistilError, match=words) as caught:
        bistil.load(folder, engine=engine)
    assert "\n" not in str(caught.value)


def own_tokenizer(folder):
    config = json.loads((folder / "config.json").read_text())
    return FolderTokenizer(folder, OnnxEngine(folder / FILES["onnx"], config))


def changed(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def without(file, name):
    values = json.loads(file.read_text())
    del values[name]
    file.write_text(json.dumps(values))


def halved(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def a_folder(file):
    file.unlink()
    file.mkdir()


def a_link(file, target="/nowhere/model.onnx"):
    file.unlink()
    file.symlink_to(target)


def outside(file):
    """Weights in another file, outside of the folder."""
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > 1000:
            entries = {"location": "../../elsewhere.bin", "offset": "0", "length": str(len(tensor.raw_data))}
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=value)
    (file.parents[2] / "elsewhere.bin").write_bytes(bytes(1_000_000))
    file.write_bytes(model.SerializeToString())


def beside_by_a_link(file):
    onnx.save(onnx.load(file), file, save_as_external_data=True, location="weights", size_threshold=1000)
    target = file.parents[2] / "elsewhere.bin"
    shutil.move(file.parent / "weights", target)
    (file.parent / "weights").symlink_to(target)


def of_fixed_length(file):
    model = onnx.load(file)
    for one in model.graph.input:
        one.type.tensor_type.shape.dim[1].dim_value = 7
    file.write_bytes(model.SerializeToString())


def of_another_domain(file):
    model = onnx.load(file)
    model.graph.node[0].domain = "others"
    file.write_bytes(model.SerializeToString())


GRAPHS = {
    "cut off": (halved, "cannot be loaded"),
    "cut off at the end": (lambda file: file.write_bytes(file.read_bytes()[:-10]), "cannot be loaded"),
    "of no bytes": (lambda file: file.write_bytes(b""), "cannot be loaded"),
    "random": (lambda file: file.write_bytes(os.urandom(5000)), "cannot be loaded"),
    "a pointer": (
        lambda file: file.write_text("version https://git-lfs.github.com/spec/v1\n"),
        "cannot be loaded",
    ),
    "a link to nowhere": (a_link, r"has no onnx/model.*\. Write it with: bistil export"),
    "a folder": (a_folder, r"has no onnx/model.*\. Write it with: bistil export"),
    "weights outside": (outside, "cannot be loaded: .*escapes model directory"),
    "weights by a link": (beside_by_a_link, "cannot be loaded: .*escapes model directory"),
    "of a fixed length": (of_fixed_length, "cannot be run: .*invalid dimensions"),
    "with unknown parts": (of_another_domain, "cannot be loaded"),
}


@pytest.mark.parametrize("engine", FILES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", GRAPHS)
def test_a_graph_that_is_none(damage, kind, engine, copy):
    change, words = GRAPHS[damage]
    folder = copy(kind)
    bistil.load(folder, engine=engine)
    change(folder / FILES[engine])
    refused(folder, engine, words)
    bistil.load(folder, engine="onnx" if engine == "int8" else "int8")


@pytest.mark.parametrize("engine", FILES)
@pytest.mark.parametrize("other", [*KINDS, "student"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_of_another_task(kind, other, engine, copy, exported):
    folder = copy(kind)
    shutil.copyfile(exported[other] / FILES[engine], folder / FILES[engine])
    if {kind, other} <= {"pos", "ner"} or kind == other:  # these have outputs of the same shape
        assert bistil.load(folder, engine=engine).task == kind
    else:
        refused(folder, engine, r"returns .* not .*\. Give the files of one and the same export\.")


def ids(*labels):
    return {"id2label": dict(enumerate(labels)), "label2id": {label: n for n, label in enumerate(labels)}}


CONFIGS = {
    "a list": (lambda file: file.write_text("[1]"), "no readable config"),
    "cut off": (halved, "no readable config"),
    "empty": (lambda file: file.write_text(""), "no readable config"),
    "no text": (lambda file: file.write_bytes(b"\xff\xfe\x00"), "no readable config"),
    "a folder": (a_folder, "no readable config"),
    "gone": (Path.unlink, "no readable config"),
    "of thousands of digits": (lambda file: file.write_text('{"a": ' + 5000 * "9" + "}"), "no readable config"),
    "of very many layers": (lambda file: changed(file, num_hidden_layers=10**30), "more than any encoder has"),
    "of no task": (lambda file: changed(file, bistil_task=None), "There is no task kind 'None'"),
    "of an odd task": (lambda file: changed(file, bistil_task={"a": 1}), "There is no task kind"),
    "labels in a list": (lambda file: changed(file, id2label=["a", "b", "c"]), "Give labels by number"),
    "labels by name": (lambda file: changed(file, id2label={"a": "x", "b": "y"}), "Give labels by number"),
    "labels with gaps": (lambda file: changed(file, id2label={"0": "x", "5": "y"}), "Give labels by number"),
    "labels that are none": (lambda file: changed(file, id2label={"0": 1, "1": None}), "Give labels by number"),
    "a label twice": (lambda file: changed(file, id2label={"0": "a", "1": "a"}), "has a label twice"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", CONFIGS)
def test_a_configuration_that_is_none(damage, kind, copy):
    change, words = CONFIGS[damage]
    folder = copy(kind)
    change(folder / "config.json")
    for engine in saved.ENGINES:
        refused(folder, engine, words)


@pytest.mark.parametrize("count", [1, 4, 7])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "qa"])
def test_other_labels_than_the_graph_has(kind, count, copy):
    folder = copy(kind)
    changed(folder / "config.json", **ids(*(f"B-{number}" for number in range(count))))
    for engine in saved.ENGINES:
        words = (
            "do not have the sizes" if engine == "torch" else f"has {len(LABELS[kind])} labels, .* names {count}"
        )
        refused(folder, engine, f"{words}|does not give a text one label of several")


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_the_weights_lack(kind, copy):
    """Transformers would make one up."""
    folder = copy(kind)
    changed(folder / "config.json", bistil_task="pos" if kind == "qa" else "qa")
    for engine in FILES:
        refused(folder, engine, r"returns .*, not the (start_)?logits of")
    if kind != "parsing":  # its configuration is of no other model
        refused(folder, "torch", r"The weights in .* lack (qa_outputs|classifier)\.")
    folder = folder.rename(folder.with_name("other"))
    changed(folder / "config.json", bistil_task=kind)
    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if name.split(".")[0] in ("classifier", "qa_outputs", "arcs"))
    del weights[gone]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, "torch", f"lack {gone}")


def test_layers_that_the_configuration_does_not_have(copy):
    folder = copy("pos")
    changed(folder / "config.json", num_hidden_layers=0)
    refused(folder, "torch", r"have, beyond what config\.json says, bert\.encoder\.layer\.0")


WEIGHTS = {
    "cut off": halved,
    "of no bytes": lambda file: file.write_bytes(b""),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("damage", WEIGHTS)
def test_weights_that_are_none(damage, copy):
    folder = copy("ner")
    WEIGHTS[damage](folder / "model.safetensors")
    refused(folder, "torch", r"cannot be loaded: .*Fetch it again\.")
    assert bistil.load(folder)("kedi").words  # ONNX needs none


TOKENIZERS = {
    "cut off": halved,
    "a list": lambda file: file.write_text("[1, 2]"),
    "null": lambda file: file.write_text("null"),
    "empty": lambda file: file.write_text(""),
    "no text": lambda file: file.write_bytes(b"\xff\x00\xfe"),
    "a folder": a_folder,
    "gone": Path.unlink,
    "of nothing": lambda file: file.write_text("{}"),
}


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("damage", TOKENIZERS)
def test_a_tokenizer_that_is_none(damage, name, copy):
    folder = copy("classification")
    TOKENIZERS[damage](folder / name)
    for engine in saved.ENGINES:
        refused(folder, engine, rf"has no {name}|cannot be loaded: |names no tokenizer_class")


@pytest.mark.parametrize(
    "values",
    [
        *({"model_max_length": value} for value in ("many", 0, -5, float("nan"), [3])),
        *({"model_input_names": value} for value in (3, None, ["x"], "input_ids", ["input_ids"])),
    ],
    ids=str,
)
def test_settings_of_a_tokenizer_that_make_no_sense(values, copy):
    folder = copy("pos")
    changed(folder / "tokenizer_config.json", **values)
    for engine in saved.ENGINES:
        refused(folder, engine, rf"no tokenizer_config\.json that can be read \({next(iter(values))} is ")


def test_settings_that_make_sense(copy):
    file = copy("pos") / "tokenizer_config.json"
    for limit, expected in ((None, 128), (10**30, 128), (float("inf"), 128), (100.5, 100), (7, 7)):
        changed(file, model_max_length=limit, unk_token={"content": "<unk>"}, pad_token=3, mask_token=None)
        tokenizer = own_tokenizer(file.parent)
        assert tokenizer.model_max_length == expected
        assert (tokenizer.unk_token_id, tokenizer.pad_token_id, tokenizer.mask_token_id) == (3, None, None)
    without(file, "model_max_length")
    assert "model_max_length" not in settings(file.parent)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", saved.ENGINES)
def test_no_room_for_text(kind, engine, copy):
    folder = copy(kind)
    special = 4 if kind == "qa" else 2
    given = {"question": "Kim?", "context": "bir kedi"} if kind == "qa" else "bir kedi"
    for length in range(1, special + 2):
        changed(folder / "tokenizer_config.json", model_max_length=length)
        model = bistil.load(folder, engine=engine)
        if length <= special:
            with pytest.raises(
                BistilError, match=rf"takes {length} tokens .* {special} special ones leave no room"
            ):
                model(given)
        else:
            assert repr(model(given))


def more_pieces(folder):
    values = json.loads((folder / "tokenizer.json").read_text())
    values["model"]["vocab"] += [[f"▁yeni{number}", -1.0] for number in range(100)]
    (folder / "tokenizer.json").write_text(json.dumps(values))


def another_special_token(folder):
    values = json.loads((folder / "tokenizer.json").read_text())
    values["post_processor"]["special_tokens"]["<s>"]["ids"] = [99_999]
    (folder / "tokenizer.json").write_text(json.dumps(values))


def other_pieces(folder):
    """As many as the model's own has."""
    values = json.loads((folder / "tokenizer.json").read_text())
    rows = values["model"]["vocab"]
    values["model"]["vocab"] = [*rows[:4], *reversed(rows[4:-1]), rows[-1]]
    (folder / "tokenizer.json").write_text(json.dumps(values))


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokenizer_of_another_model(kind, copy):
    for change in (more_pieces, another_special_token):
        folder = copy(kind)
        change(folder)
        refused(folder, "torch", r"the tokenizer has ids up to [\d,]+, the model only up to")
        for engine in FILES:
            refused(folder, engine, "out of data bounds.*It may be that the tokenizer is another model's")
        shutil.rmtree(folder)
    folder = copy(kind)
    other_pieces(folder)
    for engine in FILES:
        refused(folder, engine, "was exported with another tokenizer than the one beside it")


def test_a_file_without_a_note_of_its_vocabulary_is_taken(copy):
    """Those of earlier versions."""
    folder = copy("pos")
    model = onnx.load(folder / FILES["int8"])
    assert [one.key for one in model.metadata_props] == ["bistil.vocabulary"]
    del model.metadata_props[:]
    (folder / FILES["int8"]).write_bytes(model.SerializeToString())
    assert OnnxEngine(folder / FILES["int8"], {}).metadata() == {}
    assert bistil.load(folder)("kedi").words


def test_pieces_are_dropped_at_random_by_no_engine(copy):
    """BPE dropout that was saved with a tokenizer."""
    from tokenizers import Tokenizer, models

    folder = copy("pos")
    bpe = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], dropout=1.0))
    assert len(bpe.encode("ab")) == 2
    bpe.save(str(folder / "tokenizer.json"))
    assert own_tokenizer(folder).backend_tokenizer.encode("ab").ids == [2]


def test_no_text_is_cut_or_filled_up_as_the_last_call_before_saving_was(copy):
    """Questions are cut by "only_second", which no single text can be."""
    from tokenizers import Tokenizer

    folder = copy("pos")
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    whole = backend.encode("kedi uyuyor").ids
    backend.enable_truncation(3, strategy="only_second")
    backend.enable_padding(length=20)
    backend.save(str(folder / "tokenizer.json"))
    assert own_tokenizer(folder).backend_tokenizer.encode("kedi uyuyor").ids == whole


@pytest.mark.parametrize("command", ["predict", "eval", "export"])
@pytest.mark.parametrize("folder", ["empty", "student", "config", "weights", "tokenizer", "onnx"])
def test_commands_end_with_a_sentence(folder, command, copy, tmp_path, capsys):
    model = copy("student" if folder == "student" else "pos")
    file = tmp_path / "test.conllu"
    file.write_text("1\tkedi\t_\tNOUN\t_\t_\t0\troot\t_\t_\n", encoding="utf-8")
    if folder == "empty":
        shutil.rmtree(model)
        model.mkdir()
    elif folder == "config":
        (model / "config.json").write_text("[]")
    elif folder == "tokenizer":
        halved(model / "tokenizer.json")
    elif folder == "weights":
        halved(model / "model.safetensors")
    elif folder == "onnx":
        shutil.rmtree(model / "onnx")
        (model / "onnx").write_text("mine")
    arguments = {
        "predict": [str(file), *(["--engine", "torch"] if folder == "weights" else [])],
        "eval": [str(file), "--engine", "torch" if folder == "weights" else "int8"],
        "export": ["--test" if folder == "student" else "--text", f"tr={file}"],
    }[command]
    if (folder, command) == ("onnx", "predict"):
        arguments += ["--engine", "onnx"]
    assert main([command, str(model), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bistil: ")
    if folder == "onnx":
        assert (model / "onnx").read_text() == "mine"


def test_an_encoder_with_the_tokenizer_of_another_is_not_exported(copy, tmp_path):
    folder = copy("student")
    more_pieces(folder)
    with pytest.raises(BistilError, match="the tokenizer has ids up to"):
        bistil.export(folder, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_text_of_which_nothing_is_left_to_compare(copy, tmp_path):
    with pytest.raises(BistilError, match="The text of tr has no line that is text, not JSON"):
        bistil.export(copy("pos"), tmp_path / "out", text={"tr": ["{{Infobox}}"]}, progress=False)


def test_an_export_notes_its_vocabulary(copy, tmp_path):
    folder = copy("pos")
    shutil.rmtree(folder / "onnx")
    bistil.export(folder, tmp_path / "out", progress=False)
    for engine in FILES:
        assert bistil.load(tmp_path / "out", engine=engine)("kedi").words
    other_pieces(tmp_path / "out")
    for engine in FILES:
        refused(tmp_path / "out", engine, "was exported with another tokenizer")
