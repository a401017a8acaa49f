"""The quickstart's recipes, without fetching anything."""

import pytest

from bistil.errors import BistilError
from bistil.quickstart import recipe as quickstart
from bistil.quickstart.recipe import recipe_for
from bistil.quickstart.wordnet import WordNetData


@pytest.fixture
def prepared(monkeypatch, tmp_path):
    def prepare(target, folder):
        paths = {language: folder / f"{language}.txt" for language in ("en", target)}
        return WordNetData(paths, folder / "train", folder / "validation", paths, folder / "target")

    monkeypatch.setattr(quickstart.wordnet, "prepare", prepare)
    return tmp_path / "out"


def test_sizes_grow(prepared):
    tokens = [recipe_for("tr", size, prepared).distill.tokens for size in ("smoke", "default", "full")]
    assert tokens == sorted(tokens)
    assert tokens[-1] == 1_000_000


def test_target_validation_is_never_used(prepared):
    recipe = recipe_for("tr", "default", prepared)
    used = {recipe.tasks[0].train, recipe.tasks[0].validation, *recipe.tasks[0].test.values()}
    assert prepared / "data" / "target" not in used
    assert recipe.out == prepared


def test_unknown_size(prepared):
    with pytest.raises(BistilError, match="smoke, default, full"):
        recipe_for("tr", "huge", prepared)


def test_unknown_target_names_those_available(tmp_path):
    with pytest.raises(BistilError, match="Available: tr"):
        recipe_for("xx", "smoke", tmp_path)
    assert not list(tmp_path.iterdir())
