"""The shape within a share of the teacher's time: by measured lines, corrected by a measurement of itself."""

import pytest
import torch
from transformers import AutoModel, BertConfig

from bistil.models import teachers
from bistil.models.shapes import StudentShape
from bistil.pipeline import budgets, shapetimes
from bistil.pipeline.budgets import within_operations, within_parameters, within_time
from bistil.pipeline.shapetimes import text_seconds


@pytest.fixture(scope="module")
def teacher(tiny_teacher):
    return teachers.read_config(tiny_teacher)  # 4 layers of 32, feed-forward 64


@pytest.fixture
def machine(monkeypatch):
    """A machine whose time is known, and what was measured on it."""
    measured = []

    def install(seconds):
        def text_seconds(shapes, tokenizer, engine, lengths):
            measured.append([(one.num_hidden_layers, one.hidden_size, one.intermediate_size) for one in shapes])
            return {tokens: [seconds(one) for one in shapes] for tokens in lengths}

        monkeypatch.setattr(budgets, "text_seconds", text_seconds)
        return measured

    return install


def linear(config):
    return 1 + config.num_hidden_layers * (config.hidden_size / 8 + config.intermediate_size / 16)


@pytest.mark.parametrize("budget", [0.9, 0.7, 0.6, 0.5, 0.4])
def test_lines_through_three_small_encoders_say_what_all_shapes_take(machine, teacher, budget):
    measured = machine(linear)
    shape, share = within_time(teacher, None, budget, "int8", 64)
    config = shape.config(teacher)
    assert share == pytest.approx(linear(config) / linear(teacher))
    assert share <= budget
    larger = [
        StudentShape(tuple(range(1, layers + 1)), inner, hidden).config(teacher)
        for layers in range(1, 5)
        for hidden, least in ((None, 32), (16, 16))
        for inner in range(least, 65, 8)
    ]
    fits = [one for one in larger if linear(one) <= budget * linear(teacher)]
    key = lambda one: (one.hidden_size, one.num_hidden_layers, one.intermediate_size)  # noqa: E731
    best = max(fits, key=key)
    assert key(config)[:2] == key(best)[:2]
    assert config.intermediate_size >= best.intermediate_size  # of which finer steps are tried
    assert all(layers <= 3 for encoders in measured[:-1] for layers, *_ in encoders)
    assert measured[-1] == [(4, 32, 64), (config.num_hidden_layers, config.hidden_size, config.intermediate_size)]


def test_what_takes_longer_than_lines_say_becomes_smaller(machine, teacher):
    """All layers cost more than the first three do."""
    machine(lambda config: linear(config) * (1.3 if config.intermediate_size == 40 else 1.0))
    shape, share = within_time(teacher, None, 0.8, "int8", 64)
    assert (len(shape.layers), share <= 0.8 * 1.03) == (4, True)


def test_what_takes_less_than_lines_say_becomes_larger(machine, teacher):
    """Feed-forwards between the widths that are measured take less than lines let one think."""

    def seconds(config):
        return linear(config) * (0.8 if 16 < config.intermediate_size < 64 else 1.0)

    measured = machine(seconds)
    _, share = within_time(teacher, None, 0.5, "int8", 64)
    tried = [one[1] for one in measured if len(one) == 2]
    shares = [
        seconds(StudentShape((1, 2, 3, 4)[:layers], inner, hidden).config(teacher)) / seconds(teacher)
        for layers, hidden, inner in tried
    ]
    assert len(tried) > 1
    assert shares[0] < share == pytest.approx(max(own for own in shares if own <= 0.5 * 1.03))


@pytest.mark.parametrize("budget", [0.3, 0.5, 0.7])
def test_where_lines_are_far_off_measuring_goes_on_until_the_budget_is_used(machine, budget):
    """As where the cache holds the small encoders and not the whole teacher."""
    teacher = BertConfig(hidden_size=384, num_attention_heads=12, num_hidden_layers=12, intermediate_size=1536)
    machine(lambda config: linear(config) ** 2)
    shape, share = within_time(teacher, None, budget, "int8", 64)
    assert share == pytest.approx((linear(shape.config(teacher)) / linear(teacher)) ** 2)
    assert 0.9 <= share / budget <= 1.03


def test_a_time_is_that_without_neighbours(teacher, monkeypatch):
    """In two of three rounds they take as long again."""
    clock, rounds = [0.0], []
    monkeypatch.setattr(shapetimes.time, "perf_counter", lambda: clock[0])

    def runner(config, *_):
        def run(batches):
            rounds.append(config)
            busy = 1 + (rounds.count(config) % 3 > 0)
            clock[0] += busy * config.num_hidden_layers * sum(len(batch["input_ids"]) for batch in batches)

        return run

    monkeypatch.setattr(shapetimes, "_runner", runner)
    shapes = [StudentShape(layers).config(teacher) for layers in ((1, 2, 3, 4), (1,))]
    assert text_seconds(shapes, None, "int8", [16]) == {16: [4, 1]}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["int8", "onnx", "torch"])
def test_fewer_layers_take_less_time_in_every_engine(teacher, tiny_tokenizer, engine):
    """So much less that no neighbour of this machine hides it."""
    wide = type(teacher).from_dict(teacher.to_dict() | {"intermediate_size": 4096})
    one = StudentShape((1,), intermediate_size=8).config(wide)
    found = text_seconds([wide, one], tiny_tokenizer, engine, [16, 48])
    assert found.keys() == {16, 48}
    for whole, part in found.values():
        assert 0 < part < whole


def test_parameters_are_those_of_the_model(teacher):
    shape, share = within_parameters(teacher, 0.8)
    whole, part = (AutoModel.from_config(one, add_pooling_layer=False) for one in (teacher, shape.config(teacher)))
    assert share == pytest.approx(part.num_parameters() / whole.num_parameters())
    assert share <= 0.8


def test_operations_are_those_of_the_linear_layers_and_of_attention(teacher):
    shape = within_operations(teacher, 0.6, 64)

    def operations(config):
        with torch.device("meta"):
            model = AutoModel.from_config(config, add_pooling_layer=False)
        products = sum(one.weight.numel() for one in model.modules() if isinstance(one, torch.nn.Linear))
        return products + 2 * 64 * config.hidden_size * config.num_hidden_layers

    assert operations(shape.config(teacher)) <= 0.6 * operations(teacher)
