"""examples/search: indexing, asking, and a page that shows what texts hold and runs none of it."""

import importlib.util
import re
import socket
import sys
import threading
from html import unescape
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from bistil.errors import BistilError

FILE = Path(__file__).parents[1] / "examples/search/search.py"


@pytest.fixture(scope="module")
def search():
    spec = importlib.util.spec_from_file_location("search_example", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


class Letters:
    """A model whose vectors count letters."""

    path = Path("letters")
    prompts = MappingProxyType({})

    def encode(self, texts, prompt_name, normalize_embeddings=False):
        if isinstance(texts, str):
            return self.encode([texts], prompt_name, normalize_embeddings)[0]
        counts = np.array([[text.lower().count(chr(97 + at)) + 1e-3 for at in range(26)] for text in texts])
        lengths = np.linalg.norm(counts, axis=1, keepdims=True) if normalize_embeddings else 1
        return (counts / lengths).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "notes/deep").mkdir(parents=True)
    (tmp_path / "notes/a.txt").write_text(
        "\ufeffThe cat\nslept.\n\n\n  The dog ran.\r\n\r\nZzzz\n", encoding="utf-8"
    )
    (tmp_path / "notes/deep/b.md").write_text('<script>alert("x")</script> & $question', encoding="utf-8")
    (tmp_path / "notes/folder.md").mkdir()
    (tmp_path / "notes/c.bin").write_bytes(b"\xff\xfe")
    return tmp_path / "notes"


def test_paragraphs_and_where_they_are(search, folder):
    found = [(one.file, one.line, one.text) for one in search.passages(folder)]
    assert found == [
        ("a.txt", 1, "The cat slept."),
        ("a.txt", 5, "The dog ran."),
        ("a.txt", 7, "Zzzz"),
        ("deep/b.md", 1, '<script>alert("x")</script> & $question'),
    ]


def test_the_nearest_comes_first(search, folder):
    index = search.Index.of(Letters(), folder)
    found = index.ask("zz")
    assert (found[0][0], found[0][1].text) == (pytest.approx(1, abs=1e-2), "Zzzz")
    assert [cosine for cosine, _ in found] == sorted((cosine for cosine, _ in found), reverse=True)


@pytest.mark.parametrize(
    ("prompts", "asked"),
    [
        ({}, [None, None]),
        ({"query": "q: ", "passage": "p: "}, ["passage", "query"]),
        ({"passage": "p: ", "document": "d: "}, ["document", None]),
    ],
)
def test_texts_get_the_prompts_that_the_model_has(search, folder, prompts, asked):
    names, model = [], Letters()
    model.prompts = prompts
    model.encode = lambda texts, prompt_name, **options: (
        names.append(prompt_name) or Letters().encode(texts, None, **options)
    )
    search.Index.of(model, folder).ask("zz")
    assert names == asked


def test_the_page_shows_what_texts_hold_and_runs_none_of_it(search, folder):
    index = search.Index.of(Letters(), folder)
    question = '"><script>alert(1)</script>'
    shown = search.page(index, question)
    assert "<script" not in shown
    assert '<script>alert("x")</script> & $question' in unescape(shown)
    (value,) = re.findall(r'value="([^"]*)"', shown)
    assert unescape(value) == question
    assert "<ol>" not in search.page(index, " ")


@pytest.fixture
def address(search, folder):
    with search.server(search.Index.of(Letters(), folder), 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_the_page_is_served_here_alone(address):
    with urlopen(f"{address}/?q=z%C3%BCz") as answer:
        assert "script" not in answer.headers["Content-Security-Policy"]
        text = answer.read().decode()
    assert 'value="züz"' in text
    assert text.index("Zzzz") < text.index("The cat slept.")
    for path, headers, status in (("/etc/passwd", {}, 404), ("/?q=z", {"Host": "elsewhere.example"}, 403)):
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(f"{address}{path}", headers=headers))
        assert refused.value.code == status
        refused.value.close()


def test_a_connection_that_asks_nothing_holds_nobody_up(address):
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))):
        assert urlopen(f"{address}/?q=z", timeout=10).status == 200


def test_what_cannot_be_indexed(search, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"a")
    with pytest.raises(BistilError, match=r"has no text in \.txt or \.md"):
        search.Index.of(Letters(), tmp_path)
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(BistilError, match=r"b\.txt is not UTF-8"):
        search.Index.of(Letters(), tmp_path)


def test_a_model_with_a_task_is_named(search, folder, monkeypatch, tmp_path):
    monkeypatch.setattr("bistil.load", lambda name: SimpleNamespace(task="pos"))
    with pytest.raises(BistilError, match=r"tagger is a model for pos\. Give a sentence embedding model"):
        search.main(["index", "tagger", str(folder), "--out", str(tmp_path / "index")])
    assert not (tmp_path / "index").exists()


def test_an_index_of_another_model_is_refused(search, folder, monkeypatch, tmp_path, capsys):
    model = Letters()
    model.path = tmp_path / "letters"
    (model.path / "onnx").mkdir(parents=True)
    (model.path / "onnx/model.onnx").write_bytes(b"one")
    monkeypatch.setattr("bistil.load", lambda name: model)
    search.main(["index", "letters", str(folder), "--out", str(tmp_path / "index")])
    (model.path / "README.md").write_text("no vector depends on it")
    search.main(["ask", str(tmp_path / "index"), "zz"])
    assert "a.txt:7  Zzzz" in capsys.readouterr().out
    (model.path / "onnx/model.onnx").write_bytes(b"two")
    with pytest.raises(BistilError, match=r"letters has changed since .*index was made\. Index again"):
        search.main(["ask", str(tmp_path / "index"), "zz"])
