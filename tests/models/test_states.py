"""States against those that transformers itself returns with eager attention, in every family."""

import copy

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from bistil.errors import BistilError
from bistil.models.families import FAMILIES
from bistil.models.families import attention as attention_of
from bistil.models.families import layers as layers_of
from bistil.models.states import StateReader

every_family = pytest.mark.parametrize("family", FAMILIES)
padded_or_not = pytest.mark.parametrize("padded", [False, True])


def batch(padded: bool = True) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, 60, (3, 12), generator=generator)
    if not padded:
        return {"input_ids": tokens}
    mask = torch.ones_like(tokens)
    mask[1, 9:] = mask[2, 7:] = 0
    return {"input_ids": tokens, "attention_mask": mask}


def eager(model: torch.nn.Module) -> torch.nn.Module:
    """A copy that computes every probability."""
    plain = copy.deepcopy(model)
    if plain._supports_attention_backend:
        plain.set_attn_implementation("eager")
    return plain


def real_pairs(padded: bool) -> torch.Tensor:
    real = batch(True)["attention_mask"].bool() if padded else torch.ones(3, 12, dtype=torch.bool)
    return (real[:, :, None] & real[:, None, :])[:, None]


def near(one: torch.Tensor, other: torch.Tensor, where: torch.Tensor) -> bool:
    return torch.allclose(one.masked_fill(~where, 0), other.masked_fill(~where, 0), atol=2e-5, rtol=1e-4)


@every_family
@padded_or_not
def test_states_equal_those_of_eager_attention(tiny_encoder, family, padded):
    model = tiny_encoder(family)
    real, pairs = real_pairs(padded)[:, 0].any(-1)[..., None], real_pairs(padded)
    with torch.no_grad():
        expected = eager(model)(**batch(padded), output_hidden_states=True, output_attentions=True)
        found = StateReader(model, hidden=(1, 3, 5), attention=(2, 5))(batch(padded))
    assert len(found.hidden) == 4
    for mine, layer in zip(found.hidden, (0, 1, 3, 5), strict=True):
        assert near(mine, expected.hidden_states[layer], real)
    for mine, layer in zip(found.attention, (2, 5), strict=True):
        assert near(mine, expected.attentions[layer - 1], pairs)
    assert found.relations == ()


@every_family
@padded_or_not
def test_gradients_equal_those_of_eager_attention(tiny_encoder, family, padded):
    model = tiny_encoder(family)
    plain = eager(model)
    real, pairs = real_pairs(padded)[:, 0].any(-1)[..., None], real_pairs(padded)
    found = StateReader(model, hidden=(2, 5), attention=(2, 4))(batch(padded))
    expected = plain(**batch(padded), output_hidden_states=True, output_attentions=True)
    theirs = [expected.hidden_states[2], expected.hidden_states[5], expected.attentions[1], expected.attentions[3]]
    where = (real, real, pairs, pairs)
    for states in ([*found.hidden[1:], *found.attention], theirs):
        loss = sum((s * torch.cos(s)).masked_fill(~mask, 0).sum() for s, mask in zip(states, where, strict=True))
        loss.backward()
    for (name, mine), value in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert (mine.grad is None) == (value.grad is None), name
        if mine.grad is not None:
            assert (mine.grad - value.grad).abs().max() <= 1e-4 * max(1.0, value.grad.abs().max()), name


@every_family
@pytest.mark.parametrize("kind", [AutoModelForSequenceClassification, AutoModelForTokenClassification])
def test_models_with_heads(tiny_encoder, family, kind):
    model = tiny_encoder(family, kind, num_labels=3)
    with torch.no_grad():
        expected = eager(model)(**batch(), output_hidden_states=True, output_attentions=True)
        found = StateReader(model, hidden=(4, 5), attention=(3,))(batch())
    real = real_pairs(True)[:, 0].any(-1)[..., None]
    everywhere = real if found.outputs.logits.dim() == 3 else torch.ones(1, dtype=torch.bool)
    assert near(found.outputs.logits, expected.logits, everywhere)
    assert near(found.hidden[-1], expected.hidden_states[5], real)
    assert near(found.attention[0], expected.attentions[2], real_pairs(True))


@every_family
@padded_or_not
def test_attention_follows_from_the_relations(tiny_encoder, family, padded):
    """softmax(q·kᵀ/√d) is what eager attention returns, and its mixture of values is what attention puts out."""
    model = (
        tiny_encoder(family, pos_att_type=[], relative_attention=False)
        if "deberta" in family
        else tiny_encoder(family)
    )
    with torch.no_grad():
        expected = eager(model)(**batch(padded), output_attentions=True).attentions
        found = StateReader(model, hidden=(), relations=(4, 1))(batch(padded))
    assert found.attention == ()
    for (query, key, value), layer in zip(found.relations, (4, 1), strict=True):
        assert key.shape == value.shape == (3, 2 if family == "eurobert" else 4, 12, 4)
        every_head = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
        scores = torch.einsum("bhqd,bhkd->bhqk", query, every_head) / 2
        # Where attention does not look, be it padding or beyond the window, it is not asked what it would see.
        looks = expected[layer - 1] > 0
        assert near(scores.masked_fill(~looks, -torch.inf).softmax(-1), expected[layer - 1], real_pairs(padded))


