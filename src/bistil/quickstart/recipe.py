"""The quickstart's recipe: what does a dictionary definition describe, from English labels to Turkish."""

from pathlib import Path

from bistil.errors import BistilError
from bistil.quickstart import wordnet
from bistil.recipe.recipe import Recipe

# How much is learned from; whether English and the baseline are tested as well; what int8 may cost: smoke is to be
# over soon, and to find what must stay in float32 takes long where a model has learned little.
_SIZES = {
    "smoke": {"tokens": 4_096, "examples": 64, "min_steps": 0, "all": False, "tolerance": 5.0},
    "default": {"tokens": 160_000, "examples": 800, "min_steps": 200, "all": True, "tolerance": 0.3},
    "full": {"tokens": 1_000_000, "examples": 3_000, "min_steps": 200, "all": True, "tolerance": 0.3},
}


def recipe_for(target: str, size: str, out: Path) -> Recipe:
    """The recipe of `bistil quickstart`; its data are fetched and written to ``OUT/data`` if not there yet.

    Example: ``recipe_for("tr", "smoke", Path("runs/quick")).distill.tokens`` is 4096.
    """
    if size not in _SIZES:
        raise BistilError(f"There is no quickstart size {size!r}. Choose from {', '.join(_SIZES)}.")
    chosen = _SIZES[size]
    data = wordnet.prepare(target, out / "data")
    return Recipe.model_validate(
        {
            "name": f"quickstart-en-{target}",
            "source": {"language": "en", "text": str(data.text["en"]), "license": wordnet.LICENSES["en"]},
            "target": {
                "language": target,
                "text": str(data.text[target]),
                "license": wordnet.LICENSES[target],
            },
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
            "baselines": ["layer_drop"] if chosen["all"] else [],
            "out": out,
        }
    )
