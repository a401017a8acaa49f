"""What the code of each stage and each task is, as hashes: `python -m tests.stagesources` records it.

``tests/stagesources.json`` has for each the version and the hash of its code. Where the code of a stage has
changed and its version (`bistil.pipeline.stagecode`, or a task's own) has not,
`tests/pipeline/test_stagecode.py` fails. If results change, raise the version; if not, say so: ``python -m
tests.stagesources --same distill`` (or ``all``).
"""

import ast
import hashlib
import importlib.util
import json
import sys
import textwrap
from functools import cache
from pathlib import Path

from bistil.models import e5
from bistil.pipeline.stagecode import STAGES
from bistil.quickstart import wordnet
from bistil.tasks import installed_tasks
from bistil.vocabulary import counted

RECORD = Path(__file__).with_suffix(".json")
# What shows, says or finds something, and changes no number. Tasks have versions of their own.
_HARMLESS = frozenset(
    f"bistil.{name}"
    for name in (
        *("errors", "files", "hub", "launch", "packages", "progress", "recipe.mistakes", "training.losscurve"),
        *("pipeline.locks", "pipeline.outfolder", "pipeline.stagecode", "pipeline.stages"),
        *("runtime.results", "runtime.tables"),
    )
)


def sources() -> dict[str, dict[str, object]]:
    """Version and hash of every stage, of every task by its kind, and of what else is kept in a cache."""
    found = {name: {"version": code.version, "code": _hash(_texts(code.sources))} for name, code in STAGES.items()}
    for task in installed_tasks():
        code = _hash(_texts((task.__module__,), tasks=True))
        found[f"task {task.kind}"] = {"version": task.version, "code": code}
    for name, module, number in (
        ("bundled teacher", "bistil.models.e5", e5.CONVERSION),
        ("counts", "bistil.vocabulary.counted", counted.COUNTING),
        ("quickstart data", "bistil.quickstart.wordnet", wordnet.PREPARATION),
    ):
        found[name] = {"version": number, "code": _hash(_texts((module,)))}
    return found


def unjudged() -> list[str]:
    """Stages and tasks whose code is not the recorded one, or that are not recorded with their version."""
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    now = sources()
    return sorted(name for name in now.keys() | recorded.keys() if now.get(name) != recorded.get(name))


def _texts(roots: tuple[str, ...], tasks: bool = False) -> dict[str, str]:
    """The source of functions, and of modules with all of bistil that they import."""
    texts: dict[str, str] = {}
    modules = []
    for root in roots:
        module, _, name = root.partition(":")
        if name:
            texts[root] = _function(module, name)
        else:
            modules.append(module)
    while modules:
        module = modules.pop()
        others = module.startswith("bistil.tasks") and module != "bistil.tasks.task" and not tasks
        if module not in texts and module not in _HARMLESS and not others:
            texts[module] = _read(module)
            modules += _imported(module)
    return texts


def _hash(texts: dict[str, str]) -> str:
    plain = "\n".join(f"{name}\n{_without_comments(texts[name])}" for name in sorted(texts))
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


@cache
def _without_comments(text: str) -> str:
    """The lines of code: no docstrings, no lines that are a comment, no empty ones."""
    tree = ast.parse(text)
    left_out: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            left_out |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1))
    return "\n".join(line for number, line in lines if line and line[0] != "#" and number not in left_out)


def _function(module: str, name: str) -> str:
    at: ast.AST = ast.parse(_read(module))
    for part in name.split("."):
        at = next(
            node
            for node in ast.iter_child_nodes(at)
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == part
        )
    return textwrap.dedent(ast.get_source_segment(_read(module), at, padded=True) or "")


@cache
def _path(module: str) -> Path | None:
    found = importlib.util.find_spec(module)
    return Path(found.origin) if found and found.origin else None


@cache
def _read(module: str) -> str:
    path = _path(module)
    assert path is not None, module
    return path.read_text(encoding="utf-8")


@cache
def _imported(module: str) -> tuple[str, ...]:
    """The modules of bistil that one imports."""
    found = set()
    for node in ast.walk(ast.parse(_read(module))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # what is imported from a package may be a module of it
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return tuple(sorted(name for name in found if name.startswith("bistil.") and _is_module(name)))


def _is_module(name: str) -> bool:
    try:
        return _path(name) is not None
    except ModuleNotFoundError:
        return False


def _record(same: list[str]) -> None:
    recorded = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    now = sources()
    for name in unjudged() if RECORD.exists() else []:
        before, after = recorded.get(name), now.get(name)
        if before and after and before["version"] == after["version"] and not {name, "all"} & set(same):
            sys.exit(
                f"The code of {name} has changed. Raise its version, or say that its results are the same: --same"
            )
    RECORD.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _record(sys.argv[2:] if sys.argv[1:2] == ["--same"] else [])
