"""transformers.js in Node and a program in C++ run the int8 file, and say the same."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.loaders.checks import same_direction, same_labels, same_numbers, same_tags
from tests.loaders.folders import (
    EMBEDDING,
    FAMILIES,
    PAIRS,
    QUESTIONS,
    SHORT,
    TEXTS,
    encoded,
    mean_vector,
    outputs,
    softmax,
)
from tests.loaders.snippets import PAGE, snippet

import bistil

VERSIONS = ("4.3.2", "3.8.1")
CPP = "1.29.0"
HEADERS = "com.github.asus4.onnxruntime"  # has the headers and the library of that onnxruntime
ALL = [*(("4.3.2", name) for name in FAMILIES), *(("3.8.1", name) for name in FAMILIES if name != "EuroBERT")]
ANSWERING = [(version, name) for version, name in ALL if name not in ("ModernBERT", "mmBERT", "EuroBERT")]

pytestmark = [pytest.mark.loaders, pytest.mark.network]


def installed(folder: Path, package: str) -> Path:
    if shutil.which("npm") is None:
        pytest.skip("no npm on the PATH (https://nodejs.org; Debian and Ubuntu: apt install npm)")
    done = subprocess.run(
        [shutil.which("npm"), "install", "--no-audit", "--no-fund", "--prefix", str(folder), package],
        env=os.environ | {"ONNXRUNTIME_NODE_INSTALL": "skip", "ONNXRUNTIME_NODE_INSTALL_CUDA": "skip"},
        capture_output=True,
        encoding="utf-8",
    )
    if done.returncode and any(sign in done.stderr for sign in ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT")):
        pytest.skip("the npm registry cannot be reached")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """A function that runs a script beside a version of transformers.js, and gives what its last line says."""
    folders: dict[str, Path] = {}

    def run(version: str, code: str, folder: Path, given: object = None):
        if version not in folders:
            place = tmp_path_factory.mktemp(f"transformers.js-{version}")
            folders[version] = installed(place, f"@huggingface/transformers@{version}")
        file = folders[version] / "script.mjs"
        file.write_text(f"const given = {json.dumps(given)};\n{code}", encoding="utf-8")
        done = subprocess.run(["node", str(file)], cwd=folder, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


PIPELINES = """
const files = [tag, classify, embed].map((one) => one.model.sessions.model.config.dtype);
const [tags, labels, vectors] = [[], [], []];
for (const text of given) {
  tags.push(await tag(text, { ignore_labels: [] }));
  labels.push(await classify(text, { top_k: null }));
  vectors.push((await embed(text, { pooling: "mean", normalize: true })).tolist()[0]);
}
console.log(JSON.stringify({ files, tags, labels, vectors }));
"""


@pytest.mark.parametrize("asked", [None, "fp32"])
@pytest.mark.parametrize(("version", "name"), ALL)
def test_pipelines(version, name, asked, script, families):
    family = families(name)
    for model in ("pos", "topic", "student"):
        family.made(model)
    code = snippet("pipelines in JavaScript")
    if asked:
        code = code.replace('");\nawait', f'", {{ dtype: "{asked}" }});\nawait')
    found = script(version, code + PIPELINES, family.root, TEXTS)
    assert found["files"] == [asked or "q8"] * 3
    engine = "onnx" if asked else "int8"
    for text, own in zip(TEXTS, found["tags"], strict=True):
        same_tags(own, family.folder("pos"), engine, text, whole=False, legible=True)
    classify = bistil.load(family.folder("topic"), engine=engine)
    for text, own in zip(TEXTS, found["labels"], strict=True):
        folder = family.folder("topic")
        likely = softmax(outputs(folder, engine, encoded(folder, text, whole=False))["logits"][0])
        ranked = sorted(zip(classify.labels, likely.tolist(), strict=True), key=lambda pair: -pair[1])
        same_labels(own, dict(ranked))
        if text != TEXTS[-1]:
            same_labels(own, classify(text).probabilities)
    for text, own in zip(TEXTS, found["vectors"], strict=True):
        assert np.linalg.norm(own) == pytest.approx(1, abs=1e-4)
        same_direction(own, mean_vector(family.folder("student"), engine, text, whole=False))


EMBED = """
import { env, pipeline } from "@huggingface/transformers";
env.allowRemoteModels = false;
const embed = await pipeline("feature-extraction", "./runs/turkish/embedding");
const found = [];
for (const text of given) found.push((await embed(text, { pooling: "cls", normalize: true })).tolist()[0]);
console.log(JSON.stringify(found));
"""


@pytest.mark.parametrize(("version", "name"), ALL)
def test_sentence_embeddings(version, name, script, families):
    """Of texts that are not cut, for transformers.js cuts off the last special token, too."""
    folder = families(name).made(EMBEDDING)
    found = script(version, EMBED, families(name).root, [f"query: {text}" for text in SHORT])
    for text, own in zip(SHORT, found, strict=True):
        same_direction(own, bistil.load(folder, engine="int8").encode(text, "query"), least=0.999)


@pytest.mark.parametrize(("version", "name"), ANSWERING)
def test_questions(version, name, script, families):
    folder = families(name).made("qa")
    code = snippet("questions in JavaScript") + (
        "\nconst found = [];\nfor (const one of given) found.push(await find(...one));"
        "\nconsole.log(JSON.stringify(found));\n"
    )
    found = script(version, code, families(name).root, QUESTIONS)
    model = bistil.load(folder, engine="int8")
    for (question, context), own in zip(QUESTIONS, found, strict=True):
        answer = model({"question": question, "context": context})
        assert squeezed(own["answer"]) == squeezed(answer.text)
        encoding = encoded(folder, question, context)
        inside = np.array([part == 1 for part in encoding.sequence_ids])
        given = outputs(folder, "int8", encoding)
        starts, ends = (
            softmax(np.where(inside | (np.arange(len(inside)) == 0), given[name][0], -np.inf))
            for name in ("start_logits", "end_logits")
        )
        best = np.triu(np.outer(starts * inside, ends * inside)).max()
        assert own["score"] == pytest.approx(best, abs=1e-3)


def squeezed(text: str) -> str:
    """Without spaces, which a decoder of pieces puts where it likes, and its mark of a word that goes on."""
    return "".join(text.replace("##", "").split())


@pytest.mark.parametrize(("version", "name"), ALL)
def test_pairs(version, name, script, families):
    family = families(name)
    folder = family.made("topic")
    code = snippet("pairs in JavaScript").replace("/nli", "/topic") + (
        "\nconst found = [];\nfor (const one of given) found.push(Array.from(await compare(...one)));"
        "\nconsole.log(JSON.stringify([found, model.config.id2label]));\n"
    )
    found, labels = script(version, code, family.root, PAIRS)
    model = bistil.load(folder, engine="int8")
    for (text, pair), own in zip(PAIRS, found, strict=True):
        expected = model({"text": text, "text_pair": pair}).probabilities
        shares = {labels[str(number)]: share for number, share in enumerate(own)}
        assert shares == pytest.approx(expected, abs=1e-3)


WEB = """
import * as ort from "onnxruntime-web";
import { readFileSync } from "node:fs";
const file = readFileSync("runs/turkish/tasks/pos/onnx/model_quantized.onnx");
const session = await ort.InferenceSession.create(file);
const found = [];
for (const values of given) {
  const tensors = Object.entries(values).filter(([name]) => session.inputNames.includes(name));
  const row = (own) => new ort.Tensor("int64", BigInt64Array.from(own.map(BigInt)), [1, own.length]);
  const { logits } = await session.run(Object.fromEntries(tensors.map(([name, own]) => [name, row(own)])));
  found.push(Array.from(logits.data));
}
console.log(JSON.stringify(found));
"""


@pytest.mark.parametrize(("version", "name"), ALL)
def test_webassembly(version, name, script, families):
    """What transformers.js runs in a browser."""
    folder = families(name).made("pos")
    encodings = [encoded(folder, text) for text in TEXTS]
    values = [
        {"input_ids": one.ids, "attention_mask": one.attention_mask, "token_type_ids": one.type_ids}
        for one in encodings
    ]
    for own, encoding in zip(script(version, WEB, families(name).root, values), encodings, strict=True):
        same_numbers(own, outputs(folder, "int8", encoding)["logits"], "int8")


TRY = """
import { pipeline, env } from "@huggingface/transformers";
env.allowRemoteModels = false;
const said = await pipeline(...given).then(() => "loaded", (error) => String(error));
console.log(JSON.stringify(said));
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_what_it_does_not_know(version, script, families):
    parser = families("XLM-R").made("parsing", exported=False)
    assert script(version, TRY, parser, ["token-classification", str(parser)]) != "loaded"
    asked = families("ModernBERT").made("qa", exported=False)
    said = script(version, TRY, asked, ["question-answering", str(asked)])
    assert "Unsupported model type: modernbert" in said
    tagger = families("EuroBERT").made("pos")
    said = script(version, TRY, tagger, ["token-classification", str(tagger)])
    assert said == "loaded" if version == "4.3.2" else "Unsupported model type: eurobert" in said
    student = families("EuroBERT").made("student")
    assert script(version, TRY, student, ["feature-extraction", str(student)]) == "loaded"


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the library is that of Linux on x86-64"
)
def test_cpp(families, tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("no g++ on the PATH (Debian and Ubuntu: apt install g++)")
    package = installed(tmp_path, f"{HEADERS}@0.4.9") / "node_modules" / HEADERS / "Plugins"
    (headers,) = package.glob("iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers")
    library = tmp_path / "onnxruntime"  # as the archive of a release
    (library / "lib").mkdir(parents=True)
    (library / "include").symlink_to(headers)
    for link in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (library / "lib" / link).symlink_to(package / "Linux/x64/libonnxruntime.so")
    assert f"#define ORT_API_VERSION {CPP.split('.')[1]}\n" in (headers / "onnxruntime_c_api.h").read_text()
    (tmp_path / "logits.cpp").write_text(snippet("C++"), encoding="utf-8")
    compiled, called = snippet("compiling C++").splitlines()
    subprocess.run(compiled, shell=True, cwd=tmp_path, check=True)
    assert called == "LD_LIBRARY_PATH=onnxruntime/lib ./logits 0 5 17 2"
    for name in FAMILIES:
        folder = families(name).made("pos")
        for text in TEXTS:
            encoding = encoded(folder, text)
            found = subprocess.run(
                [str(tmp_path / "logits"), *map(str, encoding.ids)],
                cwd=families(name).root,
                env=os.environ | {"LD_LIBRARY_PATH": str(library / "lib")},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            rows = [[float(number) for number in row.split()] for row in found.splitlines()]
            same_numbers(rows, outputs(folder, "int8", encoding)["logits"][0], "int8")


def test_the_page_names_what_was_tried():
    rows = [row for row in PAGE.read_text(encoding="utf-8").splitlines() if row.startswith("| ")]
    for loader, versions in (("transformers.js in Node", VERSIONS), ("onnxruntime in C++", (CPP,))):
        assert [row.split(" | ")[1] for row in rows if row.startswith(f"| {loader} |")] == list(versions)
