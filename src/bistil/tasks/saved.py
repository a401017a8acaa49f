"""A task model, or an encoder, as a folder has it."""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from bistil.corpora.strict import parse_json
from bistil.corpora.tokenizers import frame, number_of_ids
from bistil.errors import BistilError
from bistil.runtime.engine import FILES, VOCABULARY, WEIGHTS, OnnxEngine, Outputs
from bistil.runtime.pooling import MODULES
from bistil.runtime.tokenizer import FILE, SETTINGS, FolderTokenizer, settings, vocabulary_digest
from bistil.runtime.weights import weights_digest
from bistil.tasks.registry import installed_tasks, task_kind
from bistil.tasks.task import Task

MOST_LAYERS = 1000  # each is made before its weights are looked for
ENGINES = (*FILES, "torch")
_REPORT = "export.json"  # which no engine reads
_STATES, _CURE = "last_hidden_state", "Give the files of one and the same export."
BESIDE = ("config.json", FILE, SETTINGS)  # what an ONNX file needs in its folder


def load(folder: Path, engine: str | None = None, threads: int | None = None) -> tuple[Any, Any, Task[Any]]:
    """The model, its tokenizer and its task.

    ``engine`` is one of `ENGINES`: the ONNX file in int8 or in float32, or torch, in eval mode and on the CUDA
    device if there is one; None takes the first of these that the folder has. ``threads`` is for ONNX files. A
    folder that bistil wrote says its task; of any other the architecture's name tells it, and whether labels are
    IOB2 tags. Only safetensors and ONNX are read.
    """
    config = _config(folder)
    if (kind := _kind(config)) is None:
        raise BistilError(
            f"{folder} holds {_architecture(config)}, which has no task head. Give OUT/tasks/NAME of a run."
        )
    _check_labels(config, folder)
    named = settings(folder) if "bistil_task" in config or (folder / SETTINGS).exists() else {}
    if "bistil_task" in config and "tokenizer_class" not in named:
        raise BistilError(f"{folder}: {SETTINGS} names no tokenizer_class, as bistil wrote it. Fetch it again.")
    engine = _engine(folder, engine)
    if engine != "torch":
        onnx, own = _in_onnx(folder, engine, config, threads)
        task = kind.from_model(onnx)
        _check_graph(onnx, own, task)
        return onnx, own, task
    model, tokenizer = _in_torch(kind, folder)
    return model, tokenizer, kind.from_model(model)


def load_encoder(folder: Path, engine: str | None = None, threads: int | None = None) -> tuple[Any, Any]:
    """The encoder of a folder without a task's head, and its tokenizer; the arguments are those of `load`."""
    config = _config(folder)
    engine = _engine(folder, engine)
    if engine != "torch":
        onnx, own = _in_onnx(folder, engine, config, threads)
        _check_encoder(onnx, own)
        return onnx, own
    from bistil.models import encoders
    from bistil.training.devices import device

    model, tokenizer = encoders.load(folder)
    check_ids(folder, model, tokenizer)
    return model.to(device()), tokenizer


def width(config: Any) -> int:
    """The width of an encoder's states, by the values of its config.json: 384."""
    found = getattr(config, "hidden_size", None) or getattr(config, "dim", None)  # the latter is DistilBERT's name
    if not isinstance(found, int):
        raise BistilError(f"config.json says a hidden_size of {found!r}. Fetch the model again.")
    return found


def is_embedding_model(folder: Path) -> bool:
    """Whether sentence-transformers has a model in a folder, which has no task's head."""
    return (folder / MODULES).is_file() and _kind(_config(folder)) is None


def _config(folder: Path) -> dict[str, Any]:
    """What ``config.json`` says; raises BistilError for what is no model's."""
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
    return config


def _in_onnx(
    folder: Path, engine: str, config: Mapping[str, Any], threads: int | None
) -> tuple[OnnxEngine, FolderTokenizer]:
    values = {**config, "name_or_path": str(folder)}
    onnx = OnnxEngine(folder / FILES[engine], values, threads)
    if (current := weights_digest(folder)) and onnx.metadata().get(WEIGHTS, current) != current:
        raise BistilError(
            f"{onnx.file} was exported from other weights than those beside it. Export the model again: "
            f"bistil export {folder}"
        )
    return onnx, FolderTokenizer(folder, onnx)


def _in_torch(kind: type[Task[Any]], folder: Path) -> tuple[Any, Any]:
    from bistil.models import pretrained
    from bistil.training.devices import device

    try:
        model, info = pretrained.model(kind.head, folder, output_loading_info=True)
        tokenizer = pretrained.tokenizer(folder)
    except Exception as error:  # transformers, tokenizers and safetensors have no error in common
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if "ignore_mismatched_sizes" in reason:
            reason = "its weights do not have the sizes that config.json says"
        raise BistilError(
            f"The model in {folder} cannot be loaded: {reason.rstrip('.: ')}. Fetch it again."
        ) from error
    # A pooler that the head does not need may be left over, but no layer.
    left = [name for name in info["unexpected_keys"] if any(map(str.isdecimal, name.split(".")))]
    if wrong := sorted(info["missing_keys"]) or sorted(left):
        what = "lack" if info["missing_keys"] else "have, beyond what config.json says,"
        raise BistilError(f"The weights in {folder} {what} {wrong[0]}. Fetch the model again, or save it again.")
    check_ids(folder, model, tokenizer)
    return model.eval().to(device()), tokenizer


def check_ids(folder: Path, model: Any, tokenizer: Any) -> None:
    """Raise where a tokenizer has ids that the embedding table of a torch model in a folder lacks."""
    rows = model.get_input_embeddings().weight.shape[0]
    if (largest := max(number_of_ids(tokenizer) - 1, *_special(tokenizer))) >= rows:
        raise BistilError(
            f"{folder}: the tokenizer has ids up to {largest:,}, the model only up to {rows - 1:,}. Give its own."
        )


def _special(tokenizer: Any) -> list[int]:
    """The tokens around a text, 0 where there are none."""
    before, after = frame(tokenizer)
    return [0, *before, *after]


def _check_labels(config: Mapping[str, Any], folder: Path) -> None:
    """Raise where config.json has labels that are not numbered from 0, or are no names."""
    labels = config.get("id2label")
    if labels is None:
        return
    numbers = set(map(str, range(len(labels)))) if isinstance(labels, dict) else set()
    if (
        not isinstance(labels, dict)
        or numbers != set(labels)
        or not all(isinstance(one, str) for one in labels.values())
    ):
        raise BistilError(
            f"{folder}: id2label in config.json is {labels!r:.80}. Give labels by number, such as "
            "{'0': 'NOUN', '1': 'VERB'}."
        )
    if len(set(labels.values())) < len(labels):
        raise BistilError(f"{folder}: id2label in config.json has a label twice. Give each number its own.")


def _check_graph(onnx: OnnxEngine, tokenizer: FolderTokenizer, task: Task[Any]) -> None:
    """Raise where an ONNX file is not that of this task, of these labels, or of this tokenizer.

    It is asked for the tokenizer's last token and for special ones, which a smaller table does not have.
    """
    found, sizes = _tried(onnx, tokenizer), {"tokens": 2, "words": 2, "heads": 3, "labels": len(task.labels)}
    for name, axes in task.outputs.items():
        wanted = (1, *(sizes[axis] for axis in axes))
        if name not in found:
            raise BistilError(f"{onnx.file} returns {', '.join(found)}, not the {name} of {task.kind}. {_CURE}")
        shape = found[name].shape
        if shape[:-1] == wanted[:-1] and shape != wanted and axes[-1] == "labels":
            raise BistilError(
                f"{onnx.file} has {shape[-1]} labels, and config.json names {len(task.labels)}. {_CURE}"
            )
        if shape != wanted:
            raise BistilError(f"{onnx.file} returns {name} of the shape {shape}, not {wanted}. {_CURE}")
    _check_vocabulary(onnx, tokenizer)


def _check_encoder(onnx: OnnxEngine, tokenizer: FolderTokenizer) -> None:
    """Raise where an ONNX file is not that of this encoder, or of this tokenizer."""
    found = _tried(onnx, tokenizer)
    if _STATES not in found:
        raise BistilError(f"{onnx.file} returns {', '.join(found)}, not the {_STATES} of an encoder. {_CURE}")
    if (shape := found[_STATES].shape) != (wanted := (1, 2, width(onnx.config))):
        raise BistilError(f"{onnx.file} returns {_STATES} of the shape {shape}, not {wanted}. {_CURE}")
    _check_vocabulary(onnx, tokenizer)


def _tried(onnx: OnnxEngine, tokenizer: FolderTokenizer) -> Outputs:
    ids = np.full((1, 2), max(len(tokenizer) - 1, *_special(tokenizer)))
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids), "word_ids": np.arange(2)[None]}
    try:
        return onnx.run(batch)
    except BistilError as error:
        raise BistilError(f"{error} It may be that the tokenizer is another model's.") from error


def _check_vocabulary(onnx: OnnxEngine, tokenizer: FolderTokenizer) -> None:
    if onnx.metadata().get(VOCABULARY) not in (None, vocabulary_digest(tokenizer.backend_tokenizer)):
        raise BistilError(f"{onnx.file} was exported with another tokenizer than the one beside it. {_CURE}")


def engines(folder: Path) -> tuple[str, ...]:
    """The engines that have a file in a folder, of `ENGINES` and in their order."""
    onnx = [form for form, file in FILES.items() if (folder / file).is_file()]
    return (*onnx, *(["torch"] if any(folder.glob("*.safetensors")) else []))


def disk_bytes(folder: Path, engine: str) -> int:
    """Bytes of the files of a model folder that an engine needs: weights, configuration and tokenizer."""
    if engine == "torch":
        kinds = (".safetensors", ".json")
        own = (path for path in folder.iterdir() if path.suffix in kinds and not path.name.startswith("."))
        needed = [path for path in own if path.name != _REPORT]
    else:
        needed = [folder / name for name in (FILES[engine], *BESIDE)]
    return sum(path.stat().st_size for path in needed)


def parameters_in(model: Path) -> int:
    """The number of parameters in the weights of a model folder; 0 where it has ONNX files alone."""
    count = 0
    for file in model.glob("*.safetensors"):
        with safe_open(file, framework="np") as tensors:
            count += sum(prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    return count


def _engine(folder: Path, asked: str | None) -> str:
    there = engines(folder)
    if asked is None:
        return next(iter(there), "torch")
    if asked not in ENGINES:
        raise BistilError(f"There is no engine {asked!r}. Use {', '.join(ENGINES)}.")
    if asked != "torch" and asked not in there:
        raise BistilError(f"{folder} has no {FILES[asked]}. Write it with: bistil export {folder}")
    return asked


def _kind(config: Mapping[str, Any]) -> type[Task[Any]] | None:
    """The task that the model was trained for, or that its head fits."""
    if "bistil_task" in config:
        return task_kind(str(config["bistil_task"]))
    labels = config.get("id2label")
    named = [str(label) for label in labels.values()] if isinstance(labels, dict) else []
    return next((task for task in installed_tasks() if task.fits(_architecture(config), named)), None)


def _architecture(config: Mapping[str, Any]) -> str:
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else "no model"
