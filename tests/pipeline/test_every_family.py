"""A whole run for a teacher of every family, from its text to int8 students, a report and predictions."""

import io

import pytest

import bistil
from bistil.pipeline.runs import run
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe

# Type of the model and layout of the tokenizer.
FAMILIES = {
    "bert": "mbert",
    "distilbert": "mbert",
    "roberta": "roberta",
    "xlm-roberta": "xlm_roberta",
    "deberta-v2": "mdeberta",
    "modernbert": "modernbert",
    "eurobert": "eurobert",
}
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_run(family, layouts, tiny_encoder, experiment, tmp_path):
    tokenizer = layouts[FAMILIES[family]]
    ids = {
        name: getattr(tokenizer, name)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "mask_token_id")
        if getattr(tokenizer, name) is not None
    }
    teacher = tiny_encoder(family, vocab_size=len(tokenizer), max_position_embeddings=130, **ids)
    for part in (teacher, tokenizer):
        part.save_pretrained(tmp_path / "teacher")
    recipe = Recipe.checked(
        {
            **experiment,
            "teacher": str(tmp_path / "teacher"),
            "student": {"layers": 3, "intermediate_size": 16},
            "seeds": [0],
            "baselines": [],
            "export": {"tolerance": 100},
            "out": str(tmp_path / "out"),
        }
    )
    result = run(recipe, Progress(io.StringIO()))
    costs = {one["role"]: one for one in result.report["models"]}
    assert 0 < costs["student"]["flops_per_token"] < costs["teacher"]["flops_per_token"]
    for engine in ("torch", "int8"):
        (found,) = bistil.load(tmp_path / "out/tasks/food", engine=engine)(["Öğretmen ekmeği alıyor."])
        assert found.label in ("food", "object")
