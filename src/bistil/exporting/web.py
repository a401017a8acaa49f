"""A folder that runs a model's int8 file in the browser: a page, its modules, what they need, and the model."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bistil.corpora.tokenizers import Frame
from bistil.errors import BistilError
from bistil.exporting.examples import examples, takes_pairs
from bistil.exporting.folder import CONFIG, INT8, WebFolder
from bistil.exporting.metadata import card_languages
from bistil.exporting.normalizer import known_tokenizer
from bistil.files import publish_files, read_json
from bistil.hub import CARD
from bistil.packages import NpmPackage, fetch
from bistil.runtime.padding import of_tokens
from bistil.runtime.tokenizer import FILE as TOKENIZER
from bistil.runtime.tokenizer import SETTINGS
from bistil.tasks import saved
from bistil.tasks.registry import own_kinds
from bistil.tasks.task import Task

MODELS = "models.json"
_PAGE = Path(__file__).with_name("page")
ONNXRUNTIME = NpmPackage(
    "onnxruntime-web",
    "1.30.0",
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    ("dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"),
    "MIT",
)
TOKENIZERS = NpmPackage(
    "@huggingface/tokenizers",
    "0.2.0",
    "sha512-LidMHe1FpcSYH4vcSjXooda34pC0M8m1gmDOv7SQi6Iv+ib1zX7J3sHBCC9/3FPCkn2k1b55FneVqMRxrr99pg==",
    ("dist/tokenizers.min.mjs", "LICENSE"),
    "Apache-2.0",
)
# Where their files stand; modules end in .js, which every file server knows the type of.
_VENDOR: Mapping[NpmPackage, Mapping[str, str]] = {
    ONNXRUNTIME: {
        "ort.wasm.bundle.min.mjs": "vendor/onnxruntime-web/ort.js",
        "ort-wasm-simd-threaded.wasm": "vendor/onnxruntime-web/ort-wasm-simd-threaded.wasm",
    },
    TOKENIZERS: {"tokenizers.min.mjs": "vendor/tokenizers/tokenizers.js", "LICENSE": "vendor/tokenizers/LICENSE"},
}
_NOTICES = "ThirdPartyNotices.txt"  # of what is compiled into onnxruntime, which its Python package has
_README = """\
This folder runs models in the browser. Serve it with any file server, for example

    python -m http.server -d .

and open http://localhost:8000. Texts do not leave the browser. Opened as a file, it does not work.

bistil wrote it (https://github.com/bistil/bistil), with onnxruntime-web {onnxruntime} (MIT) and
@huggingface/tokenizers {tokenizers} (Apache-2.0) in vendor/. Models are in models/; models.json lists them.
"""


def write_web(source: Path, name: str, out: Path, beside: Collection[str] | None = None) -> WebFolder:
    """Write a folder that runs the int8 file of a task model in the browser, without a server of its own.

    A folder that was written for other models keeps them; one of the same name is replaced.

    Args:
        source: the folder of the model, with its int8 file.
        name: what the page calls it: ``"pos"``.
        out: where to write.
        beside: the other models that the page keeps; None for all.

    Raises:
        BistilError: a model of a task that has no code for browsers, a file of the user's own in the way, or
            packages that cannot be fetched.

    Example:
        ``write_web(Path("runs/tr/tasks/pos"), "pos", Path("page")).bytes["models.json"]`` is 1305.
    """
    _, tokenizer, task = saved.load(source, "int8")
    if task.kind not in own_kinds():  # browser/model.js has code for these
        raise BistilError(
            f"The kind {task.kind} does not run in browsers. Give a model for {', '.join(own_kinds())}."
        )
    folder = f"models/{name}"
    contents = {**_page(), **_model(source, folder)}
    described = _description(source, name, tokenizer, task)
    described |= {
        "folder": folder,
        "megabytes": _megabytes(contents[f"{folder}/{INT8}"], contents[f"{folder}/{TOKENIZER}"]),
    }
    kept = _listed(out) if beside is None else [one for one in _listed(out) if one["name"] in beside]
    others = [one for one in kept if one["name"] != name]
    contents[MODELS] = json.dumps([*others, described], ensure_ascii=False, indent=1) + "\n"
    publish_files(out, contents)
    return WebFolder(out, {path: (out / path).stat().st_size for path in sorted(contents)})


def _page() -> dict[str, str | Path]:
    """All files but the model's; the modules of ``browser`` stand beside the page."""
    own = (path for path in sorted(_PAGE.rglob("*")) if path.is_file())
    found: dict[str, str | Path] = {
        path.relative_to(_PAGE).as_posix().removeprefix("browser/"): path for path in own
    }
    for package, names in _VENDOR.items():
        fetched = fetch(package)
        found |= {place: fetched / name for name, place in names.items()}
    installed = find_spec("onnxruntime")
    if installed and installed.origin and (notices := Path(installed.origin).with_name(_NOTICES)).is_file():
        found[f"vendor/onnxruntime-web/{_NOTICES}"] = notices
    found["README.txt"] = _README.format(onnxruntime=ONNXRUNTIME.version, tokenizers=TOKENIZERS.version)
    return found


def _model(source: Path, folder: str) -> dict[str, str | Path]:
    """The int8 file and what belongs to it; the tokenizer without white space, half as large."""
    names = (INT8, CONFIG, SETTINGS, CARD)
    found: dict[str, str | Path] = {
        f"{folder}/{name}": source / name for name in names if (source / name).is_file()
    }
    tokenizer = known_tokenizer(read_json(source / TOKENIZER))
    found[f"{folder}/{TOKENIZER}"] = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    return found


def _description(source: Path, name: str, tokenizer: Any, task: Task[Any]) -> dict[str, Any]:
    """What the page shows of a model, and under ``reading`` how its inputs are made."""
    languages, pair = card_languages(source), takes_pairs(task)
    unknown = tokenizer.unk_token_id
    return {
        "name": name,
        "task": task.kind,
        "title": task.title,
        "labels": list(task.labels),
        "languages": languages,
        "engine": "int8",
        "pair": pair,
        "examples": examples(task, languages),
        "reading": {
            "max_length": tokenizer.model_max_length,
            "inputs": tokenizer.model_input_names,
            "padding": of_tokens(tokenizer)["input_ids"],
            "placeholder": tokenizer.mask_token_id if unknown is None else unknown,
            "frames": [[asdict(part) for part in Frame.of(tokenizer, pair).parts] for pair in (False, True)],
            "no_answer": getattr(task, "no_answer", False),
        },
    }


def _megabytes(*contents: str | Path) -> float:
    sizes = (len(one.encode()) if isinstance(one, str) else one.stat().st_size for one in contents)
    return round(sum(sizes) / 1e6, 1)


def _listed(out: Path) -> list[dict[str, Any]]:
    """The models that a folder has already; `publish_files` refuses a file that is not bistil's."""
    try:
        found: list[dict[str, Any]] = read_json(out / MODELS)
        return [one for one in found if isinstance(one["name"], str)]
    except (OSError, ValueError, KeyError, TypeError):
        return []
