"""How the states of a text's tokens become one vector, as the files of sentence-transformers say it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, cast, get_args

import numpy as np
from numpy.typing import NDArray

from bistil.corpora.strict import parse_json
from bistil.errors import BistilError

MODULES, PROMPTS, LIMITS = "modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"
_POOLING, _NORMALIZE = "1_Pooling", "2_Normalize"
FILES = (MODULES, PROMPTS, LIMITS, f"{_POOLING}/config.json")
Mode = Literal["mean", "cls", "lasttoken"]
# As sentence-transformers before 5.3 has the modes, and after it reads them.
_FLAGS: Mapping[str, str] = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "lasttoken": "pooling_mode_lasttoken",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
}


@dataclass(frozen=True)
class Pooling:
    """What makes a sentence embedding model of an encoder, with the names of sentence-transformers.

    ``mode`` is the ``pooling_mode``: the mean over the tokens, the first token, or the last. ``prompts`` are put
    before a text, by name; ``max_seq_length`` counts tokens, None is as many as the encoder takes. Example:
    ``Pooling(prompts={"query": "query: ", "passage": "passage: "})`` is that of multilingual E5.
    """

    mode: Mode = "mean"
    normalize: bool = True
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    max_seq_length: int | None = None

    @classmethod
    def of(cls, folder: Path) -> Self:
        """That of a model folder; without the files of sentence-transformers mean pooling, normalised, no prompts.

        Raises BistilError for modules and ways of pooling that are not these.
        """
        if not (folder / MODULES).is_file():
            return cls()
        listed = _read(folder / MODULES, list)
        places = {str(one["type"]).rpartition(".")[2]: str(one.get("path", "")) for one in listed}
        if list(places) not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            raise BistilError(
                f"{folder / MODULES} has the modules {', '.join(places) or 'none'}. Choose a model that has "
                "Transformer and Pooling, and perhaps Normalize, alone."
            )
        place = folder / places["Transformer"] / LIMITS
        limits = _read(place, dict)
        if limits.get("do_lower_case"):
            raise BistilError(f"{place} lowers the case of texts. Choose a model whose tokenizer does it.")
        known = _read(folder / PROMPTS, dict)
        prompts = _setting(known, "prompts", folder / PROMPTS, _are_prompts) or {}
        return cls(
            _mode(folder / places["Pooling"] / "config.json"),
            "Normalize" in places,
            {name: text or "" for name, text in prompts.items()},
            _setting(known, "default_prompt_name", folder / PROMPTS, lambda name: isinstance(name, str)),
            _setting(limits, "max_seq_length", place, lambda most: type(most) is int and most > 0),
        )

    @classmethod
    def known(cls, folder: Path) -> Self | None:
        """The same where the folder has such files, of modules that are these; else None: it is an encoder."""
        try:
            return cls.of(folder) if (folder / MODULES).is_file() else None
        except BistilError:
            return None

    def files(self, dimensions: int) -> dict[str, str]:
        """The files of sentence-transformers by name, for a model with vectors of so many dimensions.

        A prompt ``passage`` is also called ``document``, for which ``encode_document`` looks first.
        """
        modules = [("Transformer", ""), ("Pooling", _POOLING)]
        modules += [("Normalize", _NORMALIZE)] if self.normalize else []
        prompts = dict(self.prompts)
        if "passage" in prompts:
            prompts.setdefault("document", prompts["passage"])
        limits = {} if self.max_seq_length is None else {"max_seq_length": self.max_seq_length}
        contents: dict[str, Any] = {
            MODULES: [
                {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for at, (kind, path) in enumerate(modules)
            ],
            f"{_POOLING}/config.json": {
                "word_embedding_dimension": dimensions,
                **{flag: mode == self.mode for mode, flag in _FLAGS.items()},
                "include_prompt": True,
            },
            LIMITS: limits | {"do_lower_case": False},
            PROMPTS: {
                "prompts": prompts,
                "default_prompt_name": self.default_prompt_name,
                "similarity_fn_name": "cosine",
            },
        }
        return {
            name: json.dumps(content, ensure_ascii=False, indent=2) + "\n" for name, content in contents.items()
        }

    def save(self, folder: Path, dimensions: int) -> None:
        """Write `files` into a model folder."""
        for name, text in self.files(dimensions).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", newline="\n")

    def prompt(self, name: str | None = None) -> str:
        """The prompt of that name, or the default one; raises BistilError where there is none of the name."""
        name = self.default_prompt_name if name is None else name
        if name is None:
            return ""
        if not isinstance(name, str) or name not in self.prompts:
            known = ", ".join(map(repr, self.prompts)) or "no prompts"
            raise BistilError(
                f"There is no prompt {name!r}; the model has {known}. Give one of these, or prompt=."
            )
        return self.prompts[name]

    def __call__(self, states: Any, mask: Any) -> Any:
        """The vectors [texts, dimensions] of states [texts, tokens, dimensions], not yet normalised.

        ``mask`` [texts, tokens] is 1 for real tokens and 0 for the padding behind them. Arrays of numpy and
        tensors of torch alike. Example: the states ``[[[1.0], [3.0], [9.0]]]`` with the mask ``[[1, 1, 0]]`` give
        ``[[2.0]]`` as the mean.
        """
        if self.mode == "cls":
            return states[:, 0]
        if self.mode == "lasttoken":
            return states[list(range(len(states))), mask.sum(1) - 1]
        return (states * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]


def normalized(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each at length 1: ``[[3, 4]]`` becomes ``[[0.6, 0.8]]``; a vector of zeros stays one."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return np.divide(vectors, lengths, dtype=np.float32)


def _mode(path: Path) -> Mode:
    config = _read(path, dict)
    if not config.get("include_prompt", True):
        raise BistilError(f"{path} leaves prompts out of the vector (include_prompt). Choose another model.")
    given = config.get("pooling_mode") or [mode for mode, flag in _FLAGS.items() if config.get(flag)] or "mean"
    modes = given if isinstance(given, list) else [given]
    if len(modes) != 1 or modes[0] not in get_args(Mode):
        raise BistilError(
            f"{path} pools by {' and '.join(map(str, modes))}. "
            f"Choose a model that pools by {', '.join(get_args(Mode))}."
        )
    return cast(Mode, modes[0])


def _setting(values: Mapping[str, Any], name: str, path: Path, fits: Callable[[Any], bool]) -> Any:
    value = values.get(name)
    if value is not None and not fits(value):
        raise BistilError(f"{path} has {value!r} as {name!r}. Fetch the model again.")
    return value


def _are_prompts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str | None) for text in value.values())


def _read(path: Path, kind: type[Any]) -> Any:
    """What a JSON file has, nothing where it is not there; raises BistilError where it is of another kind."""
    if not path.is_file():
        return kind()
    try:
        found = parse_json(path.read_text(encoding="utf-8"), path.name)
    except (OSError, ValueError, BistilError) as error:
        raise BistilError(f"{path} cannot be read ({error}). Fetch the model again.") from error
    modules = isinstance(found, list) and all(isinstance(one, dict) and "type" in one for one in found)
    if not isinstance(found, kind) or (kind is list and not modules):
        raise BistilError(f"{path} is not what sentence-transformers writes. Fetch the model again.")
    return found
