"""A model in its output folder: a plain transformers folder, with the stages that made it below."""

import re
from collections.abc import Mapping
from pathlib import Path

from bistil.files import check_published, publish_files

STAGES, DATA = "stages", "data"
_LAST = "config.json"  # without which a folder is no model
MODEL = (_LAST, "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def publish_model(model: Path, where: Path, further: Mapping[str, str | Path]) -> None:
    """Puts the files of a model folder, and further texts or files by name, into an output folder.

    What else lies there stays. A kill leaves either no ``config.json`` or all of the model. Raises BistilError,
    before anything is written, where a file of the user's own would be replaced.
    """
    paths = (path for path in sorted(model.rglob("*")) if path.is_file())
    files: dict[str, str | Path] = {path.relative_to(model).as_posix(): path for path in paths}
    files |= {**further, _LAST: files.pop(_LAST)}
    for name in files:
        check_published(where / name)
    (where / _LAST).unlink(missing_ok=True)
    publish_files(where, files)


def name_of(folder: Path) -> str:
    """A recipe's name for a folder: ``"xlmr-en-tr"`` of ``out/xlmr-en-tr``."""
    return re.sub(r"[^\w.-]+", "-", folder.name).strip("-. ") or "bistil"
