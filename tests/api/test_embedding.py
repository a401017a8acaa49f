"""Sentence embeddings from text to vectors: what is distilled, and who loads it; sentence-transformers beside."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tests import tiny
from tests.test_light_install import BASE, said
from transformers import AutoModel, AutoTokenizer

import bistil
from bistil import BistilError
from bistil.api.model import load_task
from bistil.cli import main
from bistil.exporting.push import uploads
from bistil.pipeline.runs import distill
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.runtime.pooling import Pooling
from bistil.tasks import saved

LINES = tiny.lines()
TEXTS = [*LINES["tr"][150:170], *LINES["en"][150:170], "kedi", " ".join(LINES["tr"][:30])]
PROMPTS = {"query": "query: ", "passage": "passage: "}
SMALL = {
    "sequence_length": 32,
    "learning_rate": 3e-3,
    "progress": False,
    "embeddings": True,
    "vector_weight": 1.0,
    "similarity_weight": 1.0,
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, tiny_tokenizer):
    """As the tiny one, with prompts and a shorter input."""
    folder = tiny.teacher(tmp_path_factory.mktemp("embedding") / "teacher", tiny_tokenizer)
    Pooling(prompts=PROMPTS, max_seq_length=64).save(folder, 32)
    return folder


@pytest.fixture(scope="module")
def student(teacher):
    """Distilled, and exported."""
    made = bistil.distill(
        teacher, text=LINES, output_dir=teacher.parent / "student", layers=2, tokens=40_000, **SMALL
    )
    bistil.export(made, progress=False)
    return made


def test_its_vectors_come_nearer_to_the_teachers(student, teacher):
    (curve,) = student.output_dir.glob("stages/distill-*/distillation.json")
    rows = json.loads(curve.read_text())["curve"]
    assert rows[-1]["en"] < 0.7 * rows[0]["en"]
    assert rows[-1]["tr"] < 0.7 * rows[0]["tr"]
    (dropped,) = student.output_dir.glob("stages/undistilled-*/student")
    Pooling.of(student.output_dir).save(dropped, 32)
    wanted, before, after = (bistil.load(one).encode(TEXTS) for one in (teacher, dropped, student))
    assert (after * wanted).sum(1).mean() > (before * wanted).sum(1).mean() + 0.1
    pairs = np.triu_indices(len(TEXTS), 1)
    alike = [np.corrcoef((found @ found.T)[pairs], (wanted @ wanted.T)[pairs])[0, 1] for found in (before, after)]
    assert alike[1] > alike[0] + 0.05


@pytest.mark.parametrize("engine", ["torch", "onnx"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prompt_name": "query"},
        {"prompt": "passage: "},
        {"truncate_dim": 8},
        {"truncate_dim": 8, "normalize_embeddings": True},
        {"batch_size": np.int64(3)},
    ],
)
def test_vectors_are_those_of_sentence_transformers(student, engine, options):
    model, other = bistil.load(student, engine=engine), SentenceTransformer(str(student), device="cpu")
    found, expected = model.encode(TEXTS, **options), other.encode(TEXTS, **options)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(model.encode(TEXTS[0], **options), expected[0], atol=2e-5)
    assert model.max_seq_length == other.max_seq_length == 64
    assert model.dimensions == other.get_sentence_embedding_dimension() == 32


@pytest.mark.parametrize("options", [{}, {"truncate_dim": 8}, {"normalize_embeddings": np.bool_(True)}])
def test_vectors_of_a_model_that_does_not_normalise(teacher, tmp_path, options):
    shutil.copytree(teacher, tmp_path / "model")
    Pooling("mean", False, PROMPTS).save(tmp_path / "model", 32)
    found = bistil.load(tmp_path / "model").encode(TEXTS, **options)
    expected = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(TEXTS, **options)
    assert (np.abs(np.linalg.norm(expected, axis=1) - 1).max() < 1e-5) == bool(options.get("normalize_embeddings"))
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_vectors_are_those_of_plain_transformers(student):
    tokenizer, encoder = AutoTokenizer.from_pretrained(student), AutoModel.from_pretrained(student).eval()
    for text in TEXTS[:40]:
        with torch.inference_mode():
            states = encoder(**tokenizer(f"query: {text}", return_tensors="pt")).last_hidden_state[0]
        vector = states.mean(0) / states.mean(0).norm()
        np.testing.assert_allclose(
            bistil.load(student, engine="onnx").encode(text, "query"), vector.numpy(), atol=1e-4
        )


def test_vectors_need_no_torch(student, tmp_path):
    code = f"{BASE}\nimport bistil\nprint(bistil.load({str(student)!r}).encode('kedi').shape)"
    assert said(code, tmp_path)[-1] == "(32,)"


def test_int8_points_where_float32_does(student):
    report = json.loads((student.output_dir / "export.json").read_text())
    assert set(report["agreement"]) == {"en", "tr"}
    assert bistil.load(student).network.file.name == "model_quantized.onnx"
    cosines = (bistil.load(student).encode(TEXTS) * bistil.load(student, engine="onnx").encode(TEXTS)).sum(1)
    assert cosines.mean() > 0.995


def test_the_tokens_of_prompts_are_kept(student, teacher):
    ours, whole = (AutoTokenizer.from_pretrained(folder) for folder in (student, teacher))
    for prompt in PROMPTS.values():
        assert ours.tokenize(prompt + "kitap") == whole.tokenize(prompt + "kitap")


def test_a_copy_with_its_files_is_exported_and_uploaded(student, tmp_path):
    bistil.export(student, tmp_path / "copy", quantize=None, text={"tr": TEXTS}, progress=False)
    names = {one.name for one in uploads(tmp_path / "copy")}
    assert {"modules.json", "1_Pooling/config.json", "config_sentence_transformers.json"} <= names
    np.testing.assert_allclose(
        bistil.load(tmp_path / "copy").encode("kedi"), bistil.load(student).encode("kedi"), atol=0.1
    )


def test_the_card_says_how_it_is_used(student):
    card = (student.output_dir / "README.md").read_text(encoding="utf-8")
    for words in (
        "library_name: sentence-transformers",
        "pipeline_tag: sentence-similarity",
        "- feature-extraction",
        'model = SentenceTransformer("OWNER/NAME")',
        'model.encode(["A text in Turkish."], prompt_name="query")',
        '`passage` puts "passage: " before a text',
        "hidden states, attention, sentence embeddings and similarities of texts on",
    ):
        assert words in card


def test_prompts_are_given_where_the_teachers_files_lack_them(teacher, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(teacher, bare, ignore=shutil.ignore_patterns("*sentence*", "modules.json", "1_Pooling"))
    given = {"text": LINES, "output_dir": tmp_path / "student", "layers": 2, "tokens": 1_000}
    made = bistil.distill(bare, **given, **SMALL, prompts=PROMPTS)
    (distilled,) = made.output_dir.glob("stages/distill-*/student")
    assert Pooling.of(made.output_dir).prompts == Pooling.of(distilled).prompts
    assert Pooling.of(distilled).prompts == {**PROMPTS, "document": PROMPTS["passage"]}
    ours, whole = (AutoTokenizer.from_pretrained(folder) for folder in (made.output_dir, bare))
    assert ours.tokenize("passage: kitap") == whole.tokenize("passage: kitap")
    with pytest.raises(BistilError, match=r"prompts are for embeddings"):
        bistil.distill(bare, text=LINES, output_dir=tmp_path / "other", prompts=PROMPTS, progress=False)


@pytest.mark.slow
def test_nothing_of_another_model_stays_in_the_folder(teacher, tmp_path):
    given = {"text": LINES, "output_dir": tmp_path, "layers": 2, "tokens": 1_000}
    bistil.export(bistil.distill(teacher, **given, **SMALL), progress=False)
    bistil.distill(teacher, **given, **SMALL)
    assert saved.engines(tmp_path)[0] == "int8"  # the same model keeps its files
    bistil.distill(teacher, **given, sequence_length=16, progress=False)
    assert saved.engines(tmp_path) == ("torch",)
    assert not saved.is_embedding_model(tmp_path)
    assert not (tmp_path / "export.json").exists()


def test_a_file_of_the_users_own_is_not_taken_for_another_models(teacher, tmp_path):
    given = {"text": LINES, "output_dir": tmp_path, "layers": 2, "tokens": 1_000, **SMALL}
    bistil.distill(teacher, **given)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx/model.onnx").write_text("mine")
    with pytest.raises(BistilError, match=r"model\.onnx was not written by bistil"):
        bistil.distill(teacher, **{**given, "layers": 3})
    assert (tmp_path / "onnx/model.onnx").read_text() == "mine"


def test_a_trimmed_teacher_still_makes_embeddings(teacher, tmp_path):
    bistil.trim(teacher, text=LINES, output_dir=tmp_path / "trimmed", progress=False)
    found, expected = (bistil.load(one).encode(TEXTS, "passage") for one in (tmp_path / "trimmed", teacher))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_predict_writes_a_vector_a_line(student, tmp_path, capsys, monkeypatch):
    texts = ["query: kedi", "query: bir öğrenci"]
    rows = "".join(f"{json.dumps({'text': text, 'id': 3})}\n" for text in texts)
    monkeypatch.setattr("sys.stdin", io.StringIO(rows))
    (tmp_path / "texts.txt").write_text("\ufeff" + "\n".join(texts) + "\n\n", encoding="utf-8")
    (tmp_path / "texts.JSONL").write_text(rows, encoding="utf-8")
    table = pd.DataFrame({"id": 3, "text": texts})
    table.to_csv(tmp_path / "texts.csv", index=False)
    table.to_csv(tmp_path / "texts.tsv", sep="\t", index=False)
    table.to_parquet(tmp_path / "texts.parquet")
    expected = bistil.load(student, engine="onnx").encode(texts)
    for file in (*(tmp_path / f"texts.{kind}" for kind in ("txt", "JSONL", "csv", "tsv", "parquet")), "-"):
        with pytest.raises(SystemExit, match="0"):
            main(["predict", str(student), str(file), "--engine", "onnx"])
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "vectors", "told"),
    [
        ("a.txt", "kedi\n \nköpek\n", 1, r"a.txt, line 2: it is blank. Give a text, or leave"),
        ("a.jsonl", '{"text": "kedi"}\n\n\n{"text": "köpek"}\n', 1, r"a.jsonl, line 2: it is blank"),
        ("a.jsonl", '{"text": "kedi"}\n{"txt": "a"}\n', 1, "the line given: there is no 'text'; there are 'txt'"),
        ("a.jsonl", '{"text": "kedi"}\n{"text": 3}\n', 1, "a.jsonl, line 2: the line given has 3 as 'text'"),
        ("a.csv", "text,id\nkedi,1\nköpek\n", 1, "a.csv, line 3 has 1 columns where the header has 2"),
        ("a.tsv", "id\ttxt\n1\tkedi\n", 0, "a.tsv, line 2: there is no 'text'; there are 'id', 'txt'"),
        ("a.json", '["kedi"]', 0, "a.json: rows are read from .jsonl, .tsv, .csv, .parquet, not from '.json'"),
        ("a.conllu", "1\tkedi\n", 0, "not from '.conllu'"),
    ],
)
def test_predict_has_a_vector_for_every_text_or_says_why_not(
    name, content, vectors, told, student, tmp_path, capsys
):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert main(["predict", str(student), str(tmp_path / name)]) == 2
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == vectors
    assert told in said.err


def test_a_recipe_publishes_a_student_that_sentence_transformers_opens(teacher, tmp_path):
    for language, lines in LINES.items():
        (tmp_path / f"{language}.txt").write_text("\n".join(lines))
    recipe = Recipe.checked(
        {
            "name": "tiny",
            "teacher": str(teacher),
            "source": {"language": "en", "text": str(tmp_path / "en.txt")},
            "target": {"language": "tr", "text": str(tmp_path / "tr.txt")},
            "student": {"layers": 2, "hidden_size": 16},
            "distill": {"embeddings": True, "tokens": 2000, "sequence_length": 32},
            "out": tmp_path / "out",
        },
        where="test",
    )
    assert (recipe.distill.batch, recipe.distill.masked) == (32, 0)
    distill(recipe, Progress.shown(False))
    expected = SentenceTransformer(str(tmp_path / "out/student"), device="cpu").encode(TEXTS)
    assert expected.shape == (len(TEXTS), 16)
    np.testing.assert_allclose(bistil.load(tmp_path / "out/student").encode(TEXTS), expected, atol=1e-5)


def test_without_embeddings_a_recipe_knows_nothing_of_them(recipe_file):
    known = Recipe.load(recipe_file).distill.known
    assert not {"embeddings", "vector_weight", "similarity_weight"} & known.keys()
    assert known["mlm_probability"] == 0.15


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: model.encode(["a", 3]), r"texts\[1\] is of the type int"),
        (lambda model: model.encode(None), "texts is None"),
        (lambda model: model.encode(np.array("abc")), "texts is of the type ndarray"),
        (lambda model: model.encode(np.array([["a", "b"]])), r"texts\[0\] is of the type ndarray"),
        (
            lambda model: model.encode(pd.DataFrame({"text": ["kedi"]})),
            r"texts is a table of the type DataFrame. Give its texts: table\['text'\].tolist\(\)",
        ),
        (lambda model: model.encode(["ok", "\ud83d"]), r"texts\[1\]: \\ud83d is half of a character"),
        (lambda model: model.encode("\ud83d"), "is half of a character"),
        (lambda model: model.encode("a", "search"), "no prompt 'search'"),
        (lambda model: model.encode("a", ["x"]), r"no prompt \['x'\]"),
        (lambda model: model.encode("a", prompt=5), "prompt is of the type int"),
        *(
            (
                lambda model, most=most: model.encode("a", truncate_dim=most),
                f"{most!r}. Give a whole number from 1 to",
            )
            for most in (33, 2.5, "8", 0)
        ),
        *(
            (lambda model, size=size: model.encode("a", batch_size=size), f"batch_size is {size}")
            for size in (0, 2.5, None)
        ),
        (lambda model: model.encode("a", normalize_embeddings="no"), "normalize_embeddings is 'no'"),
        (lambda model: bistil.compare(model, model, test=[]), "test is empty"),
        (load_task, "is a sentence embedding model, which has no task"),
    ],
)
def test_wrong_calls(call, words, student):
    with pytest.raises(BistilError, match=words):
        call(bistil.load(student))


def test_no_texts_and_texts_of_nothing(student):
    model = bistil.load(student, engine="onnx")
    assert model.encode([]).shape == (0, 32)
    np.testing.assert_allclose(np.linalg.norm(model.encode(["", " "]), axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("setting", [{"stream": True}, {"temperature": 2.0}])
def test_what_is_for_blocks_alone(setting, teacher, tmp_path):
    with pytest.raises(BistilError, match="is for packed blocks, and embeddings learns from whole lines"):
        bistil.distill(teacher, text=LINES, output_dir=tmp_path, **SMALL, **setting)
