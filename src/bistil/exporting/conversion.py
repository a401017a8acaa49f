"""From a model to its ONNX files: in float32, the same as PyTorch, and in int8 that keeps the scores."""

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from bistil.errors import BistilError
from bistil.exporting.comparison import Comparison, OnExamples, OnStates, OnText
from bistil.exporting.folder import FLOAT, INT8
from bistil.exporting.graph import OPSET, example_batches, write_graph
from bistil.exporting.quantisation import products, quantise
from bistil.exporting.smoothing import divisors
from bistil.exporting.tokenizerfile import rewritten
from bistil.exporting.tolerance import choose, grouped
from bistil.models import encoders
from bistil.runtime.engine import VOCABULARY, WEIGHTS, OnnxEngine
from bistil.runtime.pooling import Pooling
from bistil.runtime.tokenizer import FILE as TOKENIZER
from bistil.runtime.tokenizer import FolderTokenizer, backend, vocabulary_digest
from bistil.runtime.weights import weights_digest
from bistil.tasks import saved
from bistil.tasks.registry import installed_tasks

_PACKAGES = ("bistil", "torch", "transformers", "onnx", "onnxruntime")


@dataclass(frozen=True)
class Exportable:
    """The model of a folder on the CPU in float32, and its tokenizer.

    It has a task or, if it makes sentence embeddings, a pooling, or is another encoder.
    """

    folder: Path
    network: Any
    tokenizer: Any
    task: Any
    pooling: Pooling | None = None

    @cached_property
    def tokenizer_json(self) -> str | None:
        """What the runtime needs in ``tokenizer.json`` where the folder's gives other ids than transformers."""
        return rewritten(self.folder, self.tokenizer)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """A task model, or else an encoder."""
        config = encoders.read_any_config(folder)
        architecture = str((config.architectures or [""])[0])
        labels = [str(label) for label in (config.id2label or {}).values()]
        if hasattr(config, "bistil_task") or any(one.fits(architecture, labels) for one in installed_tasks()):
            network, tokenizer, task = saved.load(folder, "torch")
            return cls(folder, network.cpu().float(), tokenizer, task)
        network, tokenizer = encoders.load(folder)
        saved.check_ids(folder, network, tokenizer)
        return cls(folder, network, tokenizer, None, Pooling.known(folder))


def to_onnx(model: Exportable, out: Path) -> dict[str, Any]:
    """Write ``onnx/model.onnx`` and what it needs beside it into a folder; returns what ``export.json`` says.

    Raises BistilError for a model that has no ONNX form.
    """
    (out / FLOAT).parent.mkdir(parents=True, exist_ok=True)
    for name in saved.BESIDE:
        if (model.folder / name).is_file():
            shutil.copyfile(model.folder / name, out / name)
    if model.tokenizer_json is not None:
        (out / TOKENIZER).write_text(model.tokenizer_json, encoding="utf-8")
    # by which the runtime tells that tokenizer and weights are the model's own
    metadata = {VOCABULARY: vocabulary_digest(backend(out))}
    if (weights := weights_digest(model.folder)) is not None:
        metadata[WEIGHTS] = weights
    graph = write_graph(model.network, model.tokenizer, out / FLOAT, metadata)
    return {
        "task": model.task and model.task.kind,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "opset": OPSET,
        "versions": {package: version(package) for package in _PACKAGES},
        "kept": [],
        "scores": {},
        "agreement": {},
        "bytes": _bytes(out),
    }


def to_int8(
    model: Exportable,
    out: Path,
    tests: Mapping[str, Sequence[Any]],
    texts: Mapping[str, Sequence[Any]],
    tolerance: float,
    advance: Callable[[], None],
) -> dict[str, Any]:
    """Write ``onnx/model_quantized.onnx`` where `to_onnx` wrote; returns what else ``export.json`` says.

    Args:
        model: the same.
        out: the same folder.
        tests: labelled examples by language, on which scores are compared.
        texts: unlabelled ones, of an encoder lines, for languages without labelled examples.
        tolerance: points that no language may lose more than.
        advance: called after each choice of what stays in float32 that was compared.

    Raises:
        BistilError: the tolerance cannot be met; then no file is written.
    """
    groups = grouped(products(out / FLOAT))
    batches = example_batches(model.network, model.tokenizer)
    even = divisors(out / FLOAT, [{name: own.numpy() for name, own in one.items()} for one in batches])
    config = model.network.config.to_dict()
    float32 = OnnxEngine(out / FLOAT, config)
    tokenizer = FolderTokenizer(out, float32)
    scores: dict[str, Comparison] = {
        language: OnExamples.of(float32, tokenizer, model.task, examples) for language, examples in tests.items()
    }
    agreements = {
        language: OnStates.of(float32, tokenizer, model.pooling or Pooling(), examples)
        if model.task is None
        else OnText.of(float32, tokenizer, model.task, examples)
        for language, examples in texts.items()
    }
    comparisons = {**agreements, **scores}
    facts: dict[str, dict[str, Any]] = {}
    written: tuple[str, ...] = ()  # what the file keeps in float32

    def measure(kept: Collection[str]) -> dict[str, float]:
        nonlocal written
        written = tuple(kept)
        quantise(out / FLOAT, out / INT8, [name for group in kept for name in groups[group]], even)
        engine = OnnxEngine(out / INT8, config)
        facts.update({language: one.facts(engine) for language, one in comparisons.items()})
        advance()
        return {language: own["loss"] for language, own in facts.items()}

    try:
        chosen = choose(list(groups), measure, tolerance)
        if written != chosen.groups:
            measure(chosen.groups)
    except BistilError:
        (out / INT8).unlink(missing_ok=True)
        raise
    return {
        "tolerance": tolerance,
        "kept": list(chosen.groups),
        "scores": {language: facts[language] for language in scores},
        "agreement": {language: facts[language] for language in agreements if language not in scores},
        "bytes": _bytes(out),
    }


def _bytes(out: Path) -> dict[str, int]:
    return {name: (out / name).stat().st_size for name in (FLOAT, INT8) if (out / name).is_file()}
