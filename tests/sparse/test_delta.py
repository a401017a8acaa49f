"""A delta against the dense model it was taken from: in memory, through a file, on and off, added up."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import AutoModel, BertConfig, BertForMaskedLM, BertModel

from bistil.errors import BistilError
from bistil.sparse.delta import SparseDelta


def network(seed: int) -> nn.ModuleDict:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.ModuleDict({"body": nn.Linear(4, 3), "head": nn.Linear(3, 2)})


def changed(model: nn.Module, seed: int, share: float = 0.3) -> nn.Module:
    """A copy in which about that share of all entries is another random number."""
    generator = torch.Generator().manual_seed(seed)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for value in other.parameters():
            inside = torch.rand(value.shape, generator=generator) < share
            value[inside] = torch.randn(value.shape, generator=generator)[inside].to(value.dtype)
    return other


@pytest.fixture
def tuned():
    """A start, a tuned model that differs from it at three positions of the body and in the head, the delta."""
    start, model = network(0), network(0)
    positions = {"body.weight": torch.tensor([1, 7]), "body.bias": torch.tensor([2])}
    with torch.no_grad():
        model["body"].weight.view(-1)[[1, 7]] += 1
        model["body"].bias[2] = 5
        model["head"].weight.zero_()
    group = {name: value.detach() for name, value in start.named_parameters() if name.startswith("body")}
    return start, model, SparseDelta.of(group, model, positions, "task")


def same(first: nn.Module, second: nn.Module) -> bool:
    """Equal to the bit: 0 and -0 are not."""
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a.view(torch.uint8), b.view(torch.uint8)) for a, b in pairs)


def test_start_plus_delta_is_the_tuned_model(tuned, tmp_path):
    start, model, delta = tuned
    assert delta.density == 3 / 15
    delta.save(tmp_path)
    SparseDelta.load(tmp_path).apply(start)
    assert same(start, model)


def test_head_of_the_start_does_not_matter_and_comes_back(tuned):
    start, model, delta = tuned
    with torch.no_grad():
        start["head"].weight.fill_(7)
    before = copy.deepcopy(start)
    with delta.on(start):
        assert same(start, model)
    assert same(start, before)


def test_frozen_parameters_are_no_head(tuned):
    start, model, _ = tuned
    model["head"].bias.requires_grad_(False)
    delta = SparseDelta.of(
        {"body.weight": start["body"].weight}, model, {"body.weight": torch.tensor([0])}, "task"
    )
    assert set(delta.dense) == {"body.bias", "head.weight"}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64]))
def test_diff_makes_one_model_of_the_other_in_any_precision(seed, dtype):
    base = network(0).to(dtype)
    other = changed(base, seed).to(dtype)
    with torch.no_grad():
        base["body"].bias[0], other["body"].bias[0] = 0.0, -0.0
    delta = SparseDelta.diff(base, other)
    before = copy.deepcopy(base)
    delta.apply(base)
    assert same(base, other)
    delta.remove(base)
    assert same(base, before)
    delta.merge(base)
    assert same(base, other)


def test_diff_stores_only_what_differs():
    base = network(0)
    other = changed(base, 1)
    different = sum(int((a != b).sum()) for a, b in zip(base.parameters(), other.parameters(), strict=True))
    assert 0 < sum(map(len, SparseDelta.diff(base, other).indices.values())) == different


def test_a_thousand_cycles_of_two_deltas_restore_every_bit():
    base = network(0)
    before = copy.deepcopy(base)
    first, second = (SparseDelta.diff(base, changed(base, seed)) for seed in (1, 2))
    for cycle in range(1000):
        first.apply(base)
        second.apply(base)
        for delta in (first, second) if cycle % 2 else (second, first):
            delta.remove(base)
    assert same(base, before)


def test_only_the_touched_positions_are_written(tuned):
    start, _, delta = tuned
    delta.apply(start)
    with torch.no_grad():
        start["body"].weight.view(-1)[3] = 42  # untouched: must survive the removal
    delta.remove(start)
    assert start["body"].weight.view(-1)[3] == 42


def dense_sum(base: nn.Module, *terms: tuple[nn.Module, float]) -> list[torch.Tensor]:
    """base + Σ factor · (tuned − base), dense, in float64."""
    return [
        values[0].double()
        + sum(w * (v.double() - values[0].double()) for v, (_, w) in zip(values[1:], terms, strict=True))
        for values in zip(base.parameters(), *(model.parameters() for model, _ in terms), strict=True)
    ]


@pytest.mark.parametrize("factors", [(1, 1), (0.5, 1), (-1, 2.5), (0, 0.25)])
def test_sum_adds_up_the_differences(factors):
    base = network(0)
    models = [changed(base, seed, 0.6) for seed in (1, 2)]
    first, second = (SparseDelta.diff(base, model) for model in models)
    expected = dense_sum(base, *zip(models, factors, strict=True))
    before = copy.deepcopy(base)
    with (factors[0] * first + second * factors[1]).on(base):
        for value, wanted in zip(base.parameters(), expected, strict=True):
            assert torch.allclose(value.double(), wanted, atol=1e-6)
    assert same(base, before)


def test_deltas_applied_one_after_the_other_are_their_sum_and_leave_in_any_order():
    base = network(0)
    models = [changed(base, seed, 0.6) for seed in (1, 2)]
    first, second = (SparseDelta.diff(base, model) for model in models)
    summed = copy.deepcopy(base)
    (first + second).merge(summed)
    first.apply(base)
    second.apply(base)
    assert same(base, summed)
    first.remove(base)
    assert same(base, models[1])
    with pytest.raises(BistilError, match="not applied to the model"):
        first.remove(base)
    with pytest.raises(BistilError, match="Remove them first"):
        first.merge(base)


def test_sum_can_be_saved_as_one_delta(tmp_path):
    base = network(0)
    models = [changed(base, seed, 0.4) for seed in (1, 2)]
    total = SparseDelta.diff(base, models[0]) + 0.5 * SparseDelta.diff(base, models[1])
    total.resolved(base).save(tmp_path)
    merged = copy.deepcopy(base)
    total.merge(merged)
    SparseDelta.load(tmp_path).merge(base)
    assert same(base, merged)


def test_two_heads_cannot_be_added(tuned):
    start, _, delta = tuned
    with pytest.raises(BistilError, match=r"set head\.bias as a whole"):
        (delta + delta).apply(start)


def test_another_base_is_refused_and_left_as_it_was(tuned):
    start, _, delta = tuned
    other = network(1)
    with pytest.raises(BistilError, match="made for another model: the fingerprint"):
        delta.apply(other)
    assert same(other, network(1))
    with pytest.raises(BistilError, match=r"another model: Linear has no body\.weight"):
        delta.apply(nn.Linear(2, 2))
    with pytest.raises(BistilError, match=r"body\.weight is \[3, 9\] here and \[3, 4\] there"):
        delta.apply(nn.ModuleDict({"body": nn.Linear(9, 3), "head": nn.Linear(3, 2)}))
    first = SparseDelta.diff(start, changed(start, 5))
    first.apply(start)
    on = copy.deepcopy(start)
    with pytest.raises(BistilError, match="made for another model"):
        SparseDelta.diff(other, changed(other, 5)).apply(start)
    assert same(start, on)
    first.remove(start)
    assert same(start, network(0))


def test_models_that_cannot_be_compared():
    with pytest.raises(BistilError, match="no parameter in common"):
        SparseDelta.diff(network(0), nn.Linear(2, 2))
    with pytest.raises(BistilError, match=r"\[3, 4\] of float32 in one model and \[3, 4\] of bfloat16"):
        SparseDelta.diff(network(0), network(0).bfloat16())


def test_parameters_of_any_layout():
    base = nn.Linear(4, 3)
    base.weight = nn.Parameter(torch.randn(4, 3).t())  # not contiguous
    other = changed(base, 3, 0.5)
    before = base.weight.detach().clone()
    delta = SparseDelta.diff(base, other)
    with delta.on(base):
        assert torch.equal(base.weight, other.weight)
    assert torch.equal(base.weight, before)


def masked_language_model(seed: int, layers: int = 1) -> BertForMaskedLM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=20, hidden_size=8, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=8
        )
        return BertForMaskedLM(config).eval()


def test_tied_embeddings_stay_tied():
    base = masked_language_model(0)
    other = changed(base, 1)
    delta = SparseDelta.diff(base, other)
    with delta.on(base):
        assert same(base, other)
        assert base.get_output_embeddings().weight is base.get_input_embeddings().weight
    assert sum("word_embeddings" in name or "decoder.weight" in name for name in delta.indices) == 1


def test_delta_of_the_encoder_fits_with_and_without_a_head(tmp_path):
    base = masked_language_model(0)
    tuned = copy.deepcopy(base)
    tuned.bert = changed(base.bert, 1)
    tuned.tie_weights()
    group = {name: value.detach() for name, value in base.named_parameters() if name.startswith("bert.")}
    positions = {name: torch.arange(value.numel()) for name, value in group.items()}
    delta = SparseDelta.of(group, tuned.requires_grad_(False), positions, "language")
    base.save_pretrained(tmp_path)
    encoder = AutoModel.from_pretrained(tmp_path, add_pooling_layer=False)
    assert isinstance(encoder, BertModel)
    delta.apply(encoder)
    assert same(encoder, tuned.bert)
    fitting = SparseDelta.diff(masked_language_model(0).bert, tuned.bert)  # names without prefix, on a model with
    fitting.apply(base)
    assert same(base.bert, tuned.bert)


def test_a_delta_takes_no_layers_away():
    deep, shallow = masked_language_model(0, layers=2), masked_language_model(0)
    for base in (deep, deep.bert):
        with pytest.raises(BistilError, match=r"encoder\.layer\.1\.\S+ is in the base alone, whose layers"):
            SparseDelta.diff(base, shallow)
    assert SparseDelta.diff(shallow, shallow.bert).density == 0  # a head that only the base has is no layer


def test_names_with_and_without_prefix_add_up():
    base = masked_language_model(0)
    tuned = [changed(base.bert, seed, 0.5) for seed in (1, 2)]
    without = SparseDelta.diff(base.bert, tuned[0])
    other = copy.deepcopy(base)
    other.bert = tuned[1]
    other.tie_weights()
    with_prefix = SparseDelta.diff(base, other)
    expected = dense_sum(base.bert, (tuned[0], 1), (tuned[1], 1))
    (without + with_prefix).merge(base)
    for value, wanted in zip(base.bert.parameters(), expected, strict=True):
        assert torch.allclose(value.double(), wanted, atol=1e-6)


def test_delta_comes_off_a_model_that_moved_to_other_storage():
    model = network(0)
    delta = SparseDelta.diff(model, changed(model, 1))
    delta.apply(model)
    model.double().float()  # new storage behind the same parameters
    delta.remove(model)
    assert same(model, network(0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda():
    model = network(0)
    other = changed(model, 1)
    delta = SparseDelta.diff(model, other)
    model.cuda()
    delta.apply(model)
    assert same(model.cpu(), other)
    model.cuda()
    delta.remove(model)
    assert same(model.cpu(), network(0))
