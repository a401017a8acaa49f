"""Which layers a student keeps, and that it computes what exactly those layers of the teacher compute."""

import copy
import json
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from bistil.errors import BistilError
from bistil.models import families
from bistil.models.families import FAMILIES, indispensable_layers
from bistil.models.states import StateReader
from bistil.models.students import Alignment, describe, kept_layers, make_student
from bistil.training.losses import attention_loss, hidden_loss

every_family = pytest.mark.parametrize("family", FAMILIES)


def batch() -> dict[str, torch.Tensor]:
    tokens = torch.randint(5, 60, (2, 12), generator=torch.Generator().manual_seed(0))
    return {"input_ids": tokens, "attention_mask": torch.tensor([[1] * 12, [1] * 8 + [0] * 4])}


def test_even_layers():
    assert kept_layers(12, 2) == (1, 3, 5, 8, 10, 12)
    assert kept_layers(12, 3) == (1, 5, 8, 12)
    assert kept_layers(12, 4) == (1, 7, 12)
    assert kept_layers(12, 12) == (12,)
    assert kept_layers(24, 1) == tuple(range(1, 25))


def test_layers_that_do_not_divide_evenly():
    assert kept_layers(22, 3) == (1, 5, 8, 12, 15, 19, 22)
    assert kept_layers(22, 4) == (1, 5, 9, 14, 18, 22)  # 5.5 layers are 6
    assert kept_layers(6, 6, indispensable=(1, 6)) == (1, 6)
    assert kept_layers(1, 1, indispensable=(1,)) == (1,)
    assert kept_layers(22, 3, [1, 8, 22]) == (1, 8, 22)


@given(st.data())
def test_layers_are_spread_evenly(data):
    total = data.draw(st.integers(1, 60))
    reduction = data.draw(st.integers(1, total))
    first = data.draw(st.booleans())
    layers = kept_layers(total, reduction, indispensable=(1,) if first else ())
    gaps = {after - before for before, after in pairwise(layers)}
    assert layers[-1] == total
    assert not gaps or min(gaps) >= max(1, max(gaps) - 1)
    assert abs(len(layers) - total / reduction) <= 0.5 or (first and len(layers) <= 2)
    if first or len(layers) > 1:
        assert layers[0] == 1


@pytest.mark.parametrize("layers", [[], [0, 2], [2, 2], [4, 2], [13]])
def test_impossible_layers(layers):
    with pytest.raises(BistilError, match="from 1 to 12"):
        kept_layers(12, 2, layers)


@pytest.mark.parametrize("reduction", [0, 13])
def test_impossible_reduction(reduction):
    with pytest.raises(BistilError, match=f"layer_reduction is {reduction}, but the teacher has 12 layers"):
        kept_layers(12, reduction)


def test_indispensable_layers(tiny_encoder):
    assert indispensable_layers(tiny_encoder("modernbert").config) == (1, 5)
    assert indispensable_layers(tiny_encoder("eurobert").config) == (5,)
    assert indispensable_layers(tiny_encoder("deberta-v2").config) == (1,)  # it has a convolution
    assert indispensable_layers(tiny_encoder("deberta-v2", conv_kernel_size=0).config) == ()
    assert indispensable_layers(tiny_encoder("xlm-roberta").config) == ()


@pytest.mark.parametrize(
    ("family", "layers"), [("modernbert", (2, 5)), ("eurobert", (1, 3)), ("deberta-v2", (2, 5))]
)
def test_a_student_cannot_lack_an_indispensable_layer(tiny_encoder, family, layers):
    with pytest.raises(BistilError, match=r"cannot be replaced by others. Add [15]\."):
        make_student(tiny_encoder(family), layers)


@every_family
def test_student_of_all_layers_is_the_teacher(tiny_encoder, family):
    teacher = tiny_encoder(family)
    student, alignment = make_student(teacher, (1, 2, 3, 4, 5))
    assert torch.equal(student(**batch()).last_hidden_state, teacher(**batch()).last_hidden_state)
    assert alignment == Alignment((1, 2, 3, 4, 5))


@every_family
def test_student_computes_what_exactly_those_layers_of_the_teacher_compute(tiny_encoder, family):
    """The teacher is run without its other layers: a hook puts out what such a layer received."""
    teacher = tiny_encoder(family)
    student, _ = make_student(teacher, (1, 3, 5))
    own = student(**batch()).last_hidden_state
    whole = teacher(**batch()).last_hidden_state
    for number in (2, 4):
        families.layers(teacher)[number - 1].register_forward_hook(
            lambda _, received, given: (received[0], None) if isinstance(given, tuple) else received[0]
        )
    assert torch.allclose(own, teacher(**batch()).last_hidden_state, atol=1e-6)
    assert not torch.allclose(own, whole, atol=0.1)


@every_family
def test_student_starts_without_dropout_and_shares_nothing(tiny_encoder, family):
    teacher = tiny_encoder(family)
    before = copy.deepcopy(teacher.state_dict())
    student, _ = make_student(teacher, (1, 5))
    once, again = (student.train()(**batch()).last_hidden_state for _ in range(2))
    assert torch.equal(once, again)
    for value in student.parameters():
        value.data.zero_()
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name


