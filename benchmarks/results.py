"""What the benchmarks keep of a report: ``results/NAME.json``, without texts and paths."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import torch

from benchmarks.realdata import ROOT
from bistil.pipeline.costs import processor

_KEPT = (
    "created",
    "bistil_version",
    "source",
    "target",
    "seeds",
    "vocabulary",
    "student",
    "distillation",
    "models",
    "comparison",
    "stages",
    "environment",
)
_TASK = ("name", "kind", "metric", "train_examples", "tests", "scores", "validation")


def save_result(report: Mapping[str, Any], name: str, command: str) -> None:
    """Writes the numbers of a report, the settings they came from, and the command that made them."""
    recipe = report["recipe"]
    paths = ("train", "validation", "test")
    result = {
        "command": command,
        **{key: report[key] for key in _KEPT},
        "tasks": [{key: task[key] for key in _TASK} for task in report["tasks"]],
        "settings": {
            **{key: recipe[key] for key in ("teacher", "student", "distill")},
            "tasks": [{key: task[key] for key in task if key not in paths} for task in recipe["tasks"]],
        },
    }
    (ROOT / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def load_result(name: str) -> dict[str, Any]:
    """A result that `save_result` wrote."""
    result: dict[str, Any] = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return result


def save_measurement(name: str, command: str, facts: Mapping[str, Any]) -> None:
    """Writes what a benchmark measured with the command, the date and the machine."""
    result = {"command": command, **described(facts)}
    (ROOT / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def described(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured, with the time and the machine."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {"created": created, **facts, "environment": machine("bistil", "torch", "transformers", "tokenizers")}


def machine(*packages: str) -> dict[str, Any]:
    """The date, and on what was measured: processor, cores, GPU if any, versions of Python and `packages`."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        **({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }
