"""What arrives on the hub: the model byte for byte, and nothing else; every refusal is one sentence."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, constants, snapshot_download
from tests.standin import TOKEN, served

import bistil
from bistil.cli import main
from bistil.errors import BistilError
from bistil.exporting.push import uploads
from bistil.pipeline.runs import run
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.runtime.pooling import Pooling

MODEL = {
    "config.json": "{}",
    "model.safetensors": "weights",
    "tokenizer.json": "{}",
    "tokenizer_config.json": "{}",
    "special_tokens_map.json": "{}",
    "README.md": "---\nlanguage: [en, tr]\n---\n# A model\n",
    "onnx/model.onnx": "graph",
    "onnx/model_quantized.onnx": "small graph",
    "export.json": "{}",
    "scores.json": "{}",
    "vocabulary.json": "{}",
}
# What lies in such folders too, and is the user's.
KEPT = (
    *("data/train.jsonl", "data/model.safetensors", "stages/distill-1/model.safetensors", "stages/config.json"),
    *(".bistil.json", ".bistil.lock", "recipe.yaml", "kept_tokens.tsv", "pytorch_model.bin", "training_args.bin"),
    *("train.jsonl", "texts.txt", "report.json", "distillation.json", "code.py", "onnx/data.txt", "onnx/a/b.onnx"),
    *(
        ".git/config",
        ".env",
        "checkpoint-9/optimizer.pt",
        "model.safetensors.bak",
        "README.md.old",
        "notes/README.md",
    ),
)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with served() as standin:
        monkeypatch.setattr(constants, "ENDPOINT", standin.address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", standin.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield standin


@pytest.fixture
def folder(tmp_path):
    where = tmp_path / "mine"
    for name in KEPT:
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_text("private")
    for name, content in MODEL.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_text(content)
    return where


def test_the_page_lists_what_is_uploaded():
    page = (Path(__file__).parents[2] / "docs/publish.md").read_text(encoding="utf-8")
    names = ["config.json", *MODEL, *Pooling().files(8)]
    assert [
        name for name in names if f"`{name}`" not in page and not re.match(r"token|special|model|onnx", name)
    ] == []


def as_bytes(files):
    return {name: content.encode() for name, content in files.items()}


def test_the_model_arrives_byte_for_byte_and_nothing_else(hub, folder):
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 5000)
    wanted = {name: (folder / name).read_bytes() for name in MODEL}
    assert bistil.push_to_hub(folder, "me/tagger", progress=False) == f"{hub.address}/me/tagger"
    assert hub.repos == {"me/tagger": {"main": wanted}}
    assert not hub.private
    assert set(hub.objects.values()) == {
        wanted[name] for name in MODEL if name.endswith((".safetensors", ".onnx"))
    }
    assert (
        Path(snapshot_download("me/tagger", token=False)).joinpath("model.safetensors").read_bytes()
        == (wanted["model.safetensors"])
    )


def test_again_only_what_changed_is_sent(hub, folder):
    bistil.push_to_hub(folder, "me/tagger", progress=False)
    (folder / "config.json").write_text('{"new": 1}')
    hub.requests.clear()
    bistil.push_to_hub(folder, "me/tagger", progress=False)
    assert hub.repos["me/tagger"]["main"] == as_bytes(MODEL | {"config.json": '{"new": 1}'})
    assert not [one for one in hub.requests if one.startswith("PUT")]


def test_branches_and_own_names(hub, folder):
    assert bistil.push_to_hub(folder, "tagger", revision="v2/try", progress=False) == f"{hub.address}/me/tagger"
    assert hub.repos == {"me/tagger": {"main": {}, "v2/try": as_bytes(MODEL)}}


def test_private_repositories_are_private_or_refused(hub, folder):
    bistil.push_to_hub(folder, "me/secret", private=True, progress=False)
    assert hub.private == {"me/secret"}
    bistil.push_to_hub(folder, "me/secret", progress=False)
    assert hub.private == {"me/secret"}
    hub.repos["me/open"] = {"main": {}}
    with pytest.raises(BistilError, match=r"me/open exists and is public, so nothing was uploaded"):
        bistil.push_to_hub(folder, "me/open", private=True, progress=False)
    assert hub.repos["me/open"] == {"main": {}}


def said(folder, hub, **arguments):
    with pytest.raises(BistilError) as error:
        bistil.push_to_hub(folder, arguments.pop("repo_id", "me/tagger"), progress=False, **arguments)
    assert "\n" not in str(error.value)
    assert not any(any(branches.values()) for branches in hub.repos.values())
    return str(error.value)


def test_every_refusal_is_one_sentence_with_the_cure(hub, folder, monkeypatch):
    assert "does not accept the access token. Run `hf auth login`" in said(folder, hub, token="hf_wrong")
    hub.refused = 403
    assert "may not write to me/tagger. Make one with write access" in said(folder, hub)
    hub.refused = 500
    assert "refused me/tagger with status 500 (as the test wants it)" in said(folder, hub)
    hub.refused = 0
    for wrong in ("a/b/c", "some model!", "", "a--b"):
        assert f"{wrong!r} is no hub id. Give OWNER/NAME" in said(folder, hub, repo_id=wrong)
    (folder / "README.md").write_text("---\nlanguage: [Turkish]\n---\n")
    assert "The hub refuses README.md" in said(folder, hub)
    (folder / "README.md").write_text(MODEL["README.md"])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids the hub" in said(folder, hub)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "Could not upload to me/tagger (ConnectError" in said(folder, hub)
    monkeypatch.delenv("HF_TOKEN")
    assert "There is no access token of the hub. Run `hf auth login`" in said(folder, hub)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (["config.json"], r"holds no model \(no config.json\)"),
        (["model.safetensors", "onnx/model.onnx", "onnx/model_quantized.onnx"], "holds no weights"),
    ],
)
def test_a_folder_that_is_no_model_is_refused(folder, missing, message):
    for name in missing:
        (folder / name).unlink()
    (folder / "onnx/a.onnx").mkdir()
    with pytest.raises(BistilError, match=message):
        uploads(folder)
    with pytest.raises(BistilError, match="There is no folder"):
        uploads(folder / "none")


def test_a_model_in_onnx_alone_is_one(folder):
    (folder / "model.safetensors").unlink()
    assert {one.name for one in uploads(folder)} == MODEL.keys() - {"model.safetensors"}


def command(*arguments):
    try:
        return main(["push", *map(str, arguments)])
    except SystemExit as end:
        return int(end.code or 0)


def test_the_command_lists_and_asks(hub, folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert command(folder, "me/tagger") == 2
    assert "nobody can answer here. Add --yes" in capsys.readouterr().err

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert command(folder, "me/tagger") == 1
    output = capsys.readouterr().out
    assert re.search(r"onnx/model_quantized.onnx +11 B\n", output)
    assert "Upload 11 files, " in output
    assert "to me/tagger (public)? [y/N]" in output
    assert "Nothing was uploaded." in output
    assert not hub.requests

    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert command(folder, "me/tagger") == 0
    assert hub.repos["me/tagger"]["main"] == as_bytes(MODEL)
    assert f"model  {hub.address}/me/tagger" in capsys.readouterr().out

    (folder / "README.md").unlink()
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert command(folder, "me/other", "--private", "--yes") == 0
    assert hub.private == {"me/other"}
    assert "There is no README.md" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_is_pushed_by_a_script_and_loaded_from_the_hub(hub, experiment, monkeypatch, tmp_path):
    """In a process of its own, with nothing patched; then its card's code is run."""
    result = run(Recipe.model_validate(experiment | {"seeds": [0]}), Progress(io.StringIO()))
    model = result.output_dir / "tasks/food"
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
    }
    command = [sys.executable, "-m", "bistil", "push", str(model), "me/food", "--yes"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    published = {path.name: path.read_bytes() for path in model.iterdir() if path.name != ".bistil.json"}
    assert hub.repos == {"me/food": {"main": published}}
    assert ModelCard.load("me/food").data.language == ["en", "tr"]

    monkeypatch.chdir(tmp_path)
    here = bistil.load(model)
    assert bistil.load("me/food").labels == here.labels
    card = published["README.md"].decode()
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    for block in blocks:
        names = {}
        exec(block.replace("OWNER/NAME", "me/food"), names)
        found = names["model"]("A text in Turkish.")
        label = found[0]["label"] if isinstance(found, list) else found.label
        assert label == here("A text in Turkish.").label
    assert len(blocks) == 2
