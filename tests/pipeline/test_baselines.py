"""The baselines of a run on tiny models: what each is made of, and that it is measured like the student."""

import io
import json

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from bistil.corpora.blocks import load_blocks, pack, save_blocks
from bistil.corpora.masked import MaskedBlocks
from bistil.corpora.masking import Masking
from bistil.pipeline.baselines import TITLES
from bistil.pipeline.runs import run
from bistil.progress import Progress
from bistil.recipe.parts import BASELINES
from bistil.recipe.recipe import Recipe
from bistil.training.scratch import train_from_scratch
from bistil.training.trainer import arguments


@pytest.fixture(scope="module")
def finished(tiny_teacher, tiny_lines, tmp_path_factory):
    """A run with every baseline; the third language has few words; another model is the teacher itself."""
    folder = tmp_path_factory.mktemp("baselines")
    few = [" ".join(line.split()[-2:]) for line in tiny_lines["tr"]]
    for language, lines in {**tiny_lines, "az": few}.items():
        (folder / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
    for language, lines in tiny_lines.items():
        food = ("bread", "apples", "ekmeği", "elmaları")
        rows = [{"text": line, "label": "food" if any(f in line for f in food) else "object"} for line in lines]
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (folder / f"task.{language}.jsonl").write_text(text, encoding="utf-8")
    recipe = Recipe.model_validate(
        {
            "name": "tiny",
            "teacher": str(tiny_teacher),
            "source": {"language": "en", "text": str(folder / "en.txt")},
            "target": {"language": "tr", "text": str(folder / "tr.txt")},
            "vocabulary": {"min_probability": 0.01},
            "distill": {"tokens": 2048, "sequence_length": 16, "batch_size": 8, "mlm_probability": 0},
            "tasks": [
                {
                    "kind": "classification",
                    "name": "food",
                    "train": str(folder / "task.en.jsonl"),
                    "test": {"tr": str(folder / "task.tr.jsonl")},
                    "epochs": [1, 1],
                    "batch_size": 32,
                    "min_steps": 0,
                }
            ],
            "baselines": [*BASELINES, str(tiny_teacher)],
            "multilingual": {"az": str(folder / "az.txt")},
            "out": str(folder / "out"),
        }
    )
    return run(recipe, Progress(io.StringIO())), recipe


def stages(result, name):
    """(folder, manifest) of the stages of a name."""
    found = (result.output_dir / "stages").glob(f"{name}-*/manifest.json")
    return [(path.parent, json.loads(path.read_text())) for path in found]


@pytest.mark.slow
def test_every_baseline_has_a_title_a_score_and_costs(finished):
    result, recipe = finished
    assert set(TITLES) == set(BASELINES)
    (task,) = result.report["tasks"]
    assert list(task["scores"]) == ["teacher", "student", *recipe.baselines]
    models = {model["role"]: model for model in result.report["models"]}
    assert list(models) == list(task["scores"])
    assert all(0 <= task["scores"][role]["tr"][0] <= 100 for role in models)
    assert all(model["throughput"] > 0 for model in models.values())
    assert models["multilingual"]["title"] == "Student distilled on many languages"
    assert models[recipe.teacher]["title"] == recipe.teacher
    sizes = {role: model["parameters"] for role, model in models.items()}
    for role in ("layer_drop", "source_only", "target_only", "scratch"):
        assert sizes[role] == sizes["student"]
    # all layers and fewer tokens; more tokens and fewer layers; another model is as big as it is
    assert sizes["student"] < sizes["trimmed"] < sizes["teacher"] == sizes[recipe.teacher]
    assert sizes["student"] < sizes["multilingual"]


@pytest.mark.slow
def test_the_trimmed_teacher_is_the_task_teacher(finished):
    result, _ = finished
    scores = result.report["tasks"][0]["scores"]
    assert scores["trimmed"] == scores["teacher"]


@pytest.mark.slow
def test_students_of_one_language_see_no_text_of_the_other(finished, tiny_lines):
    """No token of the other language alone has moved, for nothing is masked by random tokens here."""
    result, _ = finished
    tokenizer = AutoTokenizer.from_pretrained(result.output_dir / "student")
    tokens = {
        code: {i for row in tokenizer(lines)["input_ids"] for i in row} for code, lines in tiny_lines.items()
    }
    moved, ended = {}, {}
    for folder, manifest in stages(result, "distill"):
        student = AutoModel.from_pretrained(folder / "student", add_pooling_layer=False)
        start = result.output_dir / "stages" / f"undistilled-{manifest['inputs']['student'][:10]}" / "student"
        before, after = (
            model.get_input_embeddings().weight for model in (AutoModel.from_pretrained(start), student)
        )
        only = manifest["inputs"].get("only", len(after))
        moved[only] = set((before != after).any(-1).nonzero().flatten().tolist())
        ended[only] = json.loads((folder / "distillation.json").read_text())["curve"][-1]
    assert {row["tokens"] for row in ended.values()} == {2048}
    for only, other in (("en", "tr"), ("tr", "en")):
        assert not moved[only] & (tokens[other] - tokens[only])
        assert len(moved[only] & tokens[only]) > 20
        assert moved[len(tokenizer)] & (tokens[only] - tokens[other])
    (many,) = (row for row in ended.values() if "az" in row)
    assert set(many) == {"tokens", "en", "tr", "az"}


@pytest.mark.slow
def test_the_vocabulary_of_many_languages_has_their_pieces(finished, tiny_lines):
    result, _ = finished
    vocabularies = [
        (AutoTokenizer.from_pretrained(folder / "model"), manifest["inputs"]["text"])
        for folder, manifest in stages(result, "vocabulary")
    ]
    (two,) = (tokenizer for tokenizer, text in vocabularies if "az" not in text)
    (many,) = (tokenizer for tokenizer, text in vocabularies if "az" in text)
    assert set(two.get_vocab()) < set(many.get_vocab())


@pytest.mark.slow
def test_from_scratch_owes_nothing_to_the_teacher(finished, tiny_teacher):
    result, _ = finished
    ((folder, _),) = stages(result, "scratch")
    encoder = AutoModel.from_pretrained(folder / "model", add_pooling_layer=False)
    teacher = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False)
    weight = encoder.encoder.layer[0].intermediate.dense.weight
    correlations = [
        np.corrcoef(weight.detach().flatten(), layer.intermediate.dense.weight.detach().flatten())[0, 1]
        for layer in teacher.encoder.layer
    ]
    assert max(np.abs(correlations)) < 0.1


