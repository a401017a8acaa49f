"""The deepest student within a budget, against all shapes one by one."""

import itertools

import pytest
import torch
from transformers import BertConfig, ModernBertConfig

from bistil.errors import BistilError
from bistil.models.budgets import deepest
from bistil.models.shapes import StudentShape
from bistil.models.students import kept_layers, make_student

BERT = BertConfig(vocab_size=60, hidden_size=48, num_hidden_layers=6, num_attention_heads=12, intermediate_size=96)


def products(shape: StudentShape) -> float:
    """Weights of all layers, as a share of the teacher's."""
    hidden, inner = shape.hidden_size or 48, shape.intermediate_size or 96
    return len(shape.layers) * (4 * hidden**2 + 2 * hidden * inner) / (6 * (4 * 48**2 + 2 * 48 * 96))


@pytest.mark.parametrize("budget", [1.0, 0.9, 0.75, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1])
def test_it_is_the_deepest_then_the_widest_of_all_within_the_budget(budget):
    sizes = {
        hidden: [96 * step // 24 for step in range(1, 25) if 96 * step // 24 >= hidden] for hidden in (48, 32)
    }
    every = [
        (hidden, count, inner)
        for count, hidden in itertools.product(range(1, 7), sizes)
        for inner in sizes[hidden]
        if count * (4 * hidden**2 + 2 * hidden * inner) / (6 * (4 * 48**2 + 2 * 48 * 96)) <= budget
    ]
    hidden, count, inner = max(every)
    expected = StudentShape(
        kept_layers(6, 1, count), None if inner == 96 else inner, None if hidden == 48 else hidden
    )
    assert deepest(BERT, budget, products) == expected


def test_what_cannot_be_dropped_stays_and_only_bert_has_a_smaller_hidden_size():
    teacher = ModernBertConfig(
        vocab_size=60, hidden_size=48, num_hidden_layers=6, num_attention_heads=12, intermediate_size=96,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    for budget in (0.9, 0.5, 0.4):
        found = deepest(teacher, budget, products)
        assert found.hidden_size is None
        assert {1, 6} <= {*found.layers}
        assert found.config(teacher).layer_types == [teacher.layer_types[layer - 1] for layer in found.layers]
    with pytest.raises(BistilError, match=r"within student.budget 0.1: the smallest takes 0.25 of what"):
        deepest(teacher, 0.1, products)


@pytest.mark.parametrize("family", ["bert", "distilbert", "modernbert", "eurobert", "deberta-v2"])
def test_the_configuration_of_a_shape_is_that_of_the_student(tiny_encoder, family):
    teacher = tiny_encoder(family)
    shape = StudentShape((1, teacher.config.num_hidden_layers), intermediate_size=8)
    ids = {"input_ids": torch.arange(5, 17)[None]}
    student, _ = make_student(teacher, shape.layers, intermediate_size=8, batches=[ids])
    ours, theirs = shape.config(teacher.config).to_dict(), student.config.to_dict()
    assert {key for key in ours if ours[key] != theirs.get(key)} <= {"dtype", "_name_or_path", "architectures"}
