"""Which layers a student keeps, and what transformers itself says of states read from chosen layers."""

import pytest
import torch
from transformers import AutoModel

from bistil.errors import BistilError
from bistil.states import StateReader
from bistil.students import kept_layers, make_student


@pytest.fixture
def teacher(tiny_teacher):
    return AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False).eval()


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, 150, (2, 9), generator=generator)
    return {"input_ids": tokens, "attention_mask": torch.tensor([[1] * 9, [1] * 6 + [0] * 3])}


def test_even_layers():
    assert kept_layers(12, 2) == (2, 4, 6, 8, 10, 12)
    assert kept_layers(12, 3) == (3, 6, 9, 12)
    assert kept_layers(22, 3, [1, 8, 22]) == (1, 8, 22)


@pytest.mark.parametrize("layers", [[], [0, 2], [2, 2], [4, 2], [13]])
def test_impossible_layers(layers):
    with pytest.raises(BistilError, match="from 1 to 12"):
        kept_layers(12, 2, layers)


def test_uneven_reduction():
    with pytest.raises(BistilError, match="does not divide the teacher's 22 layers"):
        kept_layers(22, 3)


def test_student_of_all_layers_is_the_teacher(teacher):
    student = make_student(teacher, (1, 2, 3, 4)).eval()
    assert torch.equal(student(**batch()).last_hidden_state, teacher(**batch()).last_hidden_state)


def test_student_layer_j_holds_teacher_layer_a_j(teacher):
    student = make_student(teacher, (2, 4))
    for own, kept in ((0, 1), (1, 3)):
        expected = teacher.encoder.layer[kept].state_dict()
        for name, value in student.encoder.layer[own].state_dict().items():
            assert torch.equal(value, expected[name])
    assert student.config.hidden_dropout_prob == 0
    student.embeddings.word_embeddings.weight.data.zero_()
    assert teacher.embeddings.word_embeddings.weight.abs().sum() > 0


def test_states_equal_those_of_eager_attention(teacher, tiny_teacher):
    eager = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False, attn_implementation="eager").eval()
    with torch.no_grad():
        expected = eager(**batch(), output_hidden_states=True, output_attentions=True)
        found = StateReader(teacher, (2, 4))(batch())
    real = batch()["attention_mask"].bool()
    for mine, layer in zip(found.hidden, (0, 2, 4), strict=True):
        assert torch.allclose(mine[real], expected.hidden_states[layer][real], atol=1e-5)
    for mine, layer in zip(found.attention, (1, 3), strict=True):
        theirs = expected.attentions[layer]
        assert torch.allclose(mine.transpose(1, 2)[real], theirs.transpose(1, 2)[real], atol=1e-5)


def test_only_the_chosen_layers_compute_probabilities(teacher):
    reader = StateReader(teacher, (4,))
    recorded = [
        layer.attention.self
        for layer in teacher.encoder.layer
        if hasattr(layer.attention.self, "attention_record")
    ]
    assert [module.layer_idx for module in recorded] == [3]
    assert len(reader(batch()).attention) == 1


def test_a_reader_of_a_layer_that_is_not_there_says_so(teacher):
    with pytest.raises(RuntimeError, match=r"layers \[9\]"):
        StateReader(teacher, (2, 9))(batch())


def test_a_saved_student_is_a_plain_model(teacher, tmp_path):
    student = make_student(teacher, (2, 4))
    StateReader(student, (1, 2))
    student.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path, add_pooling_layer=False)
    assert loaded.config._attn_implementation == "sdpa"
    assert "bistil" not in (tmp_path / "config.json").read_text()
