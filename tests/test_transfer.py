"""What of a task model is encoder and what is head, in every family and at another width."""

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from bistil.families import FAMILIES
from bistil.transfer import copy_head, encoder_parameters

KINDS = [AutoModelForSequenceClassification, AutoModelForTokenClassification]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_encoder_parameters_are_those_of_the_encoder_without_a_head(tiny_encoder, family, kind):
    bare = tiny_encoder(family)
    alone = list(encoder_parameters(bare))
    assert set(alone) == {name for name, _ in bare.named_parameters() if "pooler" not in name}
    inside = encoder_parameters(tiny_encoder(family, kind))
    assert [name.split(".", 1)[1] for name in inside] == alone


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_head_is_copied(tiny_encoder, family, kind):
    teacher, student = tiny_encoder(family, kind, num_labels=3), tiny_encoder(family, kind, num_labels=3)
    for value in student.parameters():
        value.data.zero_()
    copy_head(teacher, student)
    inside = set(encoder_parameters(student))
    for (name, mine), theirs in zip(student.named_parameters(), teacher.parameters(), strict=True):
        assert torch.equal(mine, torch.zeros_like(mine) if name in inside else theirs), name


def test_a_head_follows_the_projection_to_a_narrower_student(tiny_encoder):
    """A classifier gives the same logits for a state of the subspace and for its projection."""
    teacher = tiny_encoder("xlm-roberta", AutoModelForTokenClassification, num_labels=3)
    student = tiny_encoder("xlm-roberta", AutoModelForTokenClassification, num_labels=3, hidden_size=8)
    projection = torch.linalg.qr(torch.randn(16, 8, generator=torch.Generator().manual_seed(0))).Q
    copy_head(teacher, student, projection)
    narrow = torch.randn(5, 8)
    assert torch.allclose(student.classifier(narrow), teacher.classifier(narrow @ projection.T), atol=1e-6)


def test_both_sides_of_a_pooler_are_projected(tiny_encoder):
    teacher = tiny_encoder("bert", AutoModelForSequenceClassification)
    student = tiny_encoder("bert", AutoModelForSequenceClassification, hidden_size=8)
    projection = torch.linalg.qr(torch.randn(16, 8, generator=torch.Generator().manual_seed(0))).Q
    copy_head(teacher, student, projection)
    theirs, mine = teacher.bert.pooler.dense, student.bert.pooler.dense
    assert torch.allclose(mine.weight, projection.T @ theirs.weight @ projection, atol=1e-6)
    assert torch.allclose(mine.bias, theirs.bias @ projection, atol=1e-6)
