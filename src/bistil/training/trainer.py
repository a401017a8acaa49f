"""What every training loop of bistil shares: a transformers Trainer that resumes, reports and says where it is."""

import math
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from types import FrameType, TracebackType
from typing import Any

import torch
import torch.distributed
from accelerate.utils import gather
from safetensors import SafetensorError
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
from transformers.integrations import get_reporting_integration_callbacks

from bistil.errors import BistilError
from bistil.files import disk_problem
from bistil.launch import processes
from bistil.models.attention import use_fused_attention
from bistil.sparse.tensors import open_tensors
from bistil.training.checkpoints import needed, newest_checkpoint, remove_checkpoints, seal, step_of
from bistil.training.devices import device, mixed_precision
from bistil.training.dropout import use_fast_dropout
from bistil.training.values import SparseValues

_CHECKPOINT_SECONDS = 60.0
_ADAMW = ("adamw_torch", "adamw_torch_fused")

# Settings that a recipe has elsewhere, or that make a run resumable.
_OURS = frozenset(
    {
        "output_dir",
        "per_device_train_batch_size",
        "learning_rate",
        "max_steps",
        "num_train_epochs",
        "resume_from_checkpoint",
        "save_strategy",
        "save_total_limit",
        "seed",
        "train_sampling_strategy",
    }
)


def arguments(
    folder: Path, *, batch: int, learning_rate: float, seed: int, further: Mapping[str, Any] | None = None
) -> TrainingArguments:
    """One epoch: AdamW, linear decay after 6 % warm-up, gradients clipped at 1, no weight decay.

    ``batch`` counts the items of one optimizer step over all processes and accumulated batches, so that with
    packed blocks the outcome does not depend on their number. ``further`` are TrainingArguments by name, such as
    ``{"gradient_accumulation_steps": 4, "report_to": "tensorboard"}``; those that bistil sets itself, and
    names that are none, raise `BistilError`.
    """
    further = dict(further or {})
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": _share(batch, further),
        "learning_rate": learning_rate,
        "num_train_epochs": 1,
        "warmup_steps": 0.06,
        "weight_decay": 0.0,
        "seed": seed,
        "bf16": mixed_precision(),
        "use_cpu": not torch.cuda.is_available(),
        "ddp_backend": "gloo" if processes() > 1 and not torch.cuda.is_available() else None,
        "ddp_find_unused_parameters": False,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "logging_strategy": "no" if further.get("report_to", "none") == "none" else "steps",
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }
    try:
        made = TrainingArguments(**{**settings, **further})
        if made.n_gpu > 1:  # more would be DataParallel's: threads, and a batch for each
            made._n_gpu = 1
        for callback in get_reporting_integration_callbacks(made.report_to):
            callback()  # says what is not installed
    except (ValueError, TypeError, ImportError, RuntimeError) as error:
        if not further:
            raise
        reason = str(error).strip().split("\n")[0]
        raise BistilError(f"distill.arguments cannot be {further}: {reason} Correct the value.") from error
    return made


def _share(batch: int, further: Mapping[str, Any]) -> int:
    """How many items of a step a process takes at a time: 16 over two processes, accumulated 4 times, gives 2."""
    for name in further:
        if name in _OURS or name not in TrainingArguments.__dataclass_fields__:
            reason = "bistil sets it itself" if name in _OURS else "TrainingArguments has no such field"
            raise BistilError(f"distill.arguments has {name!r}: {reason}. Leave it out.")
        if name.startswith("gradient_checkpointing"):
            raise BistilError(
                f"distill.arguments has {name!r}: the attention that is matched is not computed again alike. "
                "Leave it out, or use gradient_accumulation_steps."
            )
    accumulated = further.get("gradient_accumulation_steps", 1)
    if not isinstance(accumulated, int) or accumulated < 1:
        raise BistilError(
            f"distill.arguments.gradient_accumulation_steps is {accumulated!r}. Give a whole number from 1."
        )
    parts = processes() * accumulated
    if batch % parts:
        raise BistilError(
            f"A batch of {batch} cannot be cut into {parts} equal parts (processes × gradient_accumulation_steps)."
            f" Make it a multiple of {parts}."
        )
    return batch // parts