@every_family
def test_a_saved_student_is_a_plain_model(tiny_encoder, family, tmp_path):
    teacher = tiny_encoder(family)
    StateReader(teacher, (1,))(batch())  # a reader leaves no trace in what is made of its model
    student, _ = make_student(teacher, (1, 3, 5))
    StateReader(student, (1, 2), attention=(2,))(batch())
    student.save_pretrained(tmp_path)
    assert "bistil" not in (tmp_path / "config.json").read_text()
    options = {"add_pooling_layer": False} if FAMILIES[family].pooler else {}
    loaded, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True, **options)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    real = batch()["attention_mask"].bool()
    assert torch.allclose(
        loaded.eval()(**batch()).last_hidden_state[real], student(**batch()).last_hidden_state[real], atol=1e-6
    )
    for kind in (AutoModelForTokenClassification, AutoModelForSequenceClassification, AutoModelForMaskedLM):
        whole = kind.from_pretrained(tmp_path).eval()
        states = whole(**batch(), output_hidden_states=True).hidden_states
        assert torch.allclose(states[3][real], student(**batch()).last_hidden_state[real], atol=1e-5)
        head_dropout = [m.p for m in whole.modules() if isinstance(m, torch.nn.Dropout)]
        assert not any(head_dropout)


@every_family
def test_one_step_of_distillation_brings_the_student_nearer(tiny_encoder, family):
    teacher = tiny_encoder(family)
    student, alignment = make_student(teacher, (1, 3, 5))
    wanted = StateReader(teacher, alignment.layers, attention=alignment.layers)
    found = StateReader(student, (1, 2, 3), attention=(1, 2, 3))
    mask = batch()["attention_mask"].bool()

    def loss() -> torch.Tensor:
        with torch.no_grad():
            theirs = wanted(batch())
        ours = found(batch())
        return hidden_loss(ours.hidden, theirs.hidden, mask) + attention_loss(
            ours.attention, theirs.attention, mask
        )

    before = loss()
    before.backward()
    assert all(value.grad is not None for value in families.layers(student).parameters())
    torch.optim.SGD(student.parameters(), lr=1e-3).step()
    assert loss() < before


def test_modernbert_layers_keep_their_kind_of_attention(tiny_encoder):
    teacher = tiny_encoder("modernbert")
    student, _ = make_student(teacher, (1, 3, 4, 5))
    kinds = [layer.attention_type for layer in families.layers(teacher)]
    assert kinds == [
        "full_attention",
        "sliding_attention",
        "sliding_attention",
        "full_attention",
        "sliding_attention",
    ]
    assert [layer.attention_type for layer in families.layers(student)] == [kinds[k] for k in (0, 2, 3, 4)]


def test_other_families_are_refused(tiny_encoder):
    from transformers import AlbertConfig, AlbertModel

    with pytest.raises(BistilError, match="of type 'albert'"):
        make_student(AlbertModel(AlbertConfig(hidden_size=16, num_attention_heads=2, intermediate_size=8)), (1,))


def test_alignment_is_saved_and_loaded(tmp_path):
    Alignment((2, 4)).save(tmp_path)
    assert Alignment.load(tmp_path) == Alignment((2, 4))
    assert json.loads((tmp_path / "alignment.json").read_text())["layers"] == [2, 4]
    projection = torch.linalg.qr(torch.randn(6, 4)).Q
    Alignment((2, 4), ((0, 2), (1, 3)), projection).save(tmp_path)
    loaded = Alignment.load(tmp_path)
    assert loaded.heads == ((0, 2), (1, 3))
    assert torch.equal(loaded.projection, projection)


def test_an_alignment_that_is_not_there(tmp_path):
    with pytest.raises(BistilError, match=r"no alignment\.json"):
        Alignment.load(tmp_path)


@every_family
def test_description_counts_every_parameter(tiny_encoder, family):
    teacher = tiny_encoder(family)
    student, alignment = make_student(teacher, (1, 5))
    text = describe(teacher, student, alignment)
    rows = [line.split() for line in text.splitlines()]
    counted = [int(row[-1].replace(",", "")) for row in rows[1:5]]
    assert sum(counted) == sum(value.numel() for value in student.parameters())
    assert rows[3][:4] == ["layer", "2", "layer", "5"]
    assert "layers: 5 → 2" in text
    assert "feed-forward size: 24 → 24" in text


def test_a_number_of_layers():
    assert kept_layers(12, 2, 6) == kept_layers(12, 2)
    assert kept_layers(12, 2, 8) == (1, 3, 4, 6, 7, 9, 10, 12)
    assert kept_layers(12, 2, 1) == (12,)
    assert kept_layers(12, 2, 12) == tuple(range(1, 13))
    with pytest.raises(BistilError, match=r"student\.layers is 13, but the teacher has 12 layers"):
        kept_layers(12, 2, 13)
