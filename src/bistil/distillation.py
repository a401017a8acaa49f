"""Phase 1, general distillation: the student learns the teacher's states on unlabelled text."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from bistil.corpora.blocks import Blocks, Rows
from bistil.corpora.masking import Masking
from bistil.corpora.mixed import MixedBlocks, held_out_batches
from bistil.objectives import attention_loss, hidden_loss, logits_loss
from bistil.states import StateReader
from bistil.training import ResumableTrainer, arguments, mixed_precision

# Measuring the held-out loss costs about as much as training on a tenth of this.
_TOKENS_A_POINT = 40_000


class DistillationTrainer(ResumableTrainer):
    """Trains ``model`` to follow a teacher's hidden states and attention, and its logits where it has any.

    The loss is hidden + attention (+ logits over the labelled positions), weight 1 each (BiStil,
    sections 3.2 and 3.3).
    """

    def __init__(
        self, *, model: PreTrainedModel, student: StateReader, teacher: StateReader, **settings: Any
    ) -> None:
        super().__init__(model=model, **settings)
        self._student, self._teacher = student, teacher

    def compute_loss(self, model: Any, inputs: Mapping[str, Tensor], *_: Any, **__: Any) -> Tensor:
        """The distillation loss of one batch."""
        model_inputs = {name: values for name, values in inputs.items() if name != "language"}
        return distillation_loss(self._student, self._teacher, model_inputs)


def distillation_loss(student: StateReader, teacher: StateReader, inputs: dict[str, Tensor]) -> Tensor:
    """Hidden + attention + logits loss of one batch; ``labels``, if any, only say which positions count."""
    labels = inputs.pop("labels", None)
    mask = inputs["attention_mask"].bool() if "attention_mask" in inputs else None
    device = inputs["input_ids"].device.type
    with torch.autocast(device, torch.bfloat16, enabled=mixed_precision()):
        with torch.no_grad():
            wanted = teacher(inputs)
        found = student(inputs)
    loss = hidden_loss(found.hidden, wanted.hidden, mask) + attention_loss(found.attention, wanted.attention, mask)
    if labels is not None and found.logits is not None and wanted.logits is not None:
        labelled = labels.ge(0) if labels.shape == found.logits.shape[:-1] else None
        loss = loss + logits_loss(found.logits, wanted.logits, labelled)
    return loss


def distil(
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    layers: tuple[int, ...],
    blocks: Mapping[str, tuple[Blocks, Rows]],
    masking: Masking,
    *,
    folder: Path,
    tokens: int,
    batch: int,
    learning_rate: float,
    seed: int,
    on_tokens: Callable[[int, str], None],
) -> list[dict[str, float]]:
    """Distils ``teacher`` into ``student`` in place; returns the held-out loss per language as it fell.

    ``layers`` are the teacher layers that the student's layers follow; ``blocks`` gives training and held-out
    blocks per language; ``tokens`` is the budget over all languages. Example row of the result:
    ``{"tokens": 20480, "en": 0.031, "tr": 0.036}``.
    """
    length = next(iter(blocks.values()))[0].shape[1]
    steps = max(len(blocks), round(tokens / (batch * length)))
    training = {language: ours for language, (ours, _) in blocks.items()}
    data = MixedBlocks(training, masking, batch=batch, batches=steps, seed=seed)
    teacher.eval().requires_grad_(False)
    student_states, teacher_states = (
        StateReader(student, own := range(1, len(layers) + 1), attention=own),
        StateReader(teacher, layers, attention=layers),
    )
    curve = _Curve(folder / "curve.json", steps, tokens)

    def measure(step: int, loss: float | None) -> None:
        on_tokens(step * batch * length, "" if loss is None else f"loss {loss:.4f}")
        if loss is not None and curve.due(step):  # the update of this step is still to come
            curve.add(
                (step - 1) * batch * length,
                held_out_losses(student_states, teacher_states, blocks, masking, seed),
            )

    trainer = DistillationTrainer(
        model=student,
        student=student_states,
        teacher=teacher_states,
        args=arguments(folder, batch=batch, learning_rate=learning_rate, seed=seed),
        train_dataset=data,
        on_step=measure,
    )
    trainer.run()
    curve.add(steps * batch * length, held_out_losses(student_states, teacher_states, blocks, masking, seed))
    return curve.rows


def held_out_losses(
    student: StateReader,
    teacher: StateReader,
    blocks: Mapping[str, tuple[Blocks, Rows]],
    masking: Masking,
    seed: int,
) -> dict[str, float]:
    """Mean distillation loss on each language's held-out blocks, masked the same way at every call."""
    losses = {}
    for language, (_, held_out) in blocks.items():
        with torch.no_grad():
            values = [
                float(distillation_loss(student, teacher, {k: v.to(student.model.device) for k, v in one.items()}))
                for one in held_out_batches(held_out, masking, 8, seed)
            ]
        losses[language] = float(np.mean(values))
    return losses


class _Curve:
    """The held-out losses at the start, on the way and at the end; kept in a file for resuming."""

    def __init__(self, path: Path, steps: int, tokens: int) -> None:
        self._path = path
        parts = min(6, max(1, tokens // _TOKENS_A_POINT))
        self._points = {1 + round(steps * part / parts) for part in range(parts)}
        self.rows: list[dict[str, float]] = json.loads(path.read_text()) if path.exists() else []

    def due(self, step: int) -> bool:
        return step in self._points

    def add(self, tokens: int, losses: Mapping[str, float]) -> None:
        earlier = [row for row in self.rows if row["tokens"] < tokens]
        self.rows = [*earlier, {"tokens": tokens, **losses}]
        self._path.write_text(json.dumps(self.rows))