@every_family
def test_relations_are_projections_of_what_the_layer_receives(tiny_encoder, family):
    """Values are never rotated nor normed: those of layer 3 are a linear map of what its attention receives."""
    model = tiny_encoder(family)
    received = []
    module = attention_of(model, 3)
    hook = module.register_forward_pre_hook(
        lambda _, args, kwargs: received.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    with torch.no_grad():
        _, _, value = StateReader(model, hidden=(), relations=(3,))(batch()).relations[0]
    hook.remove()
    names = ("value", "value_proj", "v_lin", "v_proj")
    projection = next((getattr(module, name) for name in names if hasattr(module, name)), None)
    flat = projection(received[0]) if projection else module.Wqkv(received[0])[..., 32:]
    assert torch.allclose(value.transpose(1, 2).flatten(2), flat, atol=1e-6)


@every_family
def test_layers_above_the_last_one_read_are_not_run(tiny_encoder, family):
    model = tiny_encoder(family)
    runs = [0] * 5
    for number, layer in enumerate(layers_of(model)):

        def count(*_: object, number: int = number) -> None:
            runs[number] += 1

        layer.register_forward_hook(count)
    StateReader(model, hidden=(2,), attention=(3,))(batch())
    assert runs == [1, 1, 1, 0, 0]
    StateReader(model, hidden=(), relations=(1,))(batch())
    assert runs == [2, 1, 1, 0, 0]
    StateReader(model, hidden=(5,))(batch())
    assert runs == [3, 2, 2, 1, 1]


def test_with_a_head_every_layer_is_run(tiny_encoder):
    model = tiny_encoder("bert", AutoModelForSequenceClassification)
    reader = StateReader(model, hidden=(2,))
    with torch.no_grad():
        assert torch.allclose(reader(batch()).outputs.logits, model(**batch()).logits)


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"deberta-v2"}))
def test_only_layers_that_are_read_leave_the_fused_kernel(tiny_encoder, family, monkeypatch):
    model = tiny_encoder(family)
    calls = []
    fused = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional, "scaled_dot_product_attention", lambda *a, **k: calls.append(1) or fused(*a, **k)
    )
    for attention, fast in (((), 5), ((2, 3), 3), ((1, 2, 3, 4, 5), 0)):
        calls.clear()
        StateReader(model, hidden=(5,), attention=attention)(batch())
        assert len(calls) == fast


def test_two_readers_of_one_model_do_not_disturb_each_other(tiny_encoder):
    model = tiny_encoder("xlm-roberta")
    first, second = StateReader(model, (1,), attention=(1,)), StateReader(model, (5,), attention=(4,))
    with torch.no_grad():
        once, other, again = first(batch()), second(batch()), first(batch())
    assert torch.equal(once.attention[0], again.attention[0])
    assert torch.equal(once.hidden[1], again.hidden[1])
    assert not torch.equal(once.attention[0], other.attention[0])


@every_family
def test_nothing_is_left_on_the_model(tiny_encoder, family, tmp_path):
    model = tiny_encoder(family)
    before = model(**batch()).last_hidden_state
    StateReader(model, hidden=(1, 3), attention=(2,), relations=(3,))(batch())
    assert not [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks]
    real = real_pairs(True)[:, 0].any(-1)[..., None]
    assert near(model(**batch()).last_hidden_state, before, real)
    model.save_pretrained(tmp_path)
    assert "bistil" not in (tmp_path / "config.json").read_text()


def test_a_wrapped_model_is_run_in_place_of_the_reader_s_own(tiny_encoder):
    model = tiny_encoder("bert")

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module, self.runs = model, 0

        def forward(self, **inputs: torch.Tensor) -> object:
            self.runs += 1
            return self.module(**inputs)

    wrapped = Wrapped()
    reader = StateReader(model, (1, 5), attention=(2,))
    assert torch.equal(reader(batch(), wrapped).hidden[2], reader(batch()).hidden[2])
    assert wrapped.runs == 1


@pytest.mark.parametrize(
    "asked", [{"hidden": (2, 9)}, {"hidden": (), "attention": (9,)}, {"hidden": (), "relations": (9,)}]
)
def test_a_layer_that_is_not_there(tiny_encoder, asked):
    with pytest.raises(BistilError, match=r"Layers \[9\] of BertModel .* has 5 layers"):
        StateReader(tiny_encoder("bert"), **asked)
