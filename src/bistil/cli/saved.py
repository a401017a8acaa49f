"""A task model that a run saved, as `eval` and `predict` need it."""

import json
from pathlib import Path
from typing import Any

from bistil.errors import BistilError
from bistil.tasks import TASKS, Task, task_kind


def load(folder: Path) -> tuple[Any, Any, Task[Any]]:
    """The model in eval mode, its tokenizer and its task, told by the configuration or the architecture's name.

    Any transformers folder with the head of a task will do. Only safetensors are read.
    """
    from transformers import AutoTokenizer

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BistilError(
            f"{folder} is not a model folder (no readable config.json). Give OUT/tasks/NAME of a run."
        ) from error
    architecture = (config.get("architectures") or ["no model"])[0]
    named = config.get("bistil_task")
    for kind in [task_kind(named)] if named else TASKS.values():
        if architecture.endswith(kind.head.__name__.removeprefix("AutoModel")):
            break
    else:
        raise BistilError(f"{folder} holds {architecture}, which has no task head. Give OUT/tasks/NAME of a run.")
    try:
        model = kind.head.from_pretrained(folder, use_safetensors=True, local_files_only=True).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise BistilError(f"The model in {folder} cannot be loaded: {reason}") from error
    return model, tokenizer, kind.from_model(model)
