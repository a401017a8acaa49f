"""`bistil.export`: a model in ONNX form, in float32 and in int8 that keeps its scores."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from transformers.utils.logging import disable_progress_bar

from bistil.api.data import Labelled, Text, by_language, labelled_file, text_patterns
from bistil.api.given import folder_of, path_of
from bistil.corpora.text import files, lines
from bistil.errors import BistilError
from bistil.exporting.conversion import Exportable, to_int8, to_onnx
from bistil.exporting.examples import sentences
from bistil.exporting.folder import INT8, REPORT, Exported, check_free, publish_export
from bistil.exporting.metadata import card_languages
from bistil.exporting.web import write_web
from bistil.files import read_json
from bistil.models import sources
from bistil.progress import Progress

_LINES = 500  # of each language's plain text


def export(
    model: str | os.PathLike[str],
    output_dir: str | os.PathLike[str] | None = None,
    *,
    quantize: Literal["int8"] | None = "int8",
    test: Mapping[str, Labelled] | None = None,
    text: Mapping[str, Text] | None = None,
    tolerance: float = 0.3,
    web: str | os.PathLike[str] | None = None,
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
            or the vectors of an encoder, are compared. Without it, the vectors of a sentence embedding model are
            compared on two sentences of each of its languages.
        tolerance: points that no language may lose more than.
        web: a folder to write, too, that runs the int8 file in the browser from any file server. A model that has
            been exported is not exported again for it, unless `output_dir`, `test` or `text` is given.
        progress: whether to show it.

    Returns:
        The folder, sizes, scores in float32 and in int8, and what stayed in float32.

    Raises:
        BistilError: no such model, a model that has no ONNX form, a tolerance that cannot be met, a file of your
            own that would be replaced, packages for the browser that cannot be fetched.

    Example:
        ``export("runs/tr/tasks/pos", test={"tr": "tr_boun-test.conllu"})``
    """
    if quantize not in ("int8", None):
        raise BistilError(f"quantize is {quantize!r}. Give 'int8', or None for float32 alone.")
    if not isinstance(tolerance, int | float) or not tolerance >= 0:
        raise BistilError(f"tolerance is {tolerance!r}. Give points, such as 0.3.")
    if web is not None and quantize is None:
        raise BistilError(
            "Browsers run the int8 file, which quantize=None (--no-quantize) leaves out. Leave one out."
        )
    name = path_of(model, "The model")
    choices = "OUT/tasks/NAME of a run, another model folder, or a hub id"
    source = sources.found(name, "model", choices, further=(INT8, REPORT) if web is not None else ())
    shown = Progress.shown(progress)
    there = all((source / file).is_file() for file in (INT8, REPORT))
    if web is not None and there and output_dir is None and not (test or text):
        return _in_browsers(Exported(source, read_json(source / REPORT)), name, folder_of(web, "web"), shown)
    if output_dir is None and not os.path.isdir(os.path.expanduser(name)):
        raise BistilError(f"{name} is no folder. Say with output_dir (--out) where to write.")
    out = source if output_dir is None else folder_of(output_dir, "output_dir")
    disable_progress_bar()  # of transformers: ours says more
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with shown.stage("Loading the model"):
            loaded = Exportable.load(source)
            check_free(source, out, quantize is not None, loaded.tokenizer_json)
            tests, texts = (
                _tests(loaded.task, by_language(test, "test"), work),
                _texts(loaded.task, text or {}, work),
            )
            if loaded.pooling is not None and not texts:
                texts = dict(sentences(card_languages(source)))
        with shown.stage("Writing ONNX, and comparing it with PyTorch"):
            report = to_onnx(loaded, work / "model")
        if quantize:
            with shown.stage("Quantising", unit="files") as stage:
                report |= to_int8(loaded, work / "model", tests, texts, tolerance, stage.advance)
        with shown.stage("Writing the model"):
            files = {file: work / "model" / file for file in report["bytes"]}
            exported = publish_export(source, out, files, report, loaded.tokenizer_json)
    return exported if web is None else _in_browsers(exported, name, folder_of(web, "web"), shown)


def _in_browsers(exported: Exported, name: str, web: Path, shown: Progress) -> Exported:
    """The same, and a folder for browsers, in which the model is called as its folder is."""
    with shown.stage("Writing the folder for browsers"):
        return replace(exported, web=write_web(exported.output_dir, Path(os.path.abspath(name)).name, web))


def _tests(task: Any, test: Mapping[str, Labelled], work: Path) -> dict[str, Sequence[Any]]:
    """Labelled examples by language."""
    if test and task is None:
        raise BistilError("The model is an encoder without the head of a task, which cannot be scored. Give text.")
    return {
        language: task.in_language(task.read(labelled_file(data, work, f"test-{language}")), language)
        for language, data in test.items()
    }


def _texts(task: Any, text: Mapping[str, Text], work: Path) -> dict[str, Sequence[Any]]:
    """Unlabelled examples of a task by language, or lines for an encoder."""
    if text and task is not None and not task.reads_lines(()):
        raise BistilError(f"Plain text is nothing to label for {task.kind}. Give labelled examples (test).")
    read = {
        language: list(islice(lines(files(patterns)), _LINES))
        for language, patterns in text_patterns(text, work).items()
    }
    if task is None:
        return dict(read)
    found: dict[str, Sequence[Any]] = {
        language: [task.parse(line) for line in own if not line.startswith("{")] for language, own in read.items()
    }
    if empty := [language for language, examples in found.items() if not examples]:
        raise BistilError(f"The text of {empty[0]} has no line that is text, not JSON. Give other text.")
    return found
