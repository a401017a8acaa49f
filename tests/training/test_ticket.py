"""The sparse phase against dense training whose gradients are masked by hand, and the whole ticket's promises."""

import copy

import pytest
import torch
from torch import nn

from bistil.errors import BistilError
from bistil.sparse.groups import encoder_parameters, layer_norms
from bistil.training import ticket
from bistil.training.ticket import Length, lottery_ticket
from bistil.training.values import SparseValues


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
    from bistil.tasks.classification import Classification, Example
    from bistil.training import transfer

    examples = [
        Example((line,), label) for line, label in zip(tiny_lines["en"][:48], ["a", "b"] * 24, strict=True)
    ]
    task = Classification.from_examples(examples)
    model = task.new_model(tiny_teacher, seed=3)
    start = copy.deepcopy(model)
    features = task.features(examples, tiny_tokenizer, 32)
    training = transfer.TaskTraining((Length(1), Length(2)), 8, 1e-3, 0.08, seed=3)
    seen: list[int] = []
    delta = transfer.tune_teacher(
        model, features, task.collator(tiny_tokenizer), training, tmp_path, lambda step, _: seen.append(step)
    )
    assert sorted(set(seen)) == list(range(training.steps(48) + 1))
    encoder = set(encoder_parameters(model))
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
    from bistil.tasks.classification import Classification

    model = Classification(("a", "b")).new_model(tiny_teacher)
    outside = {name for name, _ in model.named_parameters()} - set(encoder_parameters(model))
    assert outside == {
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
        "classifier.weight",
        "classifier.bias",
    }


def test_head_is_copied_and_nothing_else(tiny_teacher):
    from bistil.tasks.classification import Classification
    from bistil.training import transfer

    task = Classification(("a", "b"))
    teacher, student = task.new_model(tiny_teacher, seed=1), task.new_model(tiny_teacher, seed=2)
    with torch.no_grad():
        teacher.bert.embeddings.word_embeddings.weight.zero_()
    transfer.copy_head(teacher, student)
    assert torch.equal(teacher.classifier.weight, student.classifier.weight)
    assert torch.equal(teacher.bert.pooler.dense.weight, student.bert.pooler.dense.weight)
    assert student.bert.embeddings.word_embeddings.weight.abs().sum() > 0


@pytest.mark.parametrize(("count", "batch", "epochs"), [(50, 8, 3), (300, 4, 2), (5, 8, 1), (5, 8, 4), (3, 2, 3)])
def test_training_order_holds_every_example_once_a_pass(count, batch, epochs):
    from bistil.training.batches import training_order

    order = training_order([i % 7 for i in range(count)], batch, epochs, seed=0)
    for epoch in range(epochs):
        assert sorted(order[epoch * count : (epoch + 1) * count]) == list(range(count))
    assert (order == training_order([i % 7 for i in range(count)], batch, epochs, seed=0)).all()


def toy_trainer(model: nn.Module, count: int, **arguments: object):
    """A trainer factory for a toy network on random data, `count` batches of 8 a phase, any loss."""
    from transformers import TrainingArguments

    from bistil.training.trainer import ResumableTrainer

    class Toy(ResumableTrainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            loss = nn.functional.cross_entropy(model(inputs["x"]), inputs["y"])
            return (loss, {}) if kwargs.get("return_outputs") else loss

    data = [{"x": x, "y": y} for inputs, labels in batches(count) for x, y in zip(inputs, labels, strict=True)]

    def trainer(phase):
        settings = {
            "output_dir": str(phase.folder),
            "per_device_train_batch_size": 8,
            "learning_rate": 0.02,
            "num_train_epochs": 1,
            "train_sampling_strategy": "sequential",
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            "remove_unused_columns": False,
            "label_names": ["y"],
            **arguments,
        }
        seen.append((phase.name, phase.iteration, phase.positions))
        return Toy(
            model=model,
            args=TrainingArguments(**settings),
            train_dataset=data,
            eval_dataset=data,
            positions=phase.positions,
            on_step=lambda step, loss: None,
        )

    seen: list = []
    trainer.seen = seen
    return trainer


BODY = ("0.weight", "0.bias")


def test_mask_grows_step_by_step_and_ends_with_k_entries(tmp_path):
    model = network()
    trainer = toy_trainer(model, 4)
    delta = lottery_ticket(model, BODY, 0.4, tmp_path, "task", trainer, iterations=2)
    masks = [positions for name, _, positions in trainer.seen if name == "sparse"]
    assert [(name, i) for name, i, _ in trainer.seen] == [("full", 1), ("sparse", 1), ("full", 2), ("sparse", 2)]
    assert [sum(map(len, mask.values())) for mask in masks] == [7, 14]  # of 35 entries
    for name in BODY:
        assert set(masks[0][name].tolist()) <= set(masks[1][name].tolist())
        changed = (model.get_parameter(name) != network().get_parameter(name)).flatten().nonzero().flatten()
        assert changed.tolist() == masks[1][name].tolist()
    assert delta.density == 14 / 35


@pytest.mark.slow
def test_interrupted_growing_goes_on_to_the_same_weights(tmp_path):
    whole, broken = network(), network()
    expected = lottery_ticket(whole, BODY, 0.4, tmp_path / "a", "task", toy_trainer(whole, 2), iterations=2)

    class Killed(Exception):
        pass

    def dying(phase):
        if phase.iteration == 2 and phase.name == "sparse":
            raise Killed
        return toy_trainer(broken, 2)(phase)

    with pytest.raises(Killed):
        lottery_ticket(broken, BODY, 0.4, tmp_path / "b", "task", dying, iterations=2)
    again = network()
    trainer = toy_trainer(again, 2)
    found = lottery_ticket(again, BODY, 0.4, tmp_path / "b", "task", trainer, iterations=2)
    assert [(name, iteration) for name, iteration, _ in trainer.seen] == [("sparse", 2)]
    for name, index in expected.indices.items():
        assert torch.equal(index, found.indices[name])
        assert torch.equal(expected.values[name], found.values[name])


def test_a_finished_phase_is_not_run_again_though_the_next_one_failed(tmp_path, monkeypatch):
    """Its checkpoints go when what it chose is saved, not before."""
    monkeypatch.setattr("bistil.training.trainer._CHECKPOINT_SECONDS", 0.0)
    model, kept = network(), []
    save = ticket.save_tensors

    def noting(tensors, path):
        kept.append([one.name for one in tmp_path.glob("full-1/checkpoint-*")])
        save(tensors, path)

    monkeypatch.setattr(ticket, "save_tensors", noting)

    class Full(Exception):
        pass

    def failing(phase):
        if phase.name == "sparse":
            raise Full
        return toy_trainer(model, 4)(phase)

    with pytest.raises(Full):
        lottery_ticket(model, BODY, 0.4, tmp_path, "task", failing)
    assert [sorted(names) for names in kept] == [["checkpoint-3"]]
    assert not list(tmp_path.glob("full-1/checkpoint-*"))
    trainer = toy_trainer(model, 4)
    lottery_ticket(network(), BODY, 0.4, tmp_path, "task", trainer)
    assert [name for name, *_ in trainer.seen] == ["sparse"]


def test_frozen_parameters_stay_and_are_no_part_of_the_delta(tmp_path):
    model = nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 2))
    before = copy.deepcopy(model)
    norms = layer_norms(model)
    assert norms == ("1.weight", "1.bias")
    group = ("0.weight", "0.bias", *norms)
    delta = lottery_ticket(model, group, 0.2, tmp_path, "task", toy_trainer(model, 4), freeze=norms)
    assert torch.equal(model[1].weight, before[1].weight)
    assert torch.equal(model[1].bias, before[1].bias)
    assert model[1].weight.requires_grad
    assert set(delta.indices) == set(BODY)
    assert set(delta.dense) == {"2.weight", "2.bias"}
    assert not torch.equal(model[2].weight, before[2].weight)


def test_weight_decay_moves_what_is_trained_and_nothing_else(tmp_path):
    model = network()
    lottery_ticket(model, BODY, 0.4, tmp_path, "task", toy_trainer(model, 4, weight_decay=0.5))
    plain = network()
    lottery_ticket(plain, BODY, 0.4, tmp_path / "plain", "task", toy_trainer(plain, 4))
    assert sum(int((model.get_parameter(n) != network().get_parameter(n)).sum()) for n in BODY) == 14
    assert not torch.equal(model[2].weight, plain[2].weight)


def test_phase_ends_with_the_best_checkpoint_by_a_metric(tmp_path):
    """At a rate that makes training diverge the best checkpoint is an early one."""
    model = network()
    trainer = toy_trainer(
        model,
        12,
        learning_rate=5.0,
        lr_scheduler_type="constant",
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=2,
        save_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        prediction_loss_only=True,
    )
    runs = []

    def remembered(phase):
        runs.append(trainer(phase))
        return runs[-1]

    lottery_ticket(model, BODY, 0.4, tmp_path, "task", remembered)
    losses = [entry["eval_loss"] for entry in runs[-1].state.log_history if "eval_loss" in entry]
    assert losses[-1] > 1.2 * min(losses)
    every = [(inputs, labels) for inputs, labels in batches(12)]
    with torch.no_grad():
        found = torch.stack([nn.functional.cross_entropy(model(x), y) for x, y in every]).mean()
    assert float(found) == pytest.approx(min(losses), rel=1e-4)


def test_groups_that_match_nothing(tmp_path):
    model = network()
    trainer = toy_trainer(model, 1)
    for group, density, message in (
        ((), 0.1, "group of parameters is empty"),
        (("0.wait",), 0.1, r"no parameter 0\.wait"),
        (BODY, 0, "share above 0"),
        (BODY, 1.5, "share above 0"),
        (BODY, 0.02, "leaves none to train"),
    ):
        with pytest.raises(BistilError, match=message):
            lottery_ticket(model, group, density, tmp_path, "task", trainer)
    assert not trainer.seen


def test_lengths_of_phases():
    assert Length(3).steps(100) == 300
    assert Length(3, min_steps=1000).steps(100) == 1000
    assert Length(30, min_steps=10, max_steps=2000).steps(100) == 2000
    with pytest.raises(BistilError, match=r"max_steps is 5, below min_steps, 10"):
        Length(1, min_steps=10, max_steps=5)
