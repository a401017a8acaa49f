"""Monolingual batches, and training under language deltas against doing it by hand."""

import copy
from collections import Counter

import pytest
import torch
from torch import nn

from bistil.errors import BistilError
from bistil.sparse.delta import SparseDelta
from bistil.tasks.classification import Classification, Example
from bistil.training import transfer
from bistil.training.batches import MonolingualBatches, monolingual
from bistil.training.multisource import Addition
from bistil.training.ticket import Length


def features(count: int) -> list[dict]:
    return [{"input_ids": [1] * (number % 5 + 1), "number": number} for number in range(count)]


def test_batches_are_monolingual_and_in_proportion():
    sources = {"en": features(64), "sw": features(20)}
    data = MonolingualBatches(sources, 16, steps=18, seed=0)
    items = [data[index] for index in range(len(data))]
    batches = [items[start : start + 16] for start in range(0, len(items), 16)]
    languages = [{item["language"] for item in batch} for batch in batches]
    assert all(len(found) == 1 for found in languages)
    assert Counter(found.pop() for found in languages) == {"en": 12, "sw": 6}
    english = [item["number"] for item in items if item["language"] == "en"]
    assert Counter(english) == dict.fromkeys(range(64), 3)  # three passes
    assert items == [MonolingualBatches(sources, 16, steps=18, seed=0)[index] for index in range(len(data))]


def test_collator_keeps_the_language_of_the_batch():
    collate = monolingual(lambda rows: {"count": len(rows), "keys": set().union(*rows)})
    rows = [{"x": 1, "language": "en"}, {"x": 2, "language": "en"}]
    assert collate(rows) == {"count": 2, "keys": {"x"}, "language": "en"}
    with pytest.raises(ValueError, match="too many values"):
        collate([*rows, {"x": 3, "language": "tr"}])


def test_addition_adds_to_what_the_model_holds_and_leaves_no_trace():
    base = nn.Linear(5, 4)
    tuned = copy.deepcopy(base)
    with torch.no_grad():
        tuned.weight[::2] += 0.3
    addition = Addition(base, SparseDelta.diff(base, tuned))
    with torch.no_grad():
        for value in base.parameters():
            value += torch.randn_like(value)  # as training does
    for _ in range(500):
        before = copy.deepcopy(base)
        with addition.on():
            expected = before.weight + 0.3 * (torch.arange(4) % 2 == 0)[:, None]
            assert torch.allclose(base.weight, expected)
        assert torch.equal(base.weight, before.weight)


@pytest.fixture
def sources(tiny_teacher, tiny_lines, tiny_tokenizer):
    examples = {
        language: [Example((line,), label) for line, label in zip(lines[:count], "ab" * (count // 2), strict=True)]
        for (language, lines), count in zip(tiny_lines.items(), (32, 16), strict=True)
    }
    task = Classification(("a", "b"))
    model = task.new_model(tiny_teacher, seed=3)
    found = {language: task.features(own, tiny_tokenizer, 32) for language, own in examples.items()}
    deltas = {}
    for number, language in enumerate(found):
        tuned = copy.deepcopy(model)
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for value in tuned.bert.encoder.parameters():
                value[torch.rand(value.shape, generator=generator) < 0.1] += 0.1
        deltas[language] = SparseDelta.diff(model.bert, tuned.bert)
    return model, found, deltas, task.collator(tiny_tokenizer)


def differences(base: nn.Module, delta: SparseDelta) -> dict[str, torch.Tensor]:
    tuned = copy.deepcopy(base)
    delta.merge(tuned)
    pairs = zip(base.named_parameters(), tuned.parameters(), strict=True)
    return {name: (after - before).detach() for (name, before), after in pairs}


def test_training_equals_a_loop_that_adds_and_takes_off_by_hand(sources, tmp_path):
    """At density 1 the sparse phase trains everything, so that a dense loop must come to the same."""
    model, found, deltas, collator = sources
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    start = copy.deepcopy(model)
    dense = {language: differences(start, delta) for language, delta in deltas.items()}
    seen = []

    class Recording(transfer.MultiSourceTrainer):
        def training_step(self, model, inputs, *args, **kwargs):
            seen.append(
                {key: value.clone() if hasattr(value, "clone") else value for key, value in inputs.items()}
            )
            return super().training_step(model, inputs, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "MultiSourceTrainer", Recording)
        patch.setattr("bistil.training.trainer.mixed_precision", lambda: False)
        training = transfer.TaskTraining((Length(1, 4, 4), Length(1, 4, 4)), 8, 1e-3, 1.0, seed=0)
        transfer.tune_teacher_on_sources(
            model, found, deltas, collator, training, tmp_path, lambda step, text: None
        )
    assert {inputs["language"] for inputs in seen} == {"en", "tr"}
    optimizer = torch.optim.AdamW(start.parameters(), lr=1e-3, weight_decay=0.0)
    warm_up = 1  # of 4 steps, 6 % rounded up
    for step, inputs in enumerate(seen[4:]):
        language = inputs.pop("language")
        optimizer.param_groups[0]["lr"] = 1e-3 * (step if step < warm_up else (4 - step) / (4 - warm_up))
        with torch.no_grad():
            for name, value in start.named_parameters():
                value += dense[language][name]
        start(**inputs).loss.backward()
        with torch.no_grad():
            for name, value in start.named_parameters():
                value -= dense[language][name]
        nn.utils.clip_grad_norm_(start.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    for (name, mine), theirs in zip(model.named_parameters(), start.parameters(), strict=True):
        if "key.bias" not in name:  # softmax does not see it: its gradient is noise, which Adam scales up
            assert torch.allclose(mine, theirs, atol=2e-5), name


def test_each_source_language_needs_a_delta(sources, tmp_path):
    model, found, deltas, collator = sources
    training = transfer.TaskTraining((Length(1), Length(1)), 8, 1e-3, 0.1, seed=0)
    with pytest.raises(BistilError, match="no language delta for tr"):
        transfer.tune_teacher_on_sources(
            model, found, {"en": deltas["en"]}, collator, training, tmp_path, lambda step, text: None
        )
