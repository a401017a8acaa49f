"""Of which stages the report and the models in a recipe's folder are."""

from collections.abc import Iterator
from contextlib import contextmanager

from bistil.files import fingerprint_file, read_json, write_json
from bistil.pipeline.stages import Stages
from bistil.recipe.recipe import Recipe

_RECORD = ".bistil-report.json"


@contextmanager
def recorded(recipe: Recipe, stages: Stages) -> Iterator[None]:
    """Records the stages that a run uses inside the block, in which it writes its report and its models.

    There is no record until all is written, as some of it may be of this run and some of the one before.

    Args:
        recipe: of the run.
        stages: that it is given.
    """
    (recipe.out / _RECORD).unlink(missing_ok=True)
    yield
    used = [folder.path.name for folder in stages.used]
    write_json(recipe.out / _RECORD, {"stages": used, **_written(recipe)})


def made_of(recipe: Recipe) -> set[str]:
    """The keys of the stages of the report in a recipe's folder: ``{"vocabulary-1f0c2a9b44", …}``.

    None where a run did not end, the recipe is another one, or the report was written or deleted since.

    Args:
        recipe: whose folder it is.
    """
    try:
        record = read_json(recipe.out / _RECORD)
        stages = set[str](record.pop("stages"))
        return stages if record == _written(recipe) else set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def _written(recipe: Recipe) -> dict[str, str]:
    return {"recipe": recipe.text(), "report": fingerprint_file(recipe.out / "report.json")}
