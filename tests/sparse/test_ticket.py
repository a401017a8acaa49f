"""The sparse phase against dense training whose gradients are masked by hand, and the whole ticket's promises."""

import copy

import pytest
import torch
from torch import nn

from bistil.sparse.values import SparseValues


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))


def batches(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 6, generator=generator), torch.randint(0, 2, (8,), generator=generator))
        for _ in range(count)
    ]


POSITIONS = {"0.weight": torch.tensor([0, 3, 17]), "0.bias": torch.tensor([4])}


def test_equals_dense_training_with_masked_gradients():
    sparse, dense = network(), network()
    values = SparseValues(sparse, POSITIONS)
    optimizer = values.optimizer(0.01)
    masks = {name: torch.zeros(value.numel()) for name, value in dense.named_parameters() if name in POSITIONS}
    for name, index in POSITIONS.items():
        masks[name][index] = 1
    reference = torch.optim.AdamW(dense.parameters(), lr=0.01, weight_decay=0.0)
    for inputs, labels in batches(20):
        nn.functional.cross_entropy(sparse(inputs), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        nn.functional.cross_entropy(dense(inputs), labels).backward()
        for name, value in dense.named_parameters():
            if name in masks:
                value.grad *= masks[name].view_as(value)
        nn.utils.clip_grad_norm_(dense.parameters(), 1.0)
        reference.step()
        reference.zero_grad()
    for (name, mine), theirs in zip(sparse.named_parameters(), dense.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6), name
    frozen = masks["0.weight"] == 0
    assert torch.equal(sparse[0].weight.view(-1)[frozen], network()[0].weight.view(-1)[frozen])


def test_optimizer_state_is_only_for_what_is_trained():
    model = network()
    optimizer = SparseValues(model, POSITIONS).optimizer(0.01)
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == 4 + 5 * 2 + 2


def test_gradients_accumulate_over_two_batches():
    once, twice = network(), network()
    (first, second) = batches(2)
    for model, parts in (
        (once, [tuple(map(torch.cat, zip(first, second, strict=True)))]),
        (twice, [first, second]),
    ):
        values = SparseValues(model, POSITIONS)
        optimizer = values.optimizer(0.01)
        for inputs, labels in parts:
            (nn.functional.cross_entropy(model(inputs), labels) / len(parts)).backward()
        optimizer.step()
    assert torch.allclose(once[0].weight, twice[0].weight, atol=1e-6)


def test_closed_values_leave_the_model_alone():
    model = network()
    values = SparseValues(model, POSITIONS)
    values.close()
    inputs, labels = batches(1)[0]
    nn.functional.cross_entropy(model(inputs), labels).backward()
    assert model[0].weight.grad is not None


def test_ticket_changes_exactly_k_entries_of_the_encoder(tiny_teacher, tiny_lines, tiny_tokenizer, tmp_path):
    from bistil import transfer
    from bistil.tasks.classification import Classification, Example

    examples = [
        Example((line,), label) for line, label in zip(tiny_lines["en"][:48], ["a", "b"] * 24, strict=True)
    ]
    task = Classification.from_examples(examples)
    model = task.new_model(tiny_teacher, seed=3)
    start = copy.deepcopy(model)
    features = task.features(examples, tiny_tokenizer, 32)
    training = transfer.TaskTraining((1, 2), 8, 1e-3, 0.08, seed=3)
    seen: list[int] = []
    delta = transfer.tune_teacher(
        model, features, task.collator(tiny_tokenizer), training, tmp_path, lambda step, _: seen.append(step)
    )
    assert seen == list(range(1, training.steps(48) + 1))
    encoder = set(transfer.encoder_parameters(model))
    changed = total = 0
    before = dict(start.named_parameters())
    for name, value in model.named_parameters():
        if name in encoder:
            changed += int((value != before[name]).sum())
            total += value.numel()
            inside = torch.zeros(value.numel(), dtype=torch.bool)
            inside[delta.indices[name]] = True
            assert torch.equal(value.flatten()[~inside], before[name].flatten()[~inside])
        else:
            assert not torch.equal(value, before[name]), name
    assert sum(map(len, delta.indices.values())) == int(0.08 * total)
    # an entry that was chosen can stay by chance where its gradient is 0 (a token that no batch had)
    assert int(0.06 * total) < changed <= int(0.08 * total)
    delta.apply(start)
    for one, other in zip(start.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_pooler_counts_as_head(tiny_teacher):
    from bistil import transfer
    from bistil.tasks.classification import Classification

    model = Classification(("a", "b")).new_model(tiny_teacher)
    outside = {name for name, _ in model.named_parameters()} - set(transfer.encoder_parameters(model))
    assert outside == {
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
        "classifier.weight",
        "classifier.bias",
    }


def test_head_is_copied_and_nothing_else(tiny_teacher):
    from bistil import transfer
    from bistil.tasks.classification import Classification

    task = Classification(("a", "b"))
    teacher, student = task.new_model(tiny_teacher, seed=1), task.new_model(tiny_teacher, seed=2)
    with torch.no_grad():
        teacher.bert.embeddings.word_embeddings.weight.zero_()
    transfer.copy_head(teacher, student)
    assert torch.equal(teacher.classifier.weight, student.classifier.weight)
    assert torch.equal(teacher.bert.pooler.dense.weight, student.bert.pooler.dense.weight)
    assert student.bert.embeddings.word_embeddings.weight.abs().sum() > 0


@pytest.mark.parametrize(("count", "batch", "epochs"), [(50, 8, 3), (300, 4, 2), (5, 8, 1)])
def test_training_order_holds_every_example_once_a_pass(count, batch, epochs):
    from bistil.transfer import training_order

    order = training_order([i % 7 for i in range(count)], batch, epochs, seed=0)
    for epoch in range(epochs):
        assert sorted(order[epoch * count : (epoch + 1) * count]) == list(range(count))
    assert (order == training_order([i % 7 for i in range(count)], batch, epochs, seed=0)).all()
