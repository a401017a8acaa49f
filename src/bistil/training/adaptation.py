"""Language adaptation: a language delta, learned by masked language modelling on unlabelled text."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForMaskedLM, PreTrainedModel

from bistil.corpora.blocks import Blocks, Rows
from bistil.corpora.masked import MaskedBlocks, masked
from bistil.corpora.masking import Masking
from bistil.errors import BistilError
from bistil.models import pretrained
from bistil.sparse.delta import SparseDelta
from bistil.sparse.groups import encoder_parameters, layer_norms
from bistil.training.ticket import Length, Phase, frozen, lottery_ticket
from bistil.training.trainer import ResumableTrainer, arguments

OnStep = Callable[[int, str], None]


@dataclass(frozen=True)
class Adaptation:
    """How a language delta is learned: lengths of both phases, blocks in a batch, peak rate, density, seed."""

    lengths: tuple[Length, Length]
    batch: int
    learning_rate: float
    density: float
    seed: int

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise BistilError(f"learning_rate is {self.learning_rate}. Give one above 0, for example 5e-5.")

    def phase_steps(self, blocks: int) -> tuple[int, int]:
        """Optimizer steps of the full and the sparse phase on so many blocks of text."""
        full, sparse = (length.steps(-(-blocks // self.batch)) for length in self.lengths)
        return full, sparse


def adapt(
    model: PreTrainedModel,
    blocks: Blocks,
    masking: Masking,
    adaptation: Adaptation,
    folder: Path,
    on_step: OnStep,
) -> SparseDelta:
    """Learns the language of ``blocks`` in place, by a lottery ticket, and returns the language delta.

    ``model`` has a language-modelling head. Only the encoder learns: the head, output embedding included, and
    the normalisation layers stay as they are, so that the delta fits any head and none (Ansell et al. 2022,
    section 4.2, and BiStil, section 3.1). Raises BistilError for a model without such a head.
    """
    check_head(model)
    full, sparse = adaptation.phase_steps(len(blocks))

    def trainer(phase: Phase) -> ResumableTrainer:
        first = phase.name == "full"
        before = 0 if first else full
        seed = 2 * adaptation.seed + (0 if first else 1)
        return ResumableTrainer(
            model=model,
            args=arguments(
                phase.folder, batch=adaptation.batch, learning_rate=adaptation.learning_rate, seed=seed
            ),
            train_dataset=MaskedBlocks({"": blocks}, masking, adaptation.batch, full if first else sparse, seed),
            positions=phase.positions,
            on_step=lambda step, loss: on_step(
                before + step, "" if loss is None else f"{phase.name} · loss {loss:.3f}"
            ),
        )

    with _output_apart(model):
        encoder = encoder_parameters(model)
        head = {name for name, _ in model.named_parameters()} - set(encoder)
        freeze = head.union(layer_norms(model))
        return lottery_ticket(model, encoder, adaptation.density, folder, "language", trainer, freeze=freeze)


def with_new_head(folder: Path, seed: int) -> PreTrainedModel:
    """The encoder of a folder under a new language-modelling head, its output tied to the embeddings."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = pretrained.model(AutoModelForMaskedLM, folder, dtype=torch.float32)
    return model


def train_head(
    model: PreTrainedModel,
    blocks: Blocks,
    masking: Masking,
    *,
    batch: int,
    steps: int,
    seed: int,
    folder: Path,
    on_step: OnStep,
) -> None:
    """Trains only the head of ``model``; the encoder, and with it the tied output embedding, stays as it is."""
    with frozen(model, encoder_parameters(model)):
        ResumableTrainer(
            model=model,
            args=arguments(folder, batch=batch, learning_rate=1e-3, seed=seed),
            train_dataset=MaskedBlocks({"": blocks}, masking, batch, steps, seed),
            on_step=lambda step, loss: on_step(step, "" if loss is None else f"loss {loss:.3f}"),
        ).run()


def check_head(model: PreTrainedModel) -> None:
    """Raises BistilError, with the cure, where the model has no language-modelling head."""
    if model.get_output_embeddings() is None:
        raise BistilError(
            f"{type(model).__name__} has no language-modelling head, "
            "so it cannot learn a language from plain text. Train a head first, tied to its embeddings "
            "(--head-steps 1000), or choose a model that has one, such as mBERT or XLM-R."
        )


@torch.no_grad()
def masked_loss(model: PreTrainedModel, blocks: Rows, masking: Masking, batch: int) -> float:
    """Mean cross-entropy of the chosen tokens in blocks [blocks, block], masked the same way at every call."""
    model.eval()
    total = count = 0.0
    for start in range(0, len(blocks), batch):
        rows = blocks[start : start + batch]
        inputs = masked(rows, masking, 0, np.arange(start, start + len(rows)))
        chosen = int((inputs["labels"] >= 0).sum())
        if chosen:
            loss = model(**{name: values.to(model.device) for name, values in inputs.items()}).loss
            total, count = total + float(loss) * chosen, count + chosen
    return total / max(count, 1.0)


@contextmanager
def _output_apart(model: PreTrainedModel) -> Iterator[None]:
    """A tied output embedding is a copy inside the block, so that it does not learn with the input embedding."""
    output, words = model.get_output_embeddings(), model.get_input_embeddings()
    tied = output.weight is words.weight
    if tied:
        output.weight = nn.Parameter(words.weight.detach().clone())
    try:
        yield
    finally:
        if tied:
            output.weight = words.weight
