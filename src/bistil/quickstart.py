"""The quickstart's recipe: what does a dictionary definition describe, from English labels to Turkish."""

from pathlib import Path

from bistil.corpora import wordnet
from bistil.errors import BistilError
from bistil.recipe import Recipe

_SIZES = {
    "smoke": {"tokens": 8_192, "examples": 160, "epochs": (1, 1)},
    "default": {"tokens": 120_000, "examples": 1_500, "epochs": (1, 2)},
    "full": {"tokens": 1_000_000, "examples": 3_000, "epochs": (1, 2)},
}


def recipe_for(target: str, size: str, out: Path) -> Recipe:
    """The recipe of `bistil quickstart`; its data are fetched and written to ``OUT/data`` if not there yet.

    Example: ``recipe_for("tr", "smoke", Path("runs/quick")).distil.tokens`` is 8192.
    """
    if size not in _SIZES:
        raise BistilError(f"There is no quickstart size {size!r}. Choose from {', '.join(_SIZES)}.")
    chosen = _SIZES[size]
    data = wordnet.prepare(target, out / "data")
    return Recipe.model_validate(
        {
            "name": f"quickstart-en-{target}",
            "source": {"language": "en", "text": str(data.text["en"])},
            "target": {"language": target, "text": str(data.text[target])},
            "distil": {"tokens": chosen["tokens"], "block": 64, "batch": 16},
            "tasks": [
                {
                    "kind": "classification",
                    "name": "definitions",
                    "train": data.train,
                    "validation": data.validation,
                    "test": {target: data.test[target], "en": data.test["en"]},
                    "examples": chosen["examples"],
                    "epochs": chosen["epochs"],
                    "max_length": 64,
                }
            ],
            "out": out,
        }
    )
