"""The memory that a model takes, measured in a process of its own: what a process once took it may keep."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bistil.errors import BistilError
from bistil.tasks import saved
from bistil.tasks.registry import task_kind
from bistil.tasks.task import Task
from bistil.tasks.vectors import Embedding

Batch = Mapping[str, Any]  # arrays or tensors [rows, tokens] by name


def peak_memory(
    folder: Path, engine: str, task: Task[Any] | Embedding, batches: Sequence[Batch], *, bare: bool
) -> int:
    """The peak resident bytes of a process that loads the model of a folder and runs it on some inputs.

    Raises BistilError with the reason where the process fails, or the system does not tell a process its peak.

    Args:
        folder: with the model and its tokenizer.
        engine: one of `bistil.tasks.saved.ENGINES`; Python and torch take some 500 MB, onnxruntime 100.
        task: of the model, or that it makes vectors.
        batches: the inputs.
        bare: whether the folder holds an encoder, which gets a random head.
    """
    import torch  # which the process below need not have

    job = {
        "folder": str(folder),
        "engine": engine,
        "bare": bare,
        "task": None if isinstance(task, Embedding) else [task.kind, task.labels],
        "batches": [{name: values.tolist() for name, values in batch.items()} for batch in batches],
    }
    process = subprocess.run(
        [sys.executable, "-m", "bistil.evaluation.memory"],
        input=json.dumps(job),
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if process.returncode:
        *_, reason = process.stderr.strip().splitlines() or ["it was killed from outside, perhaps for its memory"]
        raise BistilError(f"the process that runs it ended with status {process.returncode}: {reason}")
    peak: int | None = json.loads(process.stdout.splitlines()[-1])
    if peak is None:
        raise BistilError("this system does not report a process's peak.")
    return peak


def _main() -> None:
    job = json.load(sys.stdin)
    batches = [{name: np.array(values) for name, values in batch.items()} for batch in job["batches"]]
    _run(batches, Path(job["folder"]), job)
    print(json.dumps(_peak()))


def _run(batches: Sequence[Batch], folder: Path, job: Mapping[str, Any]) -> None:
    load = saved.load_encoder if job["task"] is None else saved.load
    if job["engine"] != "torch":
        engine, *_ = load(folder, job["engine"])
        for batch in batches:
            engine.run(batch)
        return
    import torch

    if job["bare"]:
        from bistil.models import pretrained

        kind, labels = job["task"]
        model = task_kind(kind)(tuple(labels)).new_model(folder).eval()
        _tokenizer = pretrained.tokenizer(folder)
    else:
        model, _tokenizer, *_ = load(folder, "torch")
    with torch.inference_mode():
        for batch in batches:
            model(**{name: torch.from_numpy(values) for name, values in batch.items()})


def _peak() -> int | None:
    """The peak resident bytes of this process; None where the system does not count them."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes here, kilobytes elsewhere
    # where there is no /proc/self/status, getrusage might give the peak of the process that started this one
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


if __name__ == "__main__":
    _main()
