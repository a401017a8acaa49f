"""What surrounds every training: the signal it listens to, and the one device of a process."""

import signal
import threading
from functools import cached_property

import pytest
import torch
from torch import nn
from transformers import TrainingArguments

from bistil.errors import BistilError
from bistil.training import checkpoints
from bistil.training.trainer import ResumableTrainer, arguments


class Regression(ResumableTrainer):
    """A linear layer on random data."""

    def compute_loss(self, model, inputs, *_, **__):
        return (model(inputs["x"]) - inputs["y"]).pow(2).mean()


class Judged(Regression):
    """The earlier, the better."""

    def evaluate(self, *_, **__):
        return {"eval_score": -self.state.global_step}


@pytest.fixture
def trainer(tmp_path):
    """A function that makes a trainer of six steps, of all parameters or some entries."""

    def make(on_step=lambda step, loss: None, positions=None, model=None):
        torch.manual_seed(0)
        data = [{"x": torch.randn(3), "y": torch.randn(2)} for _ in range(24)]
        settings = arguments(tmp_path, batch=4, learning_rate=0.01, seed=0, further={"bf16": False})
        return Regression(
            model=model or nn.Linear(3, 2), args=settings, train_dataset=data, on_step=on_step, positions=positions
        )

    return make


@pytest.fixture
def others():
    """The SIGTERM handler of a server or a notebook, which was there before."""

    def handler(number, frame):
        raise AssertionError("not meant for the server")

    before = signal.signal(signal.SIGTERM, handler)
    yield handler
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("when", [0, 3])
@pytest.mark.parametrize("error", [ValueError, BistilError, KeyboardInterrupt, SystemExit])
def test_a_training_that_fails_gives_the_signal_back(trainer, others, error, when):
    def failing(step, loss):
        if step == when:
            raise error("enough")

    with pytest.raises(error, match="enough"):
        trainer(failing).run()
    assert signal.getsignal(signal.SIGTERM) is others


def test_a_training_that_ends_gives_the_signal_back(trainer, others):
    during = []
    trainer(lambda step, loss: during.append(signal.getsignal(signal.SIGTERM))).run()
    assert others not in during
    assert signal.getsignal(signal.SIGTERM) is others


def test_a_training_inside_another_gives_the_signal_back_to_it(trainer, others):
    outer = []

    def nested(step, loss):
        outer.append(signal.getsignal(signal.SIGTERM))
        if step == 2:
            with pytest.raises(ValueError, match="inner"):
                trainer(lambda step, loss: (_ for _ in ()).throw(ValueError("inner"))).run()

    trainer(nested).run()
    assert len(outer) == 7
    assert len(set(outer)) == 1
    assert signal.getsignal(signal.SIGTERM) is others


def test_a_signal_ends_the_training_with_a_checkpoint_and_is_given_back(trainer, others, tmp_path):
    def told(step, loss):
        if step == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as left:
        trainer(told).run()
    assert left.value.code == 128 + signal.SIGTERM
    assert checkpoints.newest_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    assert signal.getsignal(signal.SIGTERM) is others


def test_in_another_thread_the_signal_is_left_alone(trainer, others):
    seen = []
    thread = threading.Thread(
        target=lambda: trainer(lambda step, loss: seen.append(signal.getsignal(signal.SIGTERM))).run()
    )
    thread.start()
    thread.join()
    assert seen == [others] * 7


def test_a_handler_that_python_did_not_set_stays(trainer, monkeypatch):
    """Python cannot set it again, so that it must not be replaced."""
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda *_: pytest.fail("replaced"))
    trainer().run()


def test_a_sparse_training_that_fails_leaves_no_hooks_on_the_model(trainer):
    def failing(step, loss):
        if step == 2:
            raise ValueError("enough")

    model, positions = nn.Linear(3, 2), {"weight": torch.tensor([1, 4])}
    with pytest.raises(ValueError, match="enough"):
        trainer(failing, positions, model).run()
    model(torch.ones(3)).sum().backward()
    assert model.weight.grad.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_a_resumed_training_still_comes_back_to_its_best_checkpoint(tmp_path):
    def trained(folder, on_step=lambda step, loss: None):
        torch.manual_seed(0)
        data = [{"x": torch.randn(3), "y": torch.randn(2)} for _ in range(24)]
        settings = TrainingArguments(
            folder, num_train_epochs=3, per_device_train_batch_size=4, learning_rate=0.01, eval_strategy="epoch",
            save_strategy="epoch", load_best_model_at_end=True, metric_for_best_model="score", use_cpu=True,
            greater_is_better=True, remove_unused_columns=False, disable_tqdm=True, report_to="none",
        )  # fmt: skip
        model = nn.Linear(3, 2)
        Judged(model=model, args=settings, train_dataset=data, eval_dataset=data, on_step=on_step).run()
        return model.weight

    def failing(step, loss):
        if step == 15:
            raise ValueError("enough")

    expected = trained(tmp_path / "whole")
    with pytest.raises(ValueError, match="enough"):
        trained(tmp_path / "resumed", failing)
    assert torch.equal(trained(tmp_path / "resumed"), expected)


def test_chosen_entries_are_trained_by_the_optimizer_that_is_asked_for(tmp_path):
    def made(positions, **values):
        settings = TrainingArguments(tmp_path, use_cpu=True, report_to="none", **values)
        model, told = nn.Linear(3, 2), lambda step, loss: None
        trainer = Regression(model=model, args=settings, train_dataset=[], on_step=told, positions=positions)
        defaults = trainer.create_optimizer().defaults
        return defaults["betas"], defaults["eps"]

    values = {"adam_beta1": 0.5, "adam_beta2": 0.7, "adam_epsilon": 1e-3}
    chosen = {"weight": torch.tensor([1, 4])}
    assert made(chosen, **values) == made(None, **values) == ((0.5, 0.7), 1e-3)
    with pytest.raises(BistilError, match="Chosen entries are trained by AdamW, not by sgd"):
        made(chosen, optim="sgd")


def test_of_several_gpus_a_process_uses_one(trainer, monkeypatch):
    """As transformers would do where there are two: it counts them, and makes the batch as many times larger."""

    real = TrainingArguments.__dict__["_setup_devices"]

    def two_gpus(self):
        device = real.__get__(self)
        self._n_gpu = 2
        return device

    emulated = cached_property(two_gpus)
    emulated.__set_name__(TrainingArguments, "_setup_devices")
    monkeypatch.setattr(TrainingArguments, "_setup_devices", emulated)
    sizes, wrapped = [], []

    class Layer(nn.Linear):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    made = trainer(lambda step, loss: wrapped.append(made.model_wrapped), model=Layer(3, 2))
    assert made.args.train_batch_size == 4
    made.run()
    assert sizes == [4] * 6
    assert not any(isinstance(model, nn.DataParallel) for model in wrapped)
