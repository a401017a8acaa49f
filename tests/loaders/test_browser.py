"""What `bistil export --web` writes says in Node and in a browser what `bistil.load` says in Python."""

import functools
import json
import random
import shutil
import subprocess
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.loaders.folders import FAMILIES, LABELS, QUESTIONS, TEXTS

import bistil
from bistil.corpora.tokenizers import encodings
from bistil.errors import BistilError
from bistil.exporting.web import write_web
from bistil.runtime.tokenizer import backend
from bistil.runtime.trees import best_tree
from bistil.tasks.ner import spans
from bistil.tasks.spans import Passage
from bistil.tasks.words import split_words

pytestmark = [pytest.mark.loaders, pytest.mark.network]

BROWSER = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
SOURCES = Path(bistil.__file__).parent / "exporting/page/browser"
GIVEN = (
    *TEXTS,
    "The teacher (a student) 🙂 reads “fresh bread” 👩‍👩‍👧!",
    "المعلم يقرأ الكتاب، كل صباح؟",
    "한국어 日本語 中文。 हिन्दी",
    "a\u00a0b\ufeffc \x1d x\x85y",
    "e\u0301te\u0301 \ufb01n  z",
    "(((",
    "",
    " \n ",
)
ASKED = [{"question": question, "context": context} for question, context in QUESTIONS]
ASKED += [{"question": "Who reads?", "context": context} for context in (*GIVEN, " ".join(GIVEN) * 4)]
ASKED += [{"question": "", "context": "bread"}, {"question": "🙂 kim? " * 40, "context": TEXTS[0]}]
PAIRS = [{"text": one, "text_pair": other} for one, other in zip(GIVEN, reversed(GIVEN), strict=True)]

MODELS = """
import { readFileSync } from "node:fs";
import * as ort from "./vendor/onnxruntime-web/ort.js";
import { TaskModel } from "./model.js";
const read = (name) => readFileSync(new URL(name, import.meta.url)); // fetch of Node takes no files
ort.env.wasm.wasmBinary = read("./vendor/onnxruntime-web/ort-wasm-simd-threaded.wasm");
const found = {};
for (const one of JSON.parse(read("./models.json"))) {
  const model = await TaskModel.load(one, async (name) => read(`./${one.folder}/${name}`));
  found[one.name] = [];
  for (const inputs of given[one.name]) found[one.name].push(await model.predict(inputs));
}
console.log(JSON.stringify(found));
"""
PAGE = """
<!doctype html><meta charset="utf-8"><script type="module">
import { models, predict } from "./backend.js";
window.models = models;
window.answers = async (given) => {
  const found = {};
  for (const { name } of await models()) {
    found[name] = [];
    for (const inputs of given[name]) found[name].push((await predict(name, inputs)).results);
  }
  return found;
};
window.aborted = async (name, text) => {
  const one = new AbortController();
  const calls = [predict(name, [text]), predict(name, [text], one.signal), predict(name, [text])];
  one.abort();
  return (await Promise.allSettled(calls)).map(({ status, reason }) => reason?.name ?? status);
};
window.refused = (name, input) => predict(name, [input]).catch((error) => error.message);
window.ready = true;
</script>
"""


def in_node(folder: Path, code: str, given: object) -> Any:
    """What a script among the modules in a folder prints as its last line."""
    if shutil.which("node") is None:
        pytest.skip("no node on the PATH (https://nodejs.org; Debian and Ubuntu: apt install nodejs)")
    (folder / "package.json").write_text('{"type": "module"}')  # Node asks for it, browsers do not
    file = folder / "script.js"
    file.write_text(f"const given = {json.dumps(given)};\n{code}", encoding="utf-8")
    done = subprocess.run(["node", str(file)], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().split("\n")[-1])


def written(family: Any, names: Sequence[str], out: Path) -> Path:
    try:
        for name in names:
            write_web(family.made(name), name, out)
    except BistilError as error:
        if "cannot be reached" not in str(error):
            raise
        pytest.skip("the npm registry cannot be reached")
    return out


def calls(name: str) -> list[list[Any]]:
    """Lists of inputs for a model: one by one, and all at once."""
    inputs = {"qa": ASKED, "answerable": ASKED, "nli": PAIRS}.get(name, GIVEN)
    return [*([one] for one in inputs), list(inputs)]


