"""The stage that measures size and speed, and the machine on which it does."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bistil.evaluation.efficiency import Candidate, measure
from bistil.files import write_json
from bistil.pipeline import deployment
from bistil.pipeline.stages import StageFolder, Stages
from bistil.pipeline.taskdata import TaskData
from bistil.progress import Stage


def measured(
    stages: Stages,
    teacher: Path,
    models: Mapping[str, StageFolder],
    deployed: deployment.ByModel,
    data: TaskData,
    target: str,
) -> StageFolder:
    """What models of a task cost, by role, in ``efficiency.json``.

    Args:
        stages: of the run.
        teacher: the folder of the untrimmed one, which gets a random head.
        models: the others in PyTorch.
        deployed: their ONNX files, if any.
        data: of the task.
        target: the language on whose test examples they are measured, if there are any, else on another's.
    """
    language = target if target in data.tests else next(iter(data.tests))

    def build(folder: Path, stage: Stage) -> None:
        candidates = {"teacher": Candidate(teacher, bare=True)}
        candidates |= {role: Candidate(model.path / "model") for role, model in models.items()}
        candidates |= deployment.candidates(deployed)
        write_json(folder / "efficiency.json", measure(candidates, data.task, data.tests[language]))

    inputs: dict[str, Any] = {"machine": machine(), "texts": data.test_files.get(language)}
    inputs |= {role: model.fingerprint for role, model in models.items()}
    if deployed:
        inputs["onnxruntime"] = version("onnxruntime")
        inputs["exports"] = {who: own.export.fingerprint for who, (own, *_) in deployed.items()}
    return stages.make("efficiency", "Measuring size and speed", inputs, build)


def machine() -> dict[str, Any]:
    """What size and speed are measured with: processor, cores, threads, torch, and the graphics card if any."""
    return {
        "torch": torch.__version__,
        "processor": processor(),
        "cores": os.cpu_count(),
        **({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
        "threads": torch.get_num_threads(),
    }


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
