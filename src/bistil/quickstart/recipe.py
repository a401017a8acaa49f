"""The quickstart's recipes, on dictionary definitions in English and Turkish.

Of what kind is the thing that a definition describes? Which definitions in two languages are of one thing?
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bistil.errors import BistilError
from bistil.quickstart import definitions, wordnet
from bistil.recipe.recipe import Recipe

# How much is learned from; whether English and the baseline are tested as well; what int8 may cost: smoke is to be
# over soon, and to find what must stay in float32 takes long where a model has learned little.
_SIZES = {
    "smoke": {"tokens": 4_096, "examples": 64, "min_steps": 0, "all": False, "tolerance": 5.0},
    "default": {"tokens": 160_000, "examples": 800, "min_steps": 200, "all": True, "tolerance": 0.3},
    "full": {"tokens": 1_000_000, "examples": 3_000, "min_steps": 200, "all": True, "tolerance": 0.3},
}


def recipe_for(target: str, size: str, out: Path, embeddings: bool = False) -> Recipe:
    """The recipe of `bistil quickstart`; its data are fetched and written to ``OUT/data`` if not there yet.

    Example: ``recipe_for("tr", "smoke", Path("runs/quick")).distill.tokens`` is 4096.
    """
    if size not in _SIZES:
        raise BistilError(f"There is no quickstart size {size!r}. Choose from {', '.join(_SIZES)}.")
    own = _embeddings(target, size, out) if embeddings else _task(target, size, out)
    return Recipe.model_validate({"baselines": ["layer_drop"] if _SIZES[size]["all"] else [], "out": out, **own})


def _languages(target: str, text: Mapping[str, Path]) -> dict[str, Any]:
    return {
        side: {"language": code, "text": str(text[code]), "license": wordnet.LICENSES[code]}
        for side, code in (("source", "en"), ("target", target))
    }


def _task(target: str, size: str, out: Path) -> dict[str, Any]:
    chosen = _SIZES[size]
    data = wordnet.prepare(target, out / "data")
    return {
        "name": f"quickstart-en-{target}",
        **_languages(target, data.text),
        "distill": {"tokens": chosen["tokens"]},
        "tasks": [
            {
                "kind": "classification",
                "name": "definitions",
                "train": data.train,
                "validation": data.validation,
                "test": {code: data.test[code] for code in (target, *(["en"] if chosen["all"] else []))},
                "max_train_samples": chosen["examples"],
                "min_steps": chosen["min_steps"],
                "max_length": 64,
                "license": f"{wordnet.LICENSES['en']}; {target}: {wordnet.LICENSES[target]}",
            }
        ],
        "export": {"tolerance": chosen["tolerance"], "web": True},
    }


def _embeddings(target: str, size: str, out: Path) -> dict[str, Any]:
    data = definitions.prepare(target, out / "data")
    return {
        "name": f"quickstart-embeddings-en-{target}",
        **_languages(target, data.text),
        "distill": {"embeddings": True, "tokens": _SIZES[size]["tokens"]},
        "embeddings": {"test": {"definitions": [str(data.pairs[code]) for code in ("en", target)]}},
        "export": {"tolerance": _SIZES[size]["tolerance"]},
    }
