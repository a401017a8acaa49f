"""The rooms of the package: imports go down only, and in no circle."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src/bistil"
# From the top to the ground; a room imports from lower floors, or from another room of its own where that does not
# import it.
FLOORS = (
    ("cli",),
    ("serve",),
    ("api",),
    ("fleet", "planning", "quickstart"),
    ("pipeline",),
    ("report", "exporting", "evaluation"),
    ("tasks",),
    ("training",),
    ("models", "vocabulary"),
    ("sparse", "corpora", "recipe", "runtime"),
    ("errors", "files", "hub", "launch", "packages", "progress"),
)
LEVEL = {room: level for level, floor in enumerate(FLOORS) for room in floor}


def modules() -> dict[str, Path]:
    """Every module by its name: ``{"pipeline.stages": …}``; a package by the name of its folder."""
    names = {path: path.relative_to(ROOT).with_suffix("").parts for path in ROOT.rglob("*.py")}
    found = {".".join(part for part in parts if part != "__init__"): path for path, parts in names.items()}
    return {name: path for name, path in found.items() if name not in ("", "__main__")}


@cache
def arrows() -> dict[str, set[str]]:
    """What each module imports, functions included."""
    known = modules()
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bistil"):
                home = (node.module or "").removeprefix("bistil").lstrip(".")
                for alias in node.names:
                    inner = f"{home}.{alias.name}".lstrip(".")
                    found[name].add(inner if inner in known else home)
        found[name] -= {"", name}
    return found


def room(module: str) -> str:
    return module.partition(".")[0]


def test_every_module_is_in_a_room():
    assert {room(name) for name in modules()} == LEVEL.keys()
    assert {path.stem for path in ROOT.glob("*.py")} == {*FLOORS[-1], "__init__", "__main__"}


@pytest.mark.parametrize("module", modules())
def test_imports_go_down(module):
    climbs = [other for other in arrows()[module] if LEVEL[room(other)] < LEVEL[room(module)]]
    assert climbs == []


@pytest.mark.parametrize("rooms", [True, False])
def test_nothing_imports_itself_by_way_of_others(rooms):
    """Neither a room nor a module."""
    graph: dict[str, set[str]] = {}
    for name, others in arrows().items():
        at = room(name) if rooms else name
        graph.setdefault(at, set()).update(room(other) if rooms else other for other in others)
        graph[at].discard(at)
    while leaves := [name for name, others in graph.items() if not others & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert sorted(graph) == []


def test_nothing_trains_in_sparse_and_models_know_no_stage():
    for name, others in arrows().items():
        if room(name) in ("sparse", "models"):
            assert not {room(other) for other in others} & {"training", "pipeline"}
