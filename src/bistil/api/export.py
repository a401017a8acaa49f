"""`bistil.export`: a model in ONNX form, in float32 and in int8 that keeps its scores."""

import os
import tempfile
from collections.abc import Collection, Mapping
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from transformers.utils.logging import disable_progress_bar

from bistil.api.data import Labelled, Text, labelled_file, text_patterns
from bistil.corpora.text import files, lines
from bistil.errors import BistilError
from bistil.exporting.comparison import Comparison, OnExamples, OnStates, OnText
from bistil.exporting.folder import FLOAT, INT8, Exported, check_free, publish_export
from bistil.exporting.graph import OPSET, Graph, check_onnx, write_graph
from bistil.exporting.onnxmodel import OnnxModel
from bistil.exporting.quantisation import products, quantise
from bistil.exporting.tolerance import choose, grouped
from bistil.models import encoders, sources
from bistil.progress import Progress
from bistil.runtime.engine import VOCABULARY
from bistil.runtime.tokenizer import FILE as TOKENIZER
from bistil.runtime.tokenizer import backend, vocabulary_digest
from bistil.tasks import saved
from bistil.tasks.registry import installed_tasks

_LINES = 500  # of each language's plain text
_PACKAGES = ("bistil", "torch", "transformers", "onnx", "onnxruntime")


def export(
    model: str | os.PathLike[str],
    output_dir: str | os.PathLike[str] | None = None,
    *,
    quantize: Literal["int8"] | None = "int8",
    test: Mapping[str, Labelled] | None = None,
    text: Mapping[str, Text] | None = None,
    tolerance: float = 0.3,
    progress: bool | Progress = True,
) -> Exported:
    """Write a model as ONNX: ``onnx/model.onnx``, ``onnx/model_quantized.onnx`` and ``export.json``.

    Both run on onnxruntime with any batch and length. The second has its products and embedding tables in int8. If
    that costs a language more than the tolerance, the products that matter most stay in float32.

    Args:
        model: a task model, a student or another encoder: what `bistil.train` or `bistil.distill` returned, a
            folder or a hub id.
        output_dir: where to write a copy of the model with its ONNX files. By default they are written into the
            model's folder.
        quantize: "int8", or None for the float32 file alone.
        test: labelled examples by language, on which scores are compared: a file, a list of dicts or a
            `datasets.Dataset`.
        text: plain text by language, for languages without labelled examples: the labels of its first 500 lines,
            or the states of an encoder, are compared.
        tolerance: points that no language may lose more than.
        progress: whether to show it.

    Returns:
        The folder, sizes, scores in float32 and in int8, and what stayed in float32.

    Raises:
        BistilError: no such model, a model that has no ONNX form, a tolerance that cannot be met, a file of your
            own that would be replaced.

    Example:
        ``export("runs/tr/tasks/pos", test={"tr": "tr_boun-test.conllu"})``
    """
    check_onnx()
    if quantize not in ("int8", None):
        raise BistilError(f"quantize is {quantize!r}. Give 'int8', or None for float32 alone.")
    if not isinstance(tolerance, int | float) or not tolerance >= 0:
        raise BistilError(f"tolerance is {tolerance!r}. Give points, such as 0.3.")
    name = os.fspath(model)
    source = sources.found(name, "model", "OUT/tasks/NAME of a run, another model folder, or a hub id")
    if output_dir is None and not Path(name).expanduser().is_dir():
        raise BistilError(f"{name} is no folder. Say with output_dir (--out) where to write.")
    out = source if output_dir is None else Path(output_dir)
    shown = Progress.shown(progress)
    disable_progress_bar()  # of transformers: ours says more
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with shown.stage("Loading the model"):
            network, tokenizer, task = _loaded(source)
            check_free(source, out, quantize is not None)
        with shown.stage("Writing ONNX, and comparing it with PyTorch"):
            graph = write_graph(network, tokenizer, work / "float32.onnx", _vocabulary(source))
        found = {FLOAT: graph.file}
        report: dict[str, Any] = {
            "task": task and task.kind,
            "inputs": list(graph.inputs),
            "outputs": list(graph.outputs),
            "opset": OPSET,
            "versions": {package: version(package) for package in _PACKAGES},
            "kept": [],
            "scores": {},
            "agreement": {},
        }
        if quantize:
            engine = OnnxModel(graph.file, network)
            with shown.stage("Running float32"):
                scores = _scored(engine, tokenizer, task, test or {}, work)
                agreements = _agreeing(engine, tokenizer, task, text or {}, work)
            found[INT8] = work / "int8.onnx"
            report |= {"tolerance": tolerance}
            report |= _quantised(graph, network, found[INT8], scores, agreements, tolerance, shown)
        report["bytes"] = {name: path.stat().st_size for name, path in found.items()}
        with shown.stage("Writing the model"):
            return publish_export(source, out, found, report)


