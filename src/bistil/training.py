"""What every training loop of bistil shares: a transformers Trainer that resumes, reports and says where it is."""

import math
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from bistil.errors import BistilError
from bistil.sparse.values import SparseValues

_CHECKPOINT_SECONDS = 60.0


def mixed_precision() -> bool:
    """Whether bfloat16 arithmetic is native here: a CUDA device or CPU that multiplies bfloat16 itself."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def arguments(folder: Path, *, batch: int, learning_rate: float, seed: int) -> TrainingArguments:
    """One pass over the data: AdamW, linear decay after 6 % warm-up, gradients clipped at 1, no weight decay."""
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch,
        learning_rate=learning_rate,
        num_train_epochs=1,
        warmup_steps=0.06,
        weight_decay=0.0,
        seed=seed,
        bf16=mixed_precision(),
        use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="sequential",
        save_strategy="no",
        save_total_limit=1,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


class ResumableTrainer(Trainer):
    """A Trainer that goes on from its newest whole checkpoint and keeps one a minute.

    ``on_step(step, loss)`` is told of every optimizer step, also of those skipped by resuming (at once,
    with the loss ``None``). With ``positions`` (flat, per parameter) only those entries are trained, and whole
    the parameters that it does not name.
    """

    def __init__(
        self,
        *,
        on_step: Callable[[int, float | None], None],
        positions: Mapping[str, Tensor] | None = None,
        **settings: Any,
    ) -> None:
        set_seed(settings["args"].seed)
        self._on_step = on_step
        self._positions = positions
        self._values: SparseValues | None = None
        if positions is not None:
            settings["args"].max_grad_norm = 0.0  # the sparse values clip their own gradients
        super().__init__(**settings)
        self.remove_callback(PrinterCallback)
        self.add_callback(_Guard())

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW over all parameters, or over the chosen positions as they stand in the loaded checkpoint."""
        if self._positions is None:
            created: torch.optim.Optimizer = super().create_optimizer(model)
            return created
        self._values = SparseValues(self.model, self._positions)
        optimizer = self._values.optimizer(self.args.learning_rate)
        self.optimizer = optimizer
        return optimizer

    def run(self) -> None:
        """Trains to the end, from the newest checkpoint if there is one; then removes the checkpoints."""
        folder = Path(self.args.output_dir)
        checkpoint = newest_checkpoint(folder)
        if checkpoint is not None:
            self._on_step(int(checkpoint.name.split("-")[1]), None)
        self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if self._values is not None:
            self._values.close()
        for left in folder.glob("checkpoint-*"):
            shutil.rmtree(left)

    def training_step(self, *positional: Any, **named: Any) -> Tensor:
        """One forward and backward pass; a loss that is not a number stops the run."""
        loss: Tensor = super().training_step(*positional, **named)
        value = float(loss)
        if not math.isfinite(value):
            raise BistilError(
                f"The loss became {value} at step {self.state.global_step + 1}. "
                "Lower the learning rate in the recipe and run again."
            )
        self._on_step(self.state.global_step + 1, value)
        return loss


def newest_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that was written to its end: its trainer state comes last."""
    whole = [p.parent for p in folder.glob("checkpoint-*/trainer_state.json")]
    return max(whole, key=lambda p: int(p.name.split("-")[1]), default=None)


class _Guard(TrainerCallback):
    """Saves a checkpoint every minute, and on SIGTERM saves and leaves."""

    def __init__(self) -> None:
        self._saved = time.monotonic()
        self._terminated = False
        self._before: Any = None

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._saved = time.monotonic()
        try:
            self._before = signal.signal(signal.SIGTERM, self._terminate)
        except ValueError:  # not in the main thread: signals are somebody else's
            self._before = None

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self._terminated = True

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._terminated or time.monotonic() - self._saved > _CHECKPOINT_SECONDS:
            self._saved = time.monotonic()
            control.should_save = state.global_step < state.max_steps
        if self._terminated:
            control.should_training_stop = True

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
        if self._terminated:
            raise SystemExit(128 + signal.SIGTERM)
