"""Phase 2: fine-tune the task teacher, then distill the task into the student, both by sparse fine-tuning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bistil.errors import BistilError
from bistil.models.students import Alignment
from bistil.sparse.delta import Applicable, SparseDelta
from bistil.sparse.groups import encoder_parameters, layer_norms
from bistil.sparse.switch import DeltaSwitch
from bistil.training.batches import MonolingualBatches, OrderedFeatures, monolingual
from bistil.training.distillation import DistillationTrainer
from bistil.training.multisource import Addition, MultiSourceTrainer
from bistil.training.ticket import Length, Phase, lottery_ticket
from bistil.training.trainer import ResumableTrainer, arguments

OnStep = Callable[[int, str], None]

# The highest default rates by a teacher's width. Scripts published with BiStil tune mBERT and mDeBERTa students at
# 5e-5; Mosbach et al. (2021) recommend 2e-5 for large models, which often learn nothing at higher rates.
_HIGHEST_RATES = {1_024: 2e-5, 768: 5e-5}


@dataclass(frozen=True)
class TaskTraining:
    """How a task is learned: lengths of the full and the sparse phase, batch, density, seed, and the mask.

    The mask grows in ``iterations`` steps, each with both phases; ``freeze_layer_norms`` keeps all
    normalisation layers as they are.
    """

    lengths: tuple[Length, Length]
    batch: int
    learning_rate: float
    density: float
    seed: int
    iterations: int = 1
    freeze_layer_norms: bool = False

    def steps(self, *features: int) -> int:
        """Optimizer steps of all phases together, by how many features each language has.

        Example: 1,000 features in batches of 16 for 1 + 1 epochs give 126.
        """
        per_epoch = sum(-(-own // self.batch) for own in features)
        return self.iterations * sum(length.steps(per_epoch) for length in self.lengths)


def default_learning_rate(rate: float, width: int) -> float:
    """The peak learning rate of a task: ``rate``, or less for teachers whose hidden states are wide.

    Example: 3e-4 stays 3e-4 for width 384 (multilingual-E5-small), and is 5e-5 for 768 (XLM-R base).
    """
    return min([rate, *(highest for least, highest in _HIGHEST_RATES.items() if width >= least)])


def tune_teacher(
    model: PreTrainedModel,
    features: Sequence[dict[str, Any]],
    collator: Any,
    training: TaskTraining,
    folder: Path,
    on_step: OnStep,
) -> SparseDelta:
    """Fine-tunes ``model`` (an encoder with a new head) on gold labels in place; returns the task delta."""

    def trainer(settings: Mapping[str, Any]) -> ResumableTrainer:
        return ResumableTrainer(model=model, data_collator=collator, **settings)

    return _ticket(model, features, training, folder, trainer, on_step)


def tune_teacher_on_sources(
    model: PreTrainedModel,
    features: Mapping[str, Sequence[dict[str, Any]]],
    languages: Mapping[str, Applicable],
    collator: Any,
    training: TaskTraining,
    folder: Path,
    on_step: OnStep,
) -> SparseDelta:
    """Fine-tunes ``model`` in place on gold labels in one or more languages; returns the task delta.

    Each batch is of one language and runs under ``languages[language]``, a delta for the base that ``model`` is.
    The task delta is for that base as well: use both together, ``languages["en"] + task``.
    """
    if missing := sorted(features.keys() - languages.keys()):
        raise BistilError(f"There is no language delta for {missing[0]}. Give one for each source language.")
    additions = {language: Addition(model, languages[language]) for language in features}

    def trainer(settings: Mapping[str, Any]) -> ResumableTrainer:
        return MultiSourceTrainer(
            model=model, additions=additions, data_collator=monolingual(collator), **settings
        )

    return _ticket(model, features, training, folder, trainer, on_step)


def distill_task(
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    alignment: Alignment,
    features: Mapping[str, Sequence[dict[str, Any]]],
    collator: Any,
    head_loss: Callable[[Any, Any, Mapping[str, Tensor]], Tensor],
    training: TaskTraining,
    folder: Path,
    on_step: OnStep,
    switch: DeltaSwitch | None = None,
) -> SparseDelta:
    """Distills a task teacher into ``student`` in place; returns the student's task delta.

    ``features`` are those of each language; a batch is in one language, and ``switch`` applies that language's
    delta to the teacher, if there are language deltas. The student's head starts as the teacher's and learns
    without dropout. The loss is hidden + attention + ``head_loss``, that of a task's logits; labels only say which
    positions are labelled (BiStil, section 3.3), so those of the target language may be pseudo-labels.
    """
    copy_head(teacher, student, alignment.projection)
    for module in student.modules():
        if isinstance(module, nn.Dropout):  # of the head: the encoder has had none since it was made
            module.p = 0.0

    def trainer(settings: Mapping[str, Any]) -> ResumableTrainer:
        return DistillationTrainer(
            model=student,
            teacher=teacher,
            alignment=alignment,
            switch=switch,
            head_loss=head_loss,
            data_collator=monolingual(collator),
            **settings,
        )

    return _ticket(student, features, training, folder, trainer, on_step)


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


def _ticket(
    model: PreTrainedModel,
    features: Sequence[dict[str, Any]] | Mapping[str, Sequence[dict[str, Any]]],
    training: TaskTraining,
    folder: Path,
    trainer: Callable[[Mapping[str, Any]], ResumableTrainer],
    on_step: OnStep,
) -> SparseDelta:
    """A lottery ticket on features, or on those of several languages."""
    sources = features if isinstance(features, Mapping) else {"": features}
    per_epoch = sum(-(-len(own) // training.batch) for own in sources.values())
    full, sparse = (length.steps(per_epoch) for length in training.lengths)

    def phase_trainer(phase: Phase) -> ResumableTrainer:
        first = phase.name == "full"
        steps = full if first else sparse
        number = 2 * (phase.iteration - 1) + (0 if first else 1)  # of the phase
        before = (phase.iteration - 1) * (full + sparse) + (0 if first else full)
        seed = 2 * training.iterations * training.seed + number
        settings = {
            "args": arguments(phase.folder, batch=training.batch, learning_rate=training.learning_rate, seed=seed),
            "train_dataset": (
                MonolingualBatches(features, training.batch, steps, seed)
                if isinstance(features, Mapping)
                else OrderedFeatures(features, training.batch, steps, seed)
            ),
            "positions": phase.positions,
            "on_step": lambda step, loss: on_step(
                before + step, "" if loss is None else f"{phase.name} · loss {loss:.3f}"
            ),
        }
        return trainer(settings)

    return lottery_ticket(
        model,
        encoder_parameters(model),
        training.density,
        folder,
        "task",
        phase_trainer,
        iterations=training.iterations,
        freeze=layer_norms(model) if training.freeze_layer_norms else (),
    )