def check(family: Any, found: dict[str, Any]) -> None:
    for name, answers in found.items():
        model = bistil.load(family.folder(name), engine="int8")
        for inputs, own in zip(calls(name), answers, strict=True):
            expected = json.loads(json.dumps([asdict(one) for one in model(inputs)]))
            assert len(own) == len(expected)
            for one, other in zip(own, expected, strict=True):
                same(one, other)


def same(found: Any, expected: Any) -> None:
    """But for the probabilities: onnxruntime-web may round a value of the 8 bits the other way.

    Of trees and of rankings a few may then be others that are as likely.
    """
    if isinstance(expected, float):
        assert found == pytest.approx(expected, abs=0.02)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        if expected and "head" in expected[0]:
            apart = [one["head"] != other["head"] for one, other in zip(found, expected, strict=True)]
            assert sum(apart) <= 0.05 * len(apart)
            found = [{**one, "head": other["head"]} for one, other in zip(found, expected, strict=True)]
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            same(found[key], value)
    else:
        assert found == expected


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_in_node(name, families, tmp_path):
    names = ["pos", "topic"] if name == "EuroBERT" else ["pos", "topic", "qa"]
    out = written(families(name), names, tmp_path / "page")
    check(families(name), in_node(out, MODELS, {one: calls(one) for one in names}))


def test_every_task_in_node(families, tmp_path):
    out = written(families("XLM-R"), list(LABELS), tmp_path / "page")
    found = in_node(out, MODELS, {name: calls(name) for name in LABELS})
    assert any(one["text"] == "" for one in found["answerable"][-1])
    check(families("XLM-R"), found)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_every_task_in_a_browser(families, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    if not Path(BROWSER).exists():
        pytest.skip(f"no {BROWSER}")
    out = written(families("XLM-R"), list(LABELS), tmp_path / "page")
    (out / "try.html").write_text(PAGE, encoding="utf-8")
    with served(out) as address, sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=FLAGS)
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/try.html")
        page.wait_for_function("window.ready")
        models = page.evaluate("models()")
        assert page.evaluate("crossOriginIsolated") is False
        found = page.evaluate("given => answers(given)", {name: calls(name) for name in LABELS})
        aborted = page.evaluate("text => aborted('pos', text)", TEXTS[0])
        refused = page.evaluate("refused('qa', 'a text')")
        half = page.evaluate("refused('pos', 'a\\ud83d')")
        browser.close()
    assert [one["name"] for one in models] == list(LABELS)
    assert {one["engine"] for one in models} == {"int8"}
    assert all(url.startswith(address) for url in asked)
    assert aborted == ["fulfilled", "AbortError", "fulfilled"]
    assert refused == "Give {question, context}."
    assert half == "\\ud83d is half of a character. Correct or leave out the text."
    check(families("XLM-R"), found)


@pytest.mark.parametrize("name", FAMILIES)
def test_tokens_of_random_text(name, families, tmp_path):
    """Ids are the same, and so is the text, but for white space, that up to four tokens in a row stand for."""
    folder = families(name).made("pos")
    out = written(families(name), ["pos"], tmp_path / "page")
    texts = random_texts(families(name).tokenizer)
    code = """
    import { readFileSync } from "node:fs";
    import { Tokens } from "./tokens.js";
    const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url)));
    const tokens = new Tokens(read("./models/pos/tokenizer.json"), read("./models.json")[0].reading);
    console.log(JSON.stringify(given.map((text) => tokens.encode(text))));"""
    apart = 0
    for text, own, expected in zip(
        texts, in_node(out, code, texts), encodings(backend(folder), texts), strict=True
    ):
        assert own["ids"] == expected.ids, text
        spans = [covered(text, offsets) for offsets in (own["offsets"], expected.offsets)]
        apart += spans[0] != spans[1]
    assert apart <= 0.01 * len(texts)  # characters that a normalizer makes a space and an accent


