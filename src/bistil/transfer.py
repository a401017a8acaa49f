"""Phase 2: tune the task teacher, then distil the task into the student, both by sparse fine-tuning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from bistil.distillation import DistillationTrainer
from bistil.sparse.delta import SparseDelta
from bistil.sparse.ticket import lottery_ticket
from bistil.students import Alignment
from bistil.training import ResumableTrainer, arguments

OnStep = Callable[[int, str], None]


@dataclass(frozen=True)
class TaskTraining:
    """How a task is learned: passes over the data in the full and the sparse phase, batch, density, seed."""

    epochs: tuple[int, int]
    batch: int
    learning_rate: float
    density: float
    seed: int

    def steps(self, features: int) -> int:
        """Optimizer steps of both phases together: 1,000 features in batches of 16 for 2 passes give 126."""
        return sum(self.epochs) * -(-features // self.batch)


class OrderedFeatures(Dataset[dict[str, Any]]):
    """Features in training order over all passes; like lengths share a batch, so that little is padded.

    The order depends on the seed alone, so a resumed run goes on where the interrupted one stopped. Batches
    are cut from a shuffled pool of 16 batches sorted by length, then shuffled.
    """

    def __init__(self, features: Sequence[dict[str, Any]], batch: int, epochs: int, seed: int) -> None:
        self._features = features
        self._order = training_order([len(f["input_ids"]) for f in features], batch, epochs, seed)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, item: int) -> dict[str, Any]:
        return self._features[self._order[item]]


def training_order(lengths: Sequence[int], batch: int, epochs: int, seed: int) -> np.ndarray:
    """Indices of examples, pass after pass; each pass holds every example once, its short batch last.

    Example: three examples, batch 2, 2 passes give 6 indices.
    """
    order: list[np.ndarray] = []
    sizes = np.asarray(lengths)
    for epoch in range(epochs):
        generator = np.random.default_rng([seed, epoch])
        shuffled = generator.permutation(len(sizes))
        full = len(shuffled) // batch * batch
        pools = np.split(shuffled[:full], range(16 * batch, full, 16 * batch))
        ordered = np.concatenate([pool[np.argsort(sizes[pool], kind="stable")] for pool in pools])
        batches = ordered.reshape(-1, batch)
        order += [batches[generator.permutation(len(batches))].ravel(), shuffled[full:]]
    return np.concatenate(order)


def tune_teacher(
    model: PreTrainedModel,
    features: Sequence[dict[str, Any]],
    collator: Any,
    training: TaskTraining,
    folder: Path,
    on_step: OnStep,
) -> SparseDelta:
    """Tunes ``model`` (an encoder with a new head) on gold labels in place; returns the task delta."""

    def trainer(settings: Mapping[str, Any]) -> ResumableTrainer:
        return ResumableTrainer(model=model, **settings)

    return _ticket(model, features, collator, training, folder, "task", trainer, on_step)


def distil_task(
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    alignment: Alignment,
    features: Sequence[dict[str, Any]],
    collator: Any,
    training: TaskTraining,
    folder: Path,
    on_step: OnStep,
) -> SparseDelta:
    """Distils a task teacher into ``student`` in place; returns the student's task delta.

    The student's head starts as the teacher's. The loss is hidden + attention + logits; gold labels are not
    used but for which positions are labelled (BiStil, section 3.3).
    """
    copy_head(teacher, student, alignment.projection)

    def trainer(settings: Mapping[str, Any]) -> ResumableTrainer:
        return DistillationTrainer(model=student, teacher=teacher, alignment=alignment, **settings)

    return _ticket(student, features, collator, training, folder, "task", trainer, on_step)


def copy_head(teacher: PreTrainedModel, student: PreTrainedModel, projection: Tensor | None = None) -> None:
    """Copies every parameter outside the encoder from teacher to student.

    ``projection`` [teacher width, student width] takes a wider teacher's hidden states to the student's: a head's
    dimensions of that width go through it. Example: a classifier [3, 384] becomes one of [3, 256].
    """
    encoder = set(encoder_parameters(teacher))
    head = {name: value for name, value in teacher.named_parameters() if name not in encoder}
    with torch.no_grad():
        for name, value in student.named_parameters():
            if name not in head:
                continue
            source = head[name]
            for dimension, size in enumerate(value.shape):
                if projection is not None and (source.shape[dimension], size) == projection.shape:
                    source = torch.tensordot(source, projection.to(source), ([dimension], [0])).movedim(
                        -1, dimension
                    )
            value.copy_(source)


def encoder_parameters(model: PreTrainedModel) -> tuple[str, ...]:
    """Names of the parameters that existed before the task: the encoder without a pooler, which is a new head.

    A model without a head is all encoder. Example: ``("bert.embeddings.word_embeddings.weight", …)``.
    """
    inside = "" if model.base_model is model else f"{model.base_model_prefix}."
    return tuple(
        name
        for name, _ in model.named_parameters()
        if name.startswith(inside) and not name.startswith(f"{inside}pooler.")
    )


def _ticket(
    model: PreTrainedModel,
    features: Sequence[dict[str, Any]],
    collator: Any,
    training: TaskTraining,
    folder: Path,
    kind: str,
    trainer: Callable[[Mapping[str, Any]], ResumableTrainer],
    on_step: OnStep,
) -> SparseDelta:
    per_epoch = -(-len(features) // training.batch)

    def phase(name: str, where: Path, positions: Mapping[str, Tensor] | None) -> ResumableTrainer:
        full = name == "full"
        epochs = training.epochs[0] if full else training.epochs[1]
        before = 0 if full else training.epochs[0] * per_epoch
        seed = 2 * training.seed + (0 if full else 1)
        settings = {
            "args": arguments(where, batch=training.batch, learning_rate=training.learning_rate, seed=seed),
            "train_dataset": OrderedFeatures(features, training.batch, epochs, seed),
            "data_collator": collator,
            "positions": positions,
            "on_step": lambda step, loss: on_step(
                before + step, "" if loss is None else f"{name} · loss {loss:.3f}"
            ),
        }
        return trainer(settings)

    return lottery_ticket(model, encoder_parameters(model), training.density, folder, kind, phase)
