"""The memory that a model takes, measured in a process of its own: what a process once took it may keep."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bistil.tasks import Task, task_kind


def peak_memory(folder: Path, task: Task[Any], batches: Sequence[Mapping[str, Tensor]], *, bare: bool) -> int:
    """The peak resident bytes of a process that loads the model of a folder and runs it on some inputs.

    A ``bare`` folder holds an encoder, which gets a random head. Python and torch are in it: some 500 MB.
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
        [sys.executable, "-m", "bistil.memory"], input=json.dumps(job), capture_output=True, text=True, check=True
    )
    return int(process.stdout.split()[-1])


def _main() -> None:
    job = json.load(sys.stdin)
    torch.set_num_threads(job["threads"])
    kind, folder = task_kind(job["kind"]), Path(job["folder"])
    model = kind(tuple(job["labels"])).new_model(folder) if job["bare"] else kind.head.from_pretrained(folder)
    with torch.inference_mode():
        for batch in job["batches"]:
            model.eval()(**{name: torch.tensor(values) for name, values in batch.items()})
    print(_peak())


def _peak() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would give the peak of the process that started this one, if that is higher
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    _main()