def _quantised(
    graph: Graph,
    network: Any,
    file: Path,
    scores: Mapping[str, Comparison],
    agreements: Mapping[str, Comparison],
    tolerance: float,
    shown: Progress,
) -> dict[str, Any]:
    """Writes the int8 file; returns what is reported."""
    groups = grouped(products(graph.file))
    comparisons = {**agreements, **scores}
    facts: dict[str, dict[str, Any]] = {}

    def measure(kept: Collection[str]) -> dict[str, float]:
        quantise(graph.file, file, [name for group in kept for name in groups[group]])
        engine = OnnxModel(file, network)
        facts.update({language: one.facts(engine) for language, one in comparisons.items()})
        stage.advance()
        return {language: own["loss"] for language, own in facts.items()}

    with shown.stage("Quantising", unit="files") as stage:
        chosen = choose(list(groups), measure, tolerance)
    return {
        "kept": list(chosen.groups),
        "scores": {language: facts[language] for language in scores},
        "agreement": {language: facts[language] for language in agreements if language not in scores},
    }


def _loaded(folder: Path) -> tuple[Any, Any, Any]:
    """A task model, its tokenizer and its task, or an encoder, its tokenizer and None."""
    config = encoders.read_any_config(folder)
    architecture = str((config.architectures or [""])[0])
    labels = [str(label) for label in (config.id2label or {}).values()]
    if hasattr(config, "bistil_task") or any(one.fits(architecture, labels) for one in installed_tasks()):
        network, tokenizer, task = saved.load(folder, "torch")
        return network.cpu().float(), tokenizer, task
    network, tokenizer = encoders.load(folder)
    saved.check_ids(folder, network, tokenizer)
    return network, tokenizer, None


def _vocabulary(folder: Path) -> dict[str, str]:
    """By what the runtime tells that a tokenizer is the model's own."""
    return {VOCABULARY: vocabulary_digest(backend(folder))} if (folder / TOKENIZER).is_file() else {}


def _scored(
    model: Any, tokenizer: Any, task: Any, test: Mapping[str, Labelled], work: Path
) -> dict[str, Comparison]:
    if test and task is None:
        raise BistilError("The model is an encoder without the head of a task, which cannot be scored. Give text.")
    found: dict[str, Comparison] = {}
    for language, data in test.items():
        read = task.read(labelled_file(data, work, f"test-{language}"))
        found[language] = OnExamples.of(model, tokenizer, task, task.in_language(read, language))
    return found


def _agreeing(
    model: Any, tokenizer: Any, task: Any, text: Mapping[str, Text], work: Path
) -> dict[str, Comparison]:
    if text and task is not None and not task.reads_lines(()):
        raise BistilError(f"Plain text is nothing to label for {task.kind}. Give labelled examples (test).")
    found: dict[str, Comparison] = {}
    for language, patterns in text_patterns(text, work).items():
        read = list(islice(lines(files(patterns)), _LINES))
        if task is None:
            found[language] = OnStates.of(model, tokenizer, read)
        else:
            if not (examples := [task.parse(line) for line in read if not line.startswith("{")]):
                raise BistilError(f"The text of {language} has no line that is text, not JSON. Give other text.")
            found[language] = OnText.of(model, tokenizer, task, examples)
    return found
