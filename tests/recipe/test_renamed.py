"""Recipes of earlier versions are read, and say what their keys are called now."""

import subprocess
import sys

import pytest

from bistil.errors import BistilError, BistilWarning
from bistil.recipe.recipe import Recipe
from bistil.recipe.renamed import _NAMES

OLD = """\
name: old
source: {language: en, text: en.txt}
target: {language: tr, text: tr.txt}
distil: {tokens: 2048, block: 16, batch: 4, follow: last, masked: 0.2}
tasks:
  - {kind: pos, train: a.conllu, test: {tr: b.conllu}, batch: 2, target_lines: 5, examples: 9}
out: runs/old
"""


def test_an_old_recipe_is_read_with_a_hint_for_every_key(tmp_path):
    (tmp_path / "old.yaml").write_text(OLD)
    with pytest.warns(BistilWarning) as said:
        recipe = Recipe.load(tmp_path / "old.yaml", ["distil.block=32", "tasks.0.target_lines=7"])
    distill, (task,) = recipe.distill, recipe.tasks
    assert (distill.tokens, distill.sequence_length, distill.batch_size) == (2048, 32, 4)
    assert (distill.matched_layers, distill.mlm_probability) == ("last", 0.2)
    assert (task.batch_size, task.pseudo_labels, task.max_train_samples) == (2, 7, 9)
    hints = [str(one.message) for one in said]
    assert len(hints) == len(_NAMES) + 2
    assert f"Recipe {tmp_path / 'old.yaml'}: distill.block is called distill.sequence_length now." in hints
    assert "--set: tasks.0.target_lines is called tasks.0.pseudo_labels now." in hints


def test_every_new_name_is_one_of_a_recipe(tmp_path):
    """What is saved is today's, and is read without a hint."""
    (tmp_path / "old.yaml").write_text(OLD)
    with pytest.warns(BistilWarning):
        Recipe.load(tmp_path / "old.yaml").save(tmp_path / "new.yaml")
    Recipe.load(tmp_path / "new.yaml", ["distill.sequence_length=32"])  # a warning is an error in these tests


def test_an_old_key_beside_the_new_one():
    with pytest.raises(BistilError, match=r"has both distill\.block and distill\.sequence_length"):
        Recipe.checked({"distill": {"block": 16, "sequence_length": 16}})


def test_the_command_line_says_it_in_one_line(tmp_path):
    (tmp_path / "old.yaml").write_text(OLD)
    command = [sys.executable, "-m", "bistil", "run", "old.yaml", "--set", "distil.tokens=9"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    first, *_, last = done.stderr.splitlines()
    assert first == "bistil: Recipe old.yaml: distil is called distill now."
    assert last.startswith("bistil: source.text: The text en.txt does not exist.")
