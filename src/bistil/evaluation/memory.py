"""The memory that a model takes, measured in a process of its own: what a process once took it may keep."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from bistil.errors import BistilError
from bistil.models import pretrained
from bistil.tasks import Task, task_kind


def peak_memory(folder: Path, task: Task[Any], batches: Sequence[Mapping[str, Tensor]], *, bare: bool) -> int:
    """The peak resident bytes of a process that loads the model of a folder and runs it on some inputs.

    A ``bare`` folder holds an encoder, which gets a random head. Python and torch are in it: some 500 MB. Raises
    BistilError with the reason where the process fails, or the system does not tell a process its peak.
    """
    job = {
        "folder": str(folder),
        "bare": bare,
        "kind": task.kind,
        "labels": task.labels,
        "threads": torch.get_num_threads(),
        "batches": [{name: values.tolist() for name, values in batch.items()} for batch in batches],
    }
    process = subprocess.run(
        [sys.executable, "-m", "bistil.evaluation.memory"],
        input=json.dumps(job),
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
    torch.set_num_threads(job["threads"])
    kind, folder = task_kind(job["kind"]), Path(job["folder"])
    model = kind(tuple(job["labels"])).new_model(folder) if job["bare"] else pretrained.model(kind.head, folder)
    with torch.inference_mode():
        for batch in job["batches"]:
            model.eval()(**{name: torch.tensor(values) for name, values in batch.items()})
    print(json.dumps(_peak()))


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
