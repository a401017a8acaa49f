"""A model folder with its ONNX files, as others look for them."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bistil.errors import BistilError
from bistil.exporting.int8note import noted
from bistil.exporting.normalizer import known_tokenizer
from bistil.files import check_published, foreign, listed_files, publish_files
from bistil.hub import CARD, EMBEDDING_FILES
from bistil.runtime.shown import InFolder
from bistil.runtime.tokenizer import FILE as TOKENIZER
from bistil.runtime.tokenizer import SETTINGS

FLOAT, INT8 = "onnx/model.onnx", "onnx/model_quantized.onnx"
REPORT, CONFIG = "export.json", "config.json"
# Unless told otherwise, transformers.js takes the float32 file in Node, and in browsers the int8 file.
_JAVASCRIPT = "transformers.js_config"


@dataclass(frozen=True)
class WebFolder:
    """A folder for a file server, and the sizes of what was written into it: ``{"index.html": 1204, …}``."""

    output_dir: Path
    bytes: dict[str, int]


@dataclass(frozen=True, repr=False)
class Exported(InFolder):
    """A model in ONNX form: its folder, what ``export.json`` in it says, and the folder for browsers.

    ``report`` has, for example, ``{"task": "pos", "inputs": ["input_ids", …], "outputs": ["logits"],
    "bytes": {"onnx/model.onnx": 78772693, "onnx/model_quantized.onnx": 20002879}, "kept": [], "tolerance": 0.3,
    "scores": {"tr": {"float32": 78.6, "int8": 78.5, "loss": 0.1, "examples": 979}}, …}``.
    """

    output_dir: Path
    report: dict[str, Any]
    web: WebFolder | None = None

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "output_dir", str(self.output_dir)
        for name, size in self.report["bytes"].items():
            yield name, f"{size / 1e6:.1f} MB"
        for language, own in self.report["scores"].items():
            yield f"{language}, {own['metric']}", f"{own['float32']:.1f} in float32, {own['int8']:.1f} in int8"
        for language, own in self.report["agreement"].items():
            alike = (
                f"{own['agreement']:.1f} % alike"
                if self.report["task"]
                else f"cosine {own['agreement'] / 100:.4f}"
            )
            yield f"{language}, plain text", f"{alike} in float32 and int8"
        if INT8 in self.report["bytes"]:
            if not (self.report["scores"] or self.report["agreement"]):
                yield "int8", "not compared with float32: no test or text was given"
            yield "kept in float32", "; ".join(self.report["kept"]) or "nothing"
        if self.web is not None:
            yield "for the browser", f"{self.web.output_dir}, {sum(self.web.bytes.values()) / 1e6:.1f} MB"


def check_free(source: Path, out: Path, int8: bool, tokenizer: str | None = None) -> None:
    """Raises BistilError, before any work is done, where a file that is not bistil's would be replaced.

    ``tokenizer`` is what ``tokenizer.json`` is to say if that is not what it says in ``source``.
    """
    if tokenizer is not None and source.resolve() == out.resolve() and foreign(out / TOKENIZER) is not None:
        raise BistilError(
            f"{out / TOKENIZER} gives other tokens than transformers makes of it with {SETTINGS}, and is not "
            "bistil's to change. Say with output_dir (--out) where to write a copy with the right one."
        )
    new: dict[str, str | Path] = {FLOAT: source, REPORT: "", **({INT8: source} if int8 else {}), **_if(tokenizer)}
    contents, listed = _contents(source, out, new), listed_files(out)
    if source.resolve() != out.resolve() and REPORT not in listed:
        # an export that did not end has none of other names, and not yet config.json, which is the last
        others = {name for name in listed if name == CONFIG or name not in contents}
        if any((out / name).exists() for name in others):
            raise BistilError(
                f"{out} holds what bistil wrote there, and no earlier export. Choose another folder."
            )
    for name in contents:
        check_published(out / name)
    nearest = next(one for one in (out.absolute(), *out.absolute().parents) if one.exists())
    if not os.access(nearest, os.W_OK):
        raise BistilError(f"{nearest} cannot be written to. Say with output_dir (--out) where to write a copy.")


def publish_export(
    source: Path, out: Path, files: Mapping[str, Path], report: dict[str, Any], tokenizer: str | None = None
) -> Exported:
    """Put ONNX files and ``export.json`` into a model folder, or with a copy of the model into another.

    Where bistil wrote the folder, ``config.json`` tells transformers.js which of the files to take, the int8 one
    if there is one, the normalizer in ``tokenizer.json`` has steps that transformers.js knows, and a card that
    tells of int8 says first if there is no such file. Files of the user's own are never replaced: that is a
    BistilError. What an earlier export left and this one does not write goes: the int8 file, and in another folder
    the files of another model.

    Args:
        source: the folder of the model.
        out: the same, or another.
        files: the ONNX files by their names in the folder.
        report: what ``export.json`` says.
        tokenizer: what ``tokenizer.json`` is to say if that is not what it says in ``source``.
    """
    new: dict[str, str | Path] = {
        **files,
        REPORT: json.dumps(report, ensure_ascii=False, indent=1) + "\n",
        **_if(tokenizer),
    }
    contents = _contents(source, out, new)
    earlier = [INT8] if source.resolve() == out.resolve() else listed_files(out)
    left = [out / name for name in earlier if name not in contents and (out / name).exists()]
    for path in left:
        check_published(path)
    for path in left:
        path.unlink()
    publish_files(out, contents)
    return Exported(out, report)


def _contents(source: Path, out: Path, new: Mapping[str, str | Path]) -> dict[str, str | Path]:
    copied: dict[str, str | Path] = {}
    if source.resolve() != out.resolve():
        files = (path for path in sorted(source.iterdir()) if path.is_file() and not path.name.startswith("."))
        copied = {path.name: path for path in files if path.name not in (REPORT, CONFIG)}
        pooling = (path for pattern in EMBEDDING_FILES for path in source.glob(pattern))
        copied |= {path.relative_to(source).as_posix(): path for path in pooling}
    contents = {**copied, **new}
    if (source / CARD).is_file() and (copied or foreign(out / CARD) is None):
        given = (source / CARD).read_bytes().decode(errors="replace")
        if (card := noted(given, INT8 in new)) != given:
            contents[CARD] = card
    if copied or foreign(out / CONFIG) is None:  # the last, for a folder without it is no model
        contents[CONFIG] = _config(source / CONFIG, INT8 in new)
    written = new.get(TOKENIZER) or _read(source / TOKENIZER)
    if (known := _tokenizer(str(written))) and (copied or foreign(out / TOKENIZER) is None):
        contents[TOKENIZER] = known
    return contents


def _if(tokenizer: str | None) -> dict[str, str]:
    return {} if tokenizer is None else {TOKENIZER: tokenizer}


def _config(path: Path, int8: bool) -> str:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BistilError(f"{path} cannot be read ({error}). Give the folder of a whole model.") from error
    return _json(values | {_JAVASCRIPT: {"dtype": "q8" if int8 else "fp32"}})


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else "{}"


def _tokenizer(written: str) -> str | None:
    """The tokenizer with a normalizer that every loader knows; None where it has one."""
    values = json.loads(written)
    known = known_tokenizer(values)
    return None if known is values else _json(known)


def _json(values: Any) -> str:
    return json.dumps(values, ensure_ascii=False, indent=2) + "\n"
