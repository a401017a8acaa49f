"""Pooling and its files against sentence-transformers: each reads what the other writes."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

from bistil.api.model import load
from bistil.errors import BistilError
from bistil.runtime import pooling
from bistil.runtime.pooling import normalized

PROMPTS = {"query": "query: ", "passage": "passage: "}
MODES = pytest.mark.parametrize("mode", ["mean", "cls", "lasttoken"])


@pytest.fixture
def theirs(tiny_teacher, tmp_path):
    """A function that saves a model as sentence-transformers does, and gives its folder."""

    def save(mode="mean", normalize=True, **settings):
        modules = [Transformer(str(tiny_teacher), max_seq_length=32), Pooling(32, mode)]
        model = SentenceTransformer(modules=modules + [Normalize()] * normalize, device="cpu", **settings)
        model.save(str(tmp_path / "theirs"))
        return tmp_path / "theirs"

    return save


@MODES
def test_pools_as_sentence_transformers_does(mode):
    states = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])
    expected = Pooling(4, mode)({"token_embeddings": states, "attention_mask": mask})["sentence_embedding"].numpy()
    ours = pooling.Pooling(mode)
    np.testing.assert_allclose(ours(states.numpy(), mask.numpy()), expected, rtol=1e-6)
    np.testing.assert_allclose(ours(states, mask).numpy(), expected, rtol=1e-6)


@MODES
@pytest.mark.parametrize("normalize", [True, False])
def test_reads_what_sentence_transformers_writes(mode, normalize, theirs):
    folder = theirs(mode, normalize, prompts=PROMPTS, default_prompt_name="query")
    found = pooling.Pooling.of(folder)
    assert (found.mode, found.normalize) == (mode, normalize)
    assert load(folder).max_seq_length == 32  # it is in the tokenizer's configuration
    assert PROMPTS.items() <= found.prompts.items()
    assert found.prompt() == found.prompt("query") == "query: "


@MODES
@pytest.mark.parametrize("normalize", [True, False])
def test_writes_what_sentence_transformers_and_it_itself_reads(mode, normalize, theirs, tmp_path):
    folder = theirs()
    written = pooling.Pooling(mode, normalize, PROMPTS, "passage", 24)
    written.save(folder, 32)
    assert set(written.files(32)) == set(pooling.FILES)
    assert pooling.Pooling.of(folder) == replace(written, prompts={**PROMPTS, "document": "passage: "})
    model = SentenceTransformer(str(folder), device="cpu")
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling", "Normalize"][: 2 + normalize]
    assert (model[1].pooling_mode, model.max_seq_length, model.default_prompt_name) == (mode, 24, "passage")
    assert PROMPTS.items() <= model.prompts.items()
    np.testing.assert_array_equal(model.encode_document("kedi"), model.encode("kedi", prompt_name="passage"))


def test_a_prompt_document_stays_as_it_is():
    own = {"passage": "passage: ", "document": ""}
    assert json.loads(pooling.Pooling(prompts=own).files(32)[pooling.PROMPTS])["prompts"] == own


def test_a_plain_folder_is_pooled_by_the_mean(tmp_path):
    assert pooling.Pooling.of(tmp_path) == pooling.Pooling("mean", True, {}, None, None)
    assert pooling.Pooling.known(tmp_path) is None


def test_normalized():
    np.testing.assert_allclose(normalized(np.array([[3, 4], [0, 0]], dtype=np.float32)), [[0.6, 0.8], [0, 0]])
    assert normalized(np.ones((1, 2), dtype=np.float32)).dtype == np.float32


def changed(folder, name, change):
    path = folder / name
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def with_dense(modules):
    return [*modules, {"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"}]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("modules.json", with_dense, "has the modules Transformer, Pooling, Normalize, Dense"),
        ("modules.json", lambda modules: {}, "is not what sentence-transformers writes"),
        ("1_Pooling/config.json", lambda one: one | {"pooling_mode": "max"}, "pools by max. Choose a model"),
        ("1_Pooling/config.json", lambda one: one | {"pooling_mode": ["cls", "mean"]}, "pools by cls and mean"),
        ("1_Pooling/config.json", lambda one: one | {"include_prompt": False}, "leaves prompts out"),
        ("1_Pooling/config.json", lambda one: one | {"pooling_mode": 5}, "pools by 5"),
        ("1_Pooling/config.json", lambda one: one | {"pooling_mode": {"a": 1}}, r"pools by \{'a': 1\}"),
        ("sentence_bert_config.json", lambda one: one | {"do_lower_case": True}, "lowers the case"),
        *(
            (
                "sentence_bert_config.json",
                lambda one, most=most: one | {"max_seq_length": most},
                f"has {most!r} as",
            )
            for most in ("64", 64.5, -1, 0, True)
        ),
        *(
            (
                pooling.PROMPTS,
                lambda one, own=own: one | own,
                r" as '(prompts|default_prompt_name)'\. Fetch the model",
            )
            for own in ({"prompts": ["q"]}, {"prompts": {"q": 5}}, {"default_prompt_name": ["x"]})
        ),
    ],
)
def test_what_it_does_not_run_is_named(name, change, words, theirs):
    folder = theirs()
    changed(folder, name, change)
    with pytest.raises(BistilError, match=words):
        pooling.Pooling.of(folder)
    assert pooling.Pooling.known(folder) is None


@pytest.mark.parametrize("name", ["search", ["query"]])
def test_a_prompt_that_there_is_not(name):
    with pytest.raises(BistilError, match=rf"no prompt {re.escape(repr(name))}; the model has 'query', 'passage'"):
        pooling.Pooling(prompts=PROMPTS).prompt(name)
