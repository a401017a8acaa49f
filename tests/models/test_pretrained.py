"""No folder's code runs, no pickle is read and no hub is asked, whatever the folder says."""

import ast
import builtins
import json
import socket
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForTokenClassification, AutoTokenizer

import bistil
from bistil.cli import main
from bistil.errors import BistilError
from bistil.models import pretrained, teachers
from bistil.tasks import PartOfSpeech

TASK = PartOfSpeech(("NOUN", "VERB"))
CODE = """
import pathlib
pathlib.Path(r"{mark}").touch()
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

class Config(BertConfig):
    model_type = "theirs"

class Model(BertForTokenClassification):
    config_class = Config

class Tokenizer(PreTrainedTokenizerFast):
    pass
"""
CLASSES = {"AutoConfig": "Config", "AutoTokenizer": "Tokenizer"} | dict.fromkeys(
    ("AutoModel", "AutoModelForTokenClassification", "AutoModelForMaskedLM"), "Model"
)
WAYS = {
    "eval": lambda folder, file: ["eval", folder, file],
    "predict": lambda folder, file: ["predict", folder, file],
    "bench": lambda folder, file: ["bench", folder, file],
    "vocab": lambda folder, file: ["vocab", folder, "--text", f"en={file}", "--out", f"{folder}-out"],
    "adapt": lambda folder, file: ["adapt", folder, "--text", file, "--out", f"{folder}-out"],
    "diff": lambda folder, file: ["delta", "diff", folder, folder, "--out", f"{folder}-out"],
}


@pytest.fixture
def tagger(tiny_teacher, tiny_tokenizer, tmp_path):
    """The folder of a tagger, and a file for it."""
    folder = tmp_path / "model"
    TASK.new_model(tiny_teacher).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    (tmp_path / "words.conllu").write_text("1\tsu\t_\tNOUN\t_\t_\t0\troot\t_\t_\n\n", encoding="utf-8")
    return folder


@pytest.fixture
def hostile(tagger, tmp_path, monkeypatch):
    """A folder that brings code for everything, and a user who says yes to whatever is asked."""
    (tagger / "theirs.py").write_text(CODE.format(mark=tmp_path / "ran"), encoding="utf-8")
    classes = {auto: f"theirs.{own}" for auto, own in CLASSES.items()}
    config = json.loads((tagger / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "theirs", "auto_map": classes}
    (tagger / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = json.loads((tagger / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokenizer |= {"tokenizer_class": "Tokenizer", "auto_map": {"AutoTokenizer": [None, "theirs.Tokenizer"]}}
    (tagger / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    return tagger


def test_the_folder_would_run_its_code_if_it_were_trusted(hostile, tmp_path):
    AutoModelForTokenClassification.from_pretrained(hostile)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("command", WAYS)
def test_no_command_runs_code_of_a_folder(command, hostile, tmp_path, capsys):
    arguments = WAYS[command](str(hostile), str(tmp_path / "words.conllu"))
    assert main(arguments) == 2
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "read",
    [teachers.load, teachers.load_as_saved, teachers.read_config, TASK.new_model],
    ids=["load", "load_as_saved", "read_config", "new_model"],
)
def test_no_reader_runs_code_of_a_folder(read, hostile, tmp_path):
    with pytest.raises((BistilError, ValueError)):
        read(hostile)
    assert not (tmp_path / "ran").exists()


def test_everything_is_read_by_one_module():
    """Of which the next test says that it runs no code, reads no pickle and asks no hub."""
    source = Path(bistil.__file__).parent
    for path in source.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if _reads(node)]
        assert not calls or path == source / "models/pretrained.py", f"{path}:{calls[0].lineno}"


def _reads(node):
    return isinstance(node, ast.Attribute) and node.attr == "from_pretrained"


def test_pickled_weights_are_not_read(tagger):
    model = pretrained.model(AutoModel, tagger)
    (tagger / "model.safetensors").unlink()
    torch.save(model.state_dict(), tagger / "pytorch_model.bin")
    AutoModel.from_pretrained(tagger)
    with pytest.raises(OSError, match="safetensors"):
        pretrained.model(AutoModel, tagger)


def test_how_a_tokenizer_was_read_is_not_saved_with_it(tagger, tmp_path):
    tokenizer = pretrained.tokenizer(tagger)
    tokenizer.save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert not {"local_files_only", "trust_remote_code", "use_safetensors"} & saved.keys()
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("command", ["eval", "predict", "bench"])
@pytest.mark.parametrize("missing", ["all", "model.safetensors", "tokenizer.json"])
def test_a_task_model_in_a_folder_is_never_asked_of_a_hub(command, missing, tagger, monkeypatch, tmp_path, capsys):
    asked = []

    def ask(*address, **_):
        asked.append(address)
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    monkeypatch.chdir(tmp_path)
    name = "./someone/model" if missing == "all" else str(tagger)
    if missing != "all":
        (tagger / missing).unlink()
    main([command, name, "words.conllu"])
    assert not asked
