"""What of a task model is encoder and what is head, in every family and at another width; what it learns from."""

import copy

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    default_data_collator,
)

from bistil.models.families import FAMILIES
from bistil.models.students import Alignment
from bistil.sparse.delta import SparseDelta
from bistil.sparse.switch import DeltaSwitch
from bistil.training import losses
from bistil.training.ticket import Length
from bistil.training.transfer import TaskTraining, copy_head, distill_task, encoder_parameters

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


def test_the_teacher_wears_the_delta_of_the_language_of_every_batch(tiny_encoder, tmp_path):
    kind = AutoModelForTokenClassification
    teacher, student = (tiny_encoder("bert", kind, num_labels=3) for _ in range(2))
    deltas, wanted = {}, {}
    for token, (code, by) in enumerate({"en": 0.5, "tr": -0.5}.items(), start=5):
        other = copy.deepcopy(teacher).eval()
        with torch.no_grad():
            other.bert.encoder.layer[0].output.dense.weight[:4] += by
            wanted[token] = other(torch.tensor([[token] * 6])).logits
        deltas[code] = SparseDelta.diff(teacher, other)
    features = {
        code: [{"input_ids": [token] * 6, "attention_mask": [1] * 6, "labels": [0] * 6}] * 6
        for token, code in enumerate(deltas, start=5)
    }
    seen = []

    def head_loss(own, theirs, inputs):
        (token,) = set(inputs["input_ids"].flatten().tolist())
        assert torch.allclose(theirs.logits.float(), wanted[token].expand_as(theirs.logits), atol=0.05)
        seen.append(token)
        return losses.logits_loss(own.logits, theirs.logits)

    assert not torch.allclose(wanted[5], wanted[6], atol=0.2)
    training = TaskTraining((Length(1), Length(2)), batch=3, learning_rate=1e-3, density=0.1, seed=0)
    distill_task(
        teacher, student, Alignment((1, 2, 3, 4, 5)), features, default_data_collator, head_loss, training,
        tmp_path, lambda step, note: None, DeltaSwitch(teacher, deltas),
    )  # fmt: skip
    assert sorted(seen) == [5] * 6 + [6] * 6  # two batches of each language in each of three passes
    assert training.steps(6, 6) == 12


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