def test_letters_end_where_they_end_in_python(tmp_path):
    """Marks, jamo and what stands beside them in their blocks."""
    chance = random.Random(0)
    odd = "a e\u0301\u0bc6\u0bbe\u0903\u200d\ufe0f\u1100\u1160\u11a8\u11ff\u1200\u20dd🙂\U000e0100"
    texts = ["".join(chance.choices(odd, k=8)) for _ in range(200)]
    (tmp_path / "text.js").write_text((SOURCES / "text.js").read_text(encoding="utf-8"), encoding="utf-8")
    code = """
    import { codePoints, letterEnd } from "./text.js";
    const ends = (points) => Array.from({ length: points.length + 1 }, (_, end) => letterEnd(points, end));
    console.log(JSON.stringify(given.map((text) => ends(codePoints(text)))));"""
    for text, own in zip(texts, in_node(tmp_path, code, texts), strict=True):
        for end in range(1, len(text) + 1):
            passage = Passage((), np.array([[0, end]], np.int32))
            assert len(text[: own[end]].rstrip()) == passage.characters(text, 0, 0)[1]


def random_texts(tokenizer: Any) -> list[str]:
    """Of scripts, accents, emoji, white space, special tokens and words."""
    chance = random.Random(0)
    ranges = [(0x20, 0x250), (0x20, 0x250), (0x300, 0x310), (0x620, 0x660), (0x905, 0x940), (0x1100, 0x11FF)]
    ranges += [(0xAC00, 0xAC30), (0x2000, 0x2060), (0x3040, 0x30FF), (0x4E00, 0x4E40), (0xFB00, 0xFB06)]
    ranges += [(0xFF01, 0xFF5E), (0x1F600, 0x1F640), (0x20000, 0x20010)]
    odd = [chr(code) for first, last in ranges for code in range(first, last)]
    odd = [one for one in odd if unicodedata.category(one) != "Cn"]
    pieces = [*" ".join(TEXTS).split(), *tokenizer.all_special_tokens, "  ", "\n\n", "e\u0301", "👩‍👩‍👧", "🇹🇷"]
    return [
        "".join(
            chance.choice(pieces) + chance.choice([" ", " ", "  ", "\t", "\n", ""])
            if chance.random() < 0.6
            else "".join(chance.choices(odd, k=chance.randint(1, 5)))
            for _ in range(chance.randint(0, 12))
        )
        for _ in range(1000)
    ]


def covered(text: str, offsets: Sequence[Sequence[int]]) -> list[str]:
    places = [(one, other) for one in range(len(offsets)) for other in range(one, min(one + 4, len(offsets)))]
    return [text[offsets[one][0] : offsets[other][1]].strip() for one, other in places]


@pytest.fixture
def modules(tmp_path):
    return Path(shutil.copytree(SOURCES, tmp_path / "modules"))


def test_words_of_random_text(modules):
    """Of all characters that this Python knows; browsers may know newer ones."""
    chance = random.Random(0)
    known = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
    odd = [one for one in known if one.isspace() or (unicodedata.category(one)[0] in "PSZC" and ord(one) < 0xE000)]
    joined = "ab.!❤👩🏫👍🏽\ufe0f\u200d\u200f\u200c\u0301\u20e3 "
    texts = ["".join(chance.choices(chance.choice([known, odd, "ab. ", joined]), k=12)) for _ in range(4000)]
    texts.append("".join(known))
    code = """import { codePoints, splitWords } from "./text.js";
    console.log(JSON.stringify(given.map((text) => splitWords(codePoints(text)))));"""
    for text, words in zip(texts, in_node(modules, code, texts), strict=True):
        assert [word["text"] for word in words] == split_words(text)
        assert all(text[word["start"] : word["end"]] == word["text"] for word in words)


def test_entities_of_random_tags(modules):
    chance = random.Random(0)
    tags = ["O", "PAD", *(f"{place}-{kind}" for place in "BIELSU" for kind in ("PER", "LOC"))]
    rows = [chance.choices(tags, k=chance.randint(0, 9)) for _ in range(2000)]
    code = """import { spans } from "./words.js";
    console.log(JSON.stringify(given.map(spans)));"""
    for row, found in zip(rows, in_node(modules, code, rows), strict=True):
        assert [tuple(one) for one in found] == spans(row)


def test_random_trees(modules):
    chance = np.random.default_rng(0)
    sizes = [int(size) for size in chance.integers(1, 30, 400)]
    scores = [chance.normal(size=(size, size + 1)).astype(np.float32).tolist() for size in sizes]
    scores += [chance.integers(0, 3, (size, size + 1)).tolist() for size in sizes]  # of equal ones the first
    code = """import { bestTree } from "./trees.js";
    console.log(JSON.stringify(given.map(bestTree)));"""
    for own, heads in zip(scores, in_node(modules, code, scores), strict=True):
        assert heads == best_tree(own).tolist()
