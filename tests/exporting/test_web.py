"""The folder for browsers: what is in it, whose it is, and where its packages come from."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.npm import integrity, tarball

import bistil
from bistil.cli import main
from bistil.errors import BistilError
from bistil.exporting import web
from bistil.exporting.examples import SENTENCES, examples, takes_pairs
from bistil.exporting.metadata import card_languages
from bistil.exporting.web import write_web
from bistil.files import publish
from bistil.models.folder import save_model
from bistil.packages import fetch
from bistil.tasks import Classification, installed_tasks, task_kind

CARD = "---\nlanguage:\n- en\n- tr\n---\n# A tagger\n"


@pytest.fixture(scope="module")
def tagger(tiny_teacher, tiny_tokenizer, tmp_path_factory):
    """A task model, exported to int8."""
    folder = tmp_path_factory.mktemp("runs")
    save_model(
        task_kind("pos")(("NOUN", "PUNCT", "VERB")).new_model(tiny_teacher), tiny_tokenizer, folder / "made"
    )
    publish(folder / "made", folder / "pos", {"README.md": CARD})
    bistil.export(folder / "pos", progress=False)
    return folder / "pos"


def files(folder):
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in names if not name.startswith(".")}


def test_what_is_written(registry, tagger, tmp_path):
    exported = bistil.export(tagger, web=tmp_path / "page", progress=False)
    assert exported.output_dir == tagger
    assert exported.web.output_dir == tmp_path / "page"
    assert exported.web.bytes.keys() == files(tmp_path / "page")
    assert "for the browser" in repr(exported)
    page = Path(web.__file__).parent / "page"
    assert {name.removeprefix("browser/") for name in files(page)} <= files(tmp_path / "page")
    model = {"onnx/model_quantized.onnx", "tokenizer.json", "config.json", "tokenizer_config.json", "README.md"}
    assert {f"models/pos/{name}" for name in model} <= files(tmp_path / "page")
    for package, places in web._VENDOR.items():
        assert {Path(member).name for member in package.members} == places.keys()
        assert set(places.values()) <= files(tmp_path / "page")
    assert len(registry) == 2
    (one,) = json.loads((tmp_path / "page/models.json").read_text(encoding="utf-8"))
    assert {name: one[name] for name in ("name", "task", "title", "labels", "languages", "engine", "pair")} == {
        "name": "pos",
        "task": "pos",
        "title": "part-of-speech",
        "labels": ["NOUN", "PUNCT", "VERB"],
        "languages": ["en", "tr"],
        "engine": "int8",
        "pair": False,
    }
    assert one["examples"] == examples(task_kind("pos")(("NOUN", "VERB")), ["en", "tr"])
    sizes = [exported.web.bytes[f"models/pos/{name}"] for name in ("onnx/model_quantized.onnx", "tokenizer.json")]
    assert one["megabytes"] == round(sum(sizes) / 1e6, 1)
    reading = one["reading"]
    assert (reading["max_length"], reading["padding"], reading["placeholder"]) == (128, 1, 3)
    assert [[part["token"] for part in frame if part["text"] is None] for frame in reading["frames"]] == [
        [0, 2],
        [0, 2, 2, 2],
    ]


def test_a_model_is_called_as_its_folder_is(registry, tagger, tmp_path, monkeypatch):
    monkeypatch.chdir(tagger / "onnx")
    bistil.export("..", web=tmp_path / "page", progress=False)
    (one,) = json.loads((tmp_path / "page/models.json").read_text(encoding="utf-8"))
    assert one["name"] == "pos"
    assert (tmp_path / "page/models/pos/config.json").is_file()


def test_several_models_in_one_folder(registry, tagger, tmp_path):
    for name in ("one", "two", "one"):
        write_web(tagger, name, tmp_path / "page")
    models = json.loads((tmp_path / "page/models.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in models] == ["two", "one"]
    assert len(registry) == 2  # the packages are kept


def test_of_an_earlier_page_those_stay_that_are_named(registry, tagger, tmp_path):
    for name, beside in (("old", None), ("one", ["two"]), ("two", ["one"])):
        write_web(tagger, name, tmp_path / "page", beside)
    assert [one["name"] for one in json.loads((tmp_path / "page/models.json").read_text("utf-8"))] == [
        "one",
        "two",
    ]


def test_what_is_not_bistils_is_not_replaced(registry, tagger, tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page/README.txt").write_text("mine")
    with pytest.raises(BistilError, match=r"README\.txt was not written by bistil"):
        write_web(tagger, "pos", tmp_path / "page")
    assert files(tmp_path / "page") == {"README.txt"}


@pytest.mark.slow
def test_the_command_exports_first_and_says_how_to_serve(registry, tiny_teacher, tiny_tokenizer, tmp_path, capsys):
    save_model(task_kind("pos")(("NOUN", "VERB")).new_model(tiny_teacher), tiny_tokenizer, tmp_path / "new")
    publish(tmp_path / "new", tmp_path / "pos")
    with pytest.raises(SystemExit) as end:
        main(["export", str(tmp_path / "pos"), "--web", str(tmp_path / "a page")])
    assert end.value.code == 0
    assert (tmp_path / "pos/onnx/model_quantized.onnx").is_file()
    assert f"Serve it: python -m http.server -d '{tmp_path / 'a page'}'" in capsys.readouterr().out


def test_a_wrong_checksum(registry, tagger, tmp_path, monkeypatch):
    wrong = {replace(package, integrity=integrity(b"")): places for package, places in web._VENDOR.items()}
    monkeypatch.setattr(web, "_VENDOR", wrong)
    with pytest.raises(
        BistilError, match=r"onnxruntime-web-\S+\.tgz has the wrong SHA-512: expected cf83e1.*registry"
    ):
        write_web(tagger, "pos", tmp_path / "page")
    assert not (tmp_path / "page").exists()
    assert not list((tmp_path / "cache/packages").iterdir())


@pytest.mark.parametrize(
    ("registry_given", "reason"),
    [("http://127.0.0.1:9", "cannot be reached"), ("{own}elsewhere", "HTTP Error 404: Not Found")],
)
def test_packages_that_cannot_be_fetched(registry_given, reason, registry, tagger, tmp_path, monkeypatch):
    given = registry_given.format(own=os.environ["NPM_CONFIG_REGISTRY"])
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", given)
    with pytest.raises(BistilError, match=reason) as error:
        write_web(tagger, "pos", tmp_path / "page")
    assert "run `npm pack onnxruntime-web@" in str(error.value)
    assert f"put onnxruntime-web-{web.ONNXRUNTIME.version}.tgz into {tmp_path / 'cache/packages'}" in str(
        error.value
    )
    assert not (tmp_path / "page").exists()


def test_a_registry_that_is_no_web_address(registry, tagger, tmp_path, monkeypatch):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "file:///etc")
    with pytest.raises(BistilError, match="NPM_CONFIG_REGISTRY is no web address"):
        write_web(tagger, "pos", tmp_path / "page")


def test_archives_placed_by_hand_need_no_network(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    (tmp_path / "cache/packages").mkdir(parents=True)
    for package in web._VENDOR:
        (tmp_path / "cache/packages" / package.filename).write_bytes(tarball(package.members))
        fetched = fetch(package)
        assert {path.name for path in fetched.iterdir()} == {Path(member).name for member in package.members}
    assert (tmp_path / "cache/packages/huggingface-tokenizers-0.2.0").is_dir()
    assert registry == []


def test_browsers_need_int8(tagger, tmp_path):
    with pytest.raises(BistilError, match="Browsers run the int8 file"):
        bistil.export(tagger, quantize=None, web=tmp_path / "page", progress=False)


def test_every_kind_has_code():
    own = {task.kind for task in installed_tasks() if task.__module__.startswith("bistil.")}
    code = (Path(web.__file__).parent / "page/browser/model.js").read_text(encoding="utf-8")
    (table,) = re.findall(r"const TASKS = \{\n(.*?)\n\};", code, re.DOTALL)
    assert {line.split(":")[0].strip(' "') for line in table.splitlines()} == own


def test_modules_open_with_what_they_are_and_are_short():
    for path in (Path(web.__file__).parent / "page/browser").iterdir():
        text = path.read_text(encoding="utf-8")
        assert text.startswith("// ")
        assert text.count("\n") < 300
        assert all(len(line) <= 120 for line in text.splitlines())


def test_examples():
    tags, answers, pairs = task_kind("pos")(("NOUN",)), task_kind("qa")(), Classification(("a", "b"), pairs=True)
    assert examples(tags, ["xx", "tr", "en"]) == [
        {"language": "tr", "input": SENTENCES["tr"][0]},
        {"language": "en", "input": SENTENCES["en"][0]},
    ]
    assert examples(tags, []) == [{"language": "en", "input": "Marie Curie was born in Warsaw in 1867."}]
    assert len(examples(tags, list(SENTENCES))) == 4
    (asked,) = examples(answers, ["eu"])
    assert asked["input"] == {"question": "Non jaio zen Marie Curie?", "context": SENTENCES["eu"][0]}
    (pair,) = examples(pairs, ["de"])
    assert pair["input"].keys() == {"text", "text_pair"}
    assert all(len(set(texts)) == 2 for texts in SENTENCES.values())


def test_pairs_by_their_labels():
    assert takes_pairs(Classification(("Entailment", "contradiction", "neutral")))
    assert not takes_pairs(Classification(("food", "object")))
    assert takes_pairs(Classification(("food", "object"), pairs=True))
    assert not takes_pairs(task_kind("ner")(("entailment", "O")))


@pytest.mark.parametrize(
    ("card", "languages"), [(CARD, ["en", "tr"]), ("---\nlanguage: eu\n---\n", ["eu"]), ("", [])]
)
def test_languages_of_a_card(card, languages, tmp_path):
    (tmp_path / "README.md").write_text(card)
    assert card_languages(tmp_path) == languages
