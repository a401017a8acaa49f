"""The files in examples/fleet: what they tell bistil to do it can do."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import typer
import yaml

from bistil.cli import app
from bistil.errors import BistilError
from bistil.recipe.matrix import Matrix

FOLDER = Path(__file__).parents[2] / "examples/fleet"


def test_the_matrix_is_one_of_eight_recipes_whose_files_are_the_users(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    recipes = Matrix.load(FOLDER / "matrix.yaml").recipes()
    assert len(recipes) == 8
    with pytest.raises(BistilError, match=r"text/en\.txt does not exist"):
        recipes["tr/half"].check_files()


@pytest.mark.parametrize(("name", "place"), [("rayjob.yaml", ("spec", "entrypoint")), ("sky.yaml", ("run",))])
def test_commands_have_the_options_that_bistil_has(name, place):
    found = yaml.safe_load((FOLDER / name).read_text("utf-8"))
    for key in place:
        found = found[key]
    words = shlex.split(found.replace("'", " "))
    at = words.index("bistil")
    end = next((n for n, word in enumerate(words) if n > at and word in ("ray", "fi", "STATUS=$?")), len(words))
    command = typer.main.get_command(app).commands["fleet"]
    known = {option for parameter in command.params for option in parameter.opts}
    given = words[at:end]
    assert given[:3] == ["bistil", "fleet", "matrix.yaml"]
    assert {word for word in given if word.startswith("--")} <= known
    assert {"--address", "--store"} <= set(given)


def test_a_fleet_that_failed_on_rented_machines_has_its_status(tmp_path):
    for name, status in (("ray", 0), ("bistil", 1)):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} $1\nexit {status}\n")
        (tmp_path / name).chmod(0o755)
    script = yaml.safe_load((FOLDER / "sky.yaml").read_text("utf-8"))["run"]
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "SKYPILOT_NODE_IPS": "10.0.0.1", "SKYPILOT_NODE_RANK": "0", "STORE": "s3://b"}
    ended = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
    assert (ended.stdout.split("\n")[:3], ended.returncode) == (["ray start", "bistil fleet", "ray stop"], 1)