@pytest.mark.slow
def test_from_scratch_learns_to_find_hidden_tokens(tiny_teacher, tiny_tokenizer, tiny_lines, tmp_path):
    for language, lines in tiny_lines.items():
        save_blocks(tmp_path, language, pack(tiny_tokenizer, lines, 16, language))
    blocks = {language: load_blocks(tmp_path, language)[0] for language in tiny_lines}
    data = MaskedBlocks(blocks, Masking.of(tiny_tokenizer), 16, 150, seed=0)
    config = AutoConfig.from_pretrained(tiny_teacher, initializer_range=0.02)
    losses: list[float | None] = []
    settings = arguments(tmp_path / "training", batch=16, learning_rate=3e-3, seed=0)
    encoder = train_from_scratch(config, data, settings, lambda step, loss: losses.append(loss))
    assert encoder.config.num_hidden_layers == 4
    assert encoder.get_output_embeddings() is None
    # at the start it is as good as guessing among all tokens
    start, *_, end = (loss for loss in losses if loss is not None)
    assert start == pytest.approx(np.log(config.vocab_size), rel=0.1)
    assert end < 0.9 * start


@pytest.mark.slow
def test_another_model_is_tuned_with_its_own_tokenizer(finished, tiny_teacher):
    result, recipe = finished
    ((folder, _),) = stages(result, "other")
    own = AutoTokenizer.from_pretrained(tiny_teacher)
    assert AutoTokenizer.from_pretrained(folder / "model").get_vocab() == own.get_vocab()
    tuned = [
        AutoModelForSequenceClassification.from_pretrained(path / "model")
        for path, _ in stages(result, "task-teacher-model")
    ]
    (model,) = (model for model in tuned if model.config.vocab_size >= len(own))
    rows = [json.loads(line) for line in recipe.tasks[0].test["tr"].read_text(encoding="utf-8").splitlines()]
    with torch.inference_mode():
        best = [model(**own(row["text"], return_tensors="pt")).logits.argmax().item() for row in rows]
    right = np.mean([model.config.id2label[b] == row["label"] for b, row in zip(best, rows, strict=True)])
    assert result.report["tasks"][0]["scores"][recipe.teacher]["tr"][0] == pytest.approx(100 * right)
