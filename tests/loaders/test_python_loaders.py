"""transformers 4.57 and 5, sentence-transformers and fastembed load what bistil writes, and say the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.docs.pages import ROOT
from tests.loaders.checks import same_direction, same_labels, same_tags
from tests.loaders.folders import EMBEDDING, FAMILIES, PAIRS, QUESTIONS, TEXTS, encoded, mean_vector, outputs
from tests.loaders.snippets import PAGE, snippet

import bistil

SENTENCE_TRANSFORMERS, FASTEMBED, OLDER = "5.7.0", "0.9.1", "4.57.6"
PACKAGES = (
    f"transformers=={OLDER}",
    f"sentence-transformers[onnx]=={SENTENCE_TRANSFORMERS}",
    "optimum-onnx==0.1.0",
)
PACKAGES += (f"fastembed=={FASTEMBED}",)
IN_OLDER = [name for name in FAMILIES if name != "EuroBERT"]
IN_BOTH = [*((OLDER, name) for name in IN_OLDER), *(("5", name) for name in FAMILIES)]
ANSWERING = [name for name in FAMILIES if name != "EuroBERT"]  # of which transformers has no such head
GIVEN = {"texts": TEXTS, "pairs": PAIRS, "questions": QUESTIONS}

pytestmark = [pytest.mark.loaders, pytest.mark.network]


def run(
    python: Path | str, code: str, calls: list[str], folders: list[Path], **environment: str
) -> dict[str, list]:
    job = {"code": code, "calls": calls, "given": GIVEN, "folders": [str(folder) for folder in folders]}
    done = subprocess.run(
        [str(python), str(Path(__file__).with_name("run_python.py"))],
        input=json.dumps(job),
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list] = json.loads(done.stdout.splitlines()[-1])
    return found


def installed(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and ("Retrying (" in done.stdout + done.stderr or "No module named pip" in done.stderr):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """An environment with transformers 4.57, sentence-transformers with ONNX, and fastembed."""
    folder = tmp_path_factory.mktemp("older") / "env"
    installed(sys.executable, "-m", "venv", str(folder))
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    installed(str(python), str(ROOT / "scripts/install_torch.py"))
    installed(str(python), "-m", "pip", "install", "--quiet", *PACKAGES)
    return python


@pytest.fixture(scope="module")
def python_of(request):
    """The Python that has a version of transformers: this one has 5."""
    return lambda version: sys.executable if version == "5" else request.getfixturevalue("older")


@pytest.fixture(scope="module")
def piped(families, python_of):
    """What the pipelines of each version of transformers give, by family."""
    calls = [
        "[tag(text, ignore_labels=[]) for text in given['texts']]",
        "[classify(text, truncation=True, top_k=None) for text in given['texts']]",
        "[classify({'text': a, 'text_pair': b}, truncation=True, top_k=None) for a, b in given['pairs']]",
        "[embed(text, truncation=True)[0] for text in given['texts']]",
    ]
    found = {}
    for version in (OLDER, "5"):
        roots = {}
        for name in IN_OLDER if version == OLDER else FAMILIES:
            for model in ("pos", "topic", "student"):
                families(name).made(model, exported=False)
            roots[name] = families(name).root
        given = run(python_of(version), snippet("pipelines"), calls, list(roots.values()))
        found |= {(version, name): given[str(root)] for name, root in roots.items()}
    return found


@pytest.mark.parametrize(("version", "name"), IN_BOTH)
def test_pipelines_of_transformers(version, name, piped, families):
    found, family = piped[version, name], families(name)
    assert isinstance(found, list), found
    tags, labels, pairs, states = found
    for text, own in zip(TEXTS, tags, strict=True):
        same_tags(own, family.folder("pos"), "torch", text)
    classify = bistil.load(family.folder("topic"), engine="torch")
    for text, own in zip(TEXTS, labels, strict=True):
        same_labels(own, classify(text).probabilities)
    for (text, pair), own in zip(PAIRS, pairs, strict=True):
        same_labels(own, classify({"text": text, "text_pair": pair}).probabilities)
    for text, own in zip(TEXTS, states, strict=True):
        folder = family.folder("student")
        expected = outputs(folder, "torch", encoded(folder, text))["last_hidden_state"][0]
        np.testing.assert_allclose(own, expected, atol=1e-4)


def answers(name, families, engine):
    folder = families(name).folder("qa")
    model = bistil.load(folder, engine=engine)
    return [model({"question": question, "context": context}) for question, context in QUESTIONS]


@pytest.mark.parametrize("version", [OLDER, "5"])
def test_questions_without_a_pipeline(version, python_of, families):
    roots = {name: families(name).made("qa", exported=False).parents[3] for name in ANSWERING}
    calls = ["[answer(*one) for one in given['questions']]"]
    found = run(python_of(version), snippet("questions, without a pipeline"), calls, list(roots.values()))
    for name, root in roots.items():
        assert found[str(root)] == [[one.text for one in answers(name, families, "torch")]], name


def test_questions_in_the_pipeline_of_4_57(older, families):
    roots = {name: families(name).made("qa", exported=False).parents[3] for name in ANSWERING}
    calls = ["[find(question=question, context=context) for question, context in given['questions']]"]
    found = run(older, snippet("questions"), calls, list(roots.values()))
    for name, root in roots.items():
        for own, expected in zip(found[str(root)][0], answers(name, families, "torch"), strict=True):
            assert own["answer"].strip() == expected.text, name


def test_questions_have_no_pipeline_in_5(families):
    root = families("BERT").made("qa", exported=False).parents[3]
    assert (
        "question-answering has been removed" in run(sys.executable, snippet("questions"), [], [root])[str(root)]
    )


@pytest.mark.parametrize("version", [OLDER, "5"])
def test_a_parser_is_refused(version, python_of, families):
    """Rather than loaded under a head that knows nothing."""
    folder = families("XLM-R").made("parsing", exported=False)
    code = f"from transformers import pipeline\npipeline('token-classification', {str(folder)!r})"
    assert "bistil-parser" in run(python_of(version), code, [], [folder])[str(folder)]


ENCODE = ["[model.encode([text])[0] for text in given['texts']]"]


@pytest.mark.parametrize("code", ["sentence-transformers", "sentence-transformers, ONNX"])
def test_sentence_transformers(code, older, families):
    engine = "int8" if "ONNX" in code else "torch"
    roots = {name: families(name).made("student", exported=engine == "int8").parents[2] for name in IN_OLDER}
    found = run(older, snippet(code), ENCODE, list(roots.values()))
    for name, root in roots.items():
        assert isinstance(found[str(root)], list), (name, found[str(root)])
        for text, vector in zip(TEXTS, found[str(root)][0], strict=True):
            expected = mean_vector(families(name).folder("student"), engine, text)
            np.testing.assert_allclose(vector, expected, atol=1e-3, err_msg=name)


def test_sentence_transformers_with_transformers_5(families, tmp_path):
    """Which is here, put before what it pins."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "packages"))
    installed(*pip, f"sentence-transformers=={SENTENCE_TRANSFORMERS}")
    roots = {name: families(name).made("student", exported=False).parents[2] for name in FAMILIES}
    packages = {"PYTHONPATH": str(tmp_path / "packages")}
    found = run(sys.executable, snippet("sentence-transformers"), ENCODE, list(roots.values()), **packages)
    for name, root in roots.items():
        assert isinstance(found[str(root)], list), (name, found[str(root)])
        for text, vector in zip(TEXTS, found[str(root)][0], strict=True):
            expected = mean_vector(families(name).folder("student"), "torch", text)
            np.testing.assert_allclose(vector, expected, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("code", ["sentence-transformers", "sentence-transformers, ONNX"])
def test_sentence_embeddings(code, older, families):
    """With pooling and prompts of their own, by the code of plain students."""
    engine = "int8" if "ONNX" in code else "torch"
    roots = {name: families(name).made(EMBEDDING, exported=engine == "int8").parents[2] for name in IN_OLDER}
    calls = ["[model.encode([text], prompt_name='query')[0] for text in given['texts']]"]
    found = run(older, snippet(code).replace("/student", f"/{EMBEDDING}"), calls, list(roots.values()))
    for name, root in roots.items():
        assert isinstance(found[str(root)], list), (name, found[str(root)])
        model = bistil.load(families(name).folder(EMBEDDING), engine=engine)
        for text, vector in zip(TEXTS, found[str(root)][0], strict=True):
            np.testing.assert_allclose(vector, model.encode(text, "query"), atol=1e-3, err_msg=name)


@pytest.mark.parametrize("name", FAMILIES)
def test_sentence_embeddings_in_fastembed(name, older, families):
    folder = families(name).made(EMBEDDING)
    for engine, file in (("int8", "model_quantized.onnx"), ("onnx", "model.onnx")):
        code = snippet("fastembed").replace("model_quantized.onnx", file).replace("/student", f"/{EMBEDDING}")
        code = code.replace("PoolingType.MEAN", "PoolingType.CLS")
        calls = ["[next(iter(model.embed([f'query: {text}']))) for text in given['texts']]"]
        found = run(older, code, calls, [folder.parents[2]])[str(folder.parents[2])]
        assert isinstance(found, list), found
        for text, vector in zip(TEXTS, found[0], strict=True):
            same_direction(vector, bistil.load(folder, engine=engine).encode(text, "query"))


@pytest.mark.parametrize("name", FAMILIES)
def test_fastembed(name, older, families):
    folder = families(name).made("student")
    for engine, file in (("int8", "model_quantized.onnx"), ("onnx", "model.onnx")):
        code = snippet("fastembed").replace("model_quantized.onnx", file)
        found = run(
            older, code, ["[next(iter(model.embed([text]))) for text in given['texts']]"], [folder.parents[2]]
        )
        vectors = found[str(folder.parents[2])]
        assert isinstance(vectors, list), vectors
        for text, vector in zip(TEXTS, vectors[0], strict=True):
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
            same_direction(vector, mean_vector(folder, engine, text))


def test_the_page_names_what_was_tried():
    rows = [row for row in PAGE.read_text(encoding="utf-8").splitlines() if row.startswith("| ")]
    for loader, version in (("transformers", OLDER), ("sentence-transformers", SENTENCE_TRANSFORMERS)):
        assert any(row.startswith(f"| {loader} | {version} |") for row in rows)
    assert any(row.startswith(f"| fastembed | {FASTEMBED} |") for row in rows)
