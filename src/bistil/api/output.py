"""A model in its output folder: a plain transformers folder, with the stages that made it below."""

import re
from collections.abc import Mapping
from pathlib import Path

from bistil.exporting.folder import FLOAT, INT8, REPORT
from bistil.files import check_published, fingerprint_file, listed_files, publish_files
from bistil.pipeline.runs import DISTILLED
from bistil.runtime.pooling import FILES

STAGES, DATA = "stages", "data"
_LAST, WEIGHTS = "config.json", "model.safetensors"  # without the first a folder is no model
RECIPE, SCORES = "recipe.yaml", "scores.json"
# what a model's folder may have beside it
_LATER = (FLOAT, INT8, REPORT, *FILES, RECIPE, SCORES, *DISTILLED)
MODEL = (_LAST, WEIGHTS, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def publish_model(model: Path, where: Path, further: Mapping[str, str | Path]) -> None:
    """Puts the files of a model folder, and further texts or files by name, into an output folder.

    What another model had beside it, such as ONNX files, is removed; all else stays, and so does what an export
    has changed of the same model. A kill leaves either no ``config.json`` or all of the model. Raises BistilError,
    before anything is written, where a file of the user's own would be replaced.
    """
    paths = (path for path in sorted(model.rglob("*")) if path.is_file())
    plain = {path.relative_to(model).as_posix(): path for path in paths}
    same = _same(model, where)
    if same and (where / REPORT).is_file():
        known = listed_files(where)
        plain = {
            name: path
            for name, path in plain.items()
            if not (where / name).is_file() or fingerprint_file(path) not in known.get(name, [])
        }
    last = {_LAST: plain.pop(_LAST)} if _LAST in plain else {}
    files: dict[str, str | Path] = {**plain, **further, **last}
    other = [] if same else [where / name for name in _LATER if (where / name).exists()]
    other = [path for path in other if path.relative_to(where).as_posix() not in files]
    for path in (*other, *(where / name for name in files)):
        check_published(path)
    if last:
        (where / _LAST).unlink(missing_ok=True)
    for path in other:
        path.unlink()
    publish_files(where, files)


def _same(model: Path, where: Path) -> bool:
    new, there = model / WEIGHTS, where / WEIGHTS
    return there.is_file() and fingerprint_file(there) == fingerprint_file(new)


def name_of(folder: Path) -> str:
    """A recipe's name for a folder: ``"xlmr-en-tr"`` of ``out/xlmr-en-tr``."""
    return re.sub(r"[^\w.-]+", "-", folder.name).strip("-. ") or "bistil"
