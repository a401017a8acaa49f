"""The checkpoints of a training: whole or none, whatever ends the process or the machine."""

import shutil
from collections.abc import Collection
from pathlib import Path

from bistil.files import flush, read_json, write_json

_STATE = "trainer_state.json"
_SIZES = "sizes.json"  # of the files of a checkpoint


def seal(checkpoint: Path) -> None:
    """Notes how long the files of a checkpoint are that was just written, and brings them to the disk."""
    files = [*checkpoint.iterdir()]
    write_json(checkpoint / _SIZES, {one.name: one.stat().st_size for one in files})
    for one in files:
        flush(one)


def remove_checkpoints(folder: Path, but: Collection[Path] = ()) -> None:
    """Removes all checkpoints of a training, ``but`` some."""
    for left in folder.glob("checkpoint-*"):
        if left not in but:
            (left / _STATE).unlink(missing_ok=True)  # without it what a kill leaves is no checkpoint
            shutil.rmtree(left)


def remove_training(folder: Path) -> None:
    """Removes the folder of a training, if there is one, with those of its phases."""
    for state in [*folder.rglob(_STATE)]:
        state.unlink()  # as in `remove_checkpoints`
    if folder.is_dir():
        shutil.rmtree(folder)


def needed(checkpoint: Path | None) -> list[Path]:
    """A checkpoint to go on from, and the best so far, which `load_best_model_at_end` comes back to."""
    if checkpoint is None:
        return []
    best = read_json(checkpoint / _STATE).get("best_model_checkpoint")
    return [checkpoint, *([checkpoint.parent / Path(best).name] if best else [])]


def newest_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that was written to its end, and is as long as it was then."""
    return max(filter(_is_whole, folder.glob("checkpoint-*")), key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """The step at which it was written."""
    return int(checkpoint.name.split("-")[1])


def _is_whole(checkpoint: Path) -> bool:
    """Whether the trainer state, which comes last, is there, and no file was cut off since."""
    try:
        state = read_json(checkpoint / _STATE)
        sizes = read_json(checkpoint / _SIZES) if (checkpoint / _SIZES).exists() else {}
        return isinstance(state, dict) and all((checkpoint / one).stat().st_size == sizes[one] for one in sizes)
    except (OSError, ValueError):
        return False
