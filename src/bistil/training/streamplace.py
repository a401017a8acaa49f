"""Where a stream is, kept with the checkpoints of a training."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from bistil.corpora.streamed import StreamedBlocks

STREAM = "stream.safetensors"  # in a checkpoint


class StreamPlace(TrainerCallback):
    """Writes with every checkpoint where ``data`` is, of which an optimizer step takes ``batch`` items."""

    def __init__(self, data: StreamedBlocks, batch: int) -> None:
        self._data, self._batch = data, batch

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Old places are forgotten."""
        self._data.reached(state.global_step * self._batch)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """By the first process, which reads the streams whether or not others do."""
        if args.should_save:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            self._data.save(checkpoint / STREAM, state.global_step * self._batch)
