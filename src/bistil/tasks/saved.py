"""A task model as a folder has it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bistil.corpora.strict import parse_json
from bistil.errors import BistilError
from bistil.runtime.engine import FILES, OnnxEngine
from bistil.runtime.tokenizer import FolderTokenizer
from bistil.tasks.registry import installed_tasks, task_kind
from bistil.tasks.task import Task

MOST_LAYERS = 1000  # each is made before its weights are looked for
ENGINES = (*FILES, "torch")
BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json")  # what an ONNX file needs in its folder


def load(folder: Path, engine: str | None = None) -> tuple[Any, Any, Task[Any]]:
    """The model, its tokenizer and its task.

    ``engine`` is one of `ENGINES`: the ONNX file in int8 or in float32, or torch, in eval mode and on the CUDA
    device if there is one; None takes the first of these that the folder has. A folder that bistil wrote says its
    task; of any other the architecture's name tells it, and whether labels are IOB2 tags. Only safetensors and
    ONNX are read.
    """
    try:
        config = parse_json((folder / "config.json").read_text(encoding="utf-8"), "config.json")
    except (OSError, ValueError, BistilError):
        config = None
    if not isinstance(config, dict):
        raise BistilError(
            f"{folder} is not a model folder (no readable config.json). Give OUT/tasks/NAME of a run."
        )
    if isinstance(layers := config.get("num_hidden_layers"), int) and layers > MOST_LAYERS:
        raise BistilError(
            f"{folder}: config.json says {layers:,} layers, more than any encoder has. Fetch it again."
        )
    kind = task_kind(str(config["bistil_task"])) if "bistil_task" in config else _kind(config, folder)
    engine = _engine(folder, engine)
    if engine != "torch":
        onnx = OnnxEngine(folder / FILES[engine], {**config, "name_or_path": str(folder)})
        return onnx, FolderTokenizer(folder), kind.from_model(onnx)
    from bistil.models import pretrained
    from bistil.training.devices import device

    try:
        model = pretrained.model(kind.head, folder).eval()
        model.to(device())
        tokenizer = pretrained.tokenizer(folder)
    except Exception as error:  # transformers, tokenizers and safetensors have no error in common
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BistilError(f"The model in {folder} cannot be loaded: {reason}") from error
    return model, tokenizer, kind.from_model(model)


def engines(folder: Path) -> tuple[str, ...]:
    """The engines that have a file in a folder, of `ENGINES` and in their order."""
    onnx = [form for form, file in FILES.items() if (folder / file).is_file()]
    return (*onnx, *(["torch"] if any(folder.glob("*.safetensors")) else []))


def _engine(folder: Path, asked: str | None) -> str:
    there = engines(folder)
    if asked is None:
        return next(iter(there), "torch")
    if asked not in ENGINES:
        raise BistilError(f"There is no engine {asked!r}. Use {', '.join(ENGINES)}.")
    if asked != "torch" and asked not in there:
        raise BistilError(f"{folder} has no {FILES[asked]}. Write it with: bistil export {folder}")
    return asked


def _kind(config: Mapping[str, Any], folder: Path) -> type[Task[Any]]:
    names, labels = config.get("architectures"), config.get("id2label")
    architecture = str(names[0]) if isinstance(names, list) and names else "no model"
    named = [str(label) for label in labels.values()] if isinstance(labels, dict) else []
    for task in installed_tasks():
        if task.fits(architecture, named):
            return task
    raise BistilError(f"{folder} holds {architecture}, which has no task head. Give OUT/tasks/NAME of a run.")
