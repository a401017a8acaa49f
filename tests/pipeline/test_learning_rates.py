"""The learning rates of tasks where a recipe gives none: lower for wide teachers and for pairs of texts."""

import json
import shutil

import pytest
from transformers import AutoModel, BertConfig

from bistil.planning.walk import walk
from bistil.recipe.recipe import Recipe
from bistil.training.transfer import default_learning_rate


@pytest.mark.parametrize(
    ("width", "rate"), [(384, 3e-4), (767, 3e-4), (768, 5e-5), (1_023, 5e-5), (1_024, 2e-5), (2_048, 2e-5)]
)
def test_the_wider_a_teacher_the_lower_its_rate(width, rate):
    assert default_learning_rate(3e-4, width) == rate
    assert default_learning_rate(1e-6, width) == 1e-6


@pytest.fixture
def rates(experiment, tmp_path):
    """A function that returns the rates of a recipe's models by stage."""

    def read(columns=("text",), baselines=(), teacher=experiment["teacher"], **settings):
        rows = [{**dict.fromkeys(columns, "a"), "label": label} for label in "xy" * 20]
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
        file = str(tmp_path / "rows.jsonl")
        task = {"kind": "classification", "train": file, "test": {"tr": file}, **settings}
        own = {
            "teacher": teacher,
            "tasks": [task],
            "baselines": baselines,
            "seeds": [0],
            "out": str(tmp_path / "out"),
        }
        with walk(Recipe.model_validate(experiment | own)) as found:
            steps = [step for step in found.steps if step.name in ("task-teacher", "task-student")]
            return [step.inputs["training"]["learning_rate"] for step in steps]

    return read


BASE, LARGE = ({"teacher": f"FacebookAI/xlm-roberta-{size}"} for size in ("base", "large"))
PAIRS = {"columns": ["text", "text_pair"]}


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, [3e-4, 5e-4]),
        (PAIRS, [1e-4, 5e-4]),
        ({"teacher_learning_rate": 7e-4, "student_learning_rate": 8e-4}, [7e-4, 8e-4]),
        (BASE, [5e-5, 5e-5]),
        (BASE | PAIRS, [5e-5, 5e-5]),
        (BASE | {"teacher_learning_rate": 7e-4}, [7e-4, 5e-5]),
        (LARGE, [2e-5, 2e-5]),
    ],
)
def test_what_a_recipe_does_not_say_follows_from_teacher_and_task(rates, settings, found):
    assert rates(**settings) == found


def test_another_model_learns_at_the_rate_for_its_own_width(rates, tiny_teacher, tmp_path):
    wide = tmp_path / "wide"
    shutil.copytree(tiny_teacher, wide)
    config = BertConfig(
        vocab_size=60, hidden_size=768, num_hidden_layers=1, num_attention_heads=12, intermediate_size=8
    )
    AutoModel.from_config(config).save_pretrained(wide)
    assert sorted(rates(baselines=[str(wide)])) == [5e-5, 3e-4, 5e-4]