class ResumableTrainer(Trainer):
    """A Trainer that goes on from its newest whole checkpoint and keeps one a minute.

    ``on_step(step, loss)`` is told where training begins, at step 0 or that of the checkpoint (with the loss
    ``None``), and of every optimizer step. With ``positions`` (flat, per parameter) only those entries are
    trained, and whole the parameters that it does not name.
    """

    def __init__(
        self,
        *,
        on_step: Callable[[int, float | None], None],
        positions: Mapping[str, Tensor] | None = None,
        **settings: Any,
    ) -> None:
        set_seed(settings["args"].seed)
        self.on_step = on_step
        self._positions = positions
        self._values: SparseValues | None = None
        self._losses: list[float] = []
        if positions is not None:
            if (optim := settings["args"].optim) not in _ADAMW:
                raise BistilError(f"Chosen entries are trained by AdamW, not by {optim.value}. Leave optim out.")
            # the sparse values clip their own gradients
            self._max_gradient_norm = settings["args"].max_grad_norm
            settings["args"].max_grad_norm = 0.0
        use_fused_attention(settings["model"])
        use_fast_dropout(settings["model"])
        super().__init__(**settings)
        # Our losses are means over a batch, to be averaged over accumulated ones; an encoder's forward, which
        # takes any keyword, makes the Trainer believe that they are sums.
        self.model_accepts_loss_kwargs = False
        self.remove_callback(PrinterCallback)
        self._guard = _Guard(self)
        self.add_callback(self._guard)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW over all parameters, or over the chosen positions as they stand in the loaded checkpoint."""
        if self._positions is None:
            created: torch.optim.Optimizer = super().create_optimizer(model)
            return created
        self._values = SparseValues(self.model, self._positions)
        optimizer = self._values.optimizer(
            self.args.learning_rate,
            weight_decay=self.args.weight_decay,
            betas=(self.args.adam_beta1, self.args.adam_beta2),
            epsilon=self.args.adam_epsilon,
            max_gradient_norm=self._max_gradient_norm,
        )
        self.optimizer = optimizer
        return optimizer

    def train(self, *positional: Any, **named: Any) -> Any:
        """What transformers' does, but on SIGTERM saves a checkpoint and leaves."""
        try:
            with self._guard:
                return super().train(*positional, **named)
        finally:
            if self._values is not None:
                self._values.close()

    def run(self) -> None:
        """Trains to the end, from the newest checkpoint if there is one.

        Checkpoints stay until the caller has saved the outcome (`remove_checkpoints`), so that an error in between
        loses little. A full disk raises `BistilError` and leaves the last whole one, from which the same call goes
        on.
        """
        folder = Path(self.args.output_dir)
        checkpoint = newest_checkpoint(folder)
        if self.args.process_index == 0:  # a damaged one of a later step would be kept for the newest
            remove_checkpoints(folder, but=needed(checkpoint))
        try:
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except UnpicklingError as error:  # what torch refuses to make of a file
            reason = str(error).split(". ")[0]
            raise BistilError(
                f"{checkpoint} holds what no training of bistil writes ({reason}). Delete it, and run again."
            ) from error
        except (OSError, SafetensorError, RuntimeError) as error:
            if (problem := disk_problem(error)) is None:
                raise
            raise BistilError(_not_saved(problem, folder, self.state.global_step)) from error

    def training_step(self, *positional: Any, **named: Any) -> Tensor:
        """One forward and backward pass; a loss that is not a number stops the run."""
        loss: Tensor = super().training_step(*positional, **named)
        value = float(loss)
        if not math.isfinite(value):
            raise BistilError(self._diverged(f"The loss became {value}"))
        self._losses.append(value)
        return loss

    def step_loss(self) -> float:
        """The loss of the optimizer step that has just been made, in this process."""
        loss, self._losses = sum(self._losses), []
        return loss

    def may_pause(self, step: int) -> bool:
        """Whether a checkpoint may be kept after that optimizer step, and training stop."""
        return True

    def check_weights(self) -> None:
        """Stops the run where a weight is not finite, so that no such checkpoint is kept."""
        if not all(bool(value.isfinite().all()) for value in self.model.parameters()):
            raise BistilError(self._diverged("A weight became infinite or no number"))

    def _diverged(self, what: str) -> str:
        kept = newest_checkpoint(Path(self.args.output_dir))
        return (
            f"{what} at step {self.state.global_step + 1}. "
            + (f"The checkpoint of step {step_of(kept)} is kept. " if kept else "")
            + "Lower the learning rate in the recipe and run again."
        )


def _not_saved(problem: str, folder: Path, step: int) -> str:
    """Removes what was half written, and says what is left."""
    whole = newest_checkpoint(folder)
    with suppress(OSError):  # of a disk that is read-only
        remove_checkpoints(folder, but=needed(whole))
    kept = f"The checkpoint of step {step_of(whole)} is kept. " if whole else ""
    return f"{problem} for the checkpoint of step {step} in {folder}. {kept}Fix that and run again."


def _any_process(wishes: Sequence[bool]) -> list[bool]:
    """Whether one of the processes that train together wishes it: all must save and stop at the same step."""
    if not torch.distributed.is_initialized():
        return list(wishes)
    everyone = gather(torch.tensor([wishes], dtype=torch.int32, device=device()))
    return [bool(column.any()) for column in everyone.T]


class _Guard(TrainerCallback):
    """Tells of every step and saves a checkpoint every minute; in a ``with`` block it saves and leaves on SIGTERM.

    However the block ends, SIGTERM then does what it did before.
    """

    def __init__(self, trainer: ResumableTrainer) -> None:
        self._trainer = trainer
        self._saved = time.monotonic()
        self._terminated = False
        self._before: Any = None

    def __enter__(self) -> None:
        self._terminated = False
        # None is a handler that was not set from Python and could not be set again
        self._before = signal.getsignal(signal.SIGTERM)
        if self._before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._terminate)
        else:
            self._before = None  # signals are somebody else's

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
        if self._terminated and error is None:
            raise SystemExit(128 + signal.SIGTERM)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self._terminated = True

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._saved = time.monotonic()
        self._trainer.on_step(state.global_step, None)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._trainer.on_step(state.global_step, self._trainer.step_loss())
        due = time.monotonic() - self._saved > _CHECKPOINT_SECONDS
        self._terminated, due = _any_process([self._terminated, due])
        if not self._trainer.may_pause(state.global_step):
            return
        if self._terminated or due:
            self._trainer.check_weights()
            self._saved = time.monotonic()
            control.should_save = state.global_step < state.max_steps
        if self._terminated:
            control.should_training_stop = True

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # each process writes a file of its own
        if args.should_save:
            open_tensors(checkpoint)
            seal(checkpoint)
            if args.save_strategy == "no":  # where the caller does not say how many are kept
                # transformers would go by their times, which a clock that was put back turns round
                remove_checkpoints(Path(args.output_dir), but=needed(checkpoint))
