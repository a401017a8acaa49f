"""Every code block of README, docs and CONTRIBUTING is run, on tiny models, or says why it is not.

Blocks of one page run in order in one folder, Python ones with the same names. A block that cannot run has above
it ``<!-- not run: why -->``.
"""

import os
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.docs import commands, sandbox
from tests.docs.pages import PAGES, ROOT, Block, blocks
from tests.docs.small import shorten

from bistil.recipe.matrix import Matrix, Resources
from bistil.recipe.recipe import Recipe
from bistil.recipe.settings import parse

RUN = ("python", "sh", "toml", "yaml")
SHOWN = ("bibtex", "text", "{toctree}", "{eval-rst}")  # nothing that could be run
# pages that take more than ten seconds
NAMES = "efficiency embeddings export plan publish python report sparse-fine-tuning store tasks"
SLOW = {"README.md", *(f"docs/{name}.md" for name in NAMES.split())}
ELSEWHERE = {"docs/loaders.md"}  # whose blocks run in other libraries: tests/loaders runs them
SOME_RECIPE = {
    "name": "some",
    "source": {"language": "en", "text": "en.txt"},
    "target": {"language": "tr", "text": "tr.txt"},
    "out": "runs/some",
}


def each() -> Iterator[Any]:
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        for block in () if name in ELSEWHERE else blocks(page):
            if block.language not in SHOWN:
                marks = [pytest.mark.slow] if name in SLOW else []
                yield pytest.param(page, block, id=f"{name}:{block.line}:{block.language}", marks=marks)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """The folder of a page, and the names of its Python blocks."""

    @cache
    def of(page: Path) -> tuple[Path, dict[str, Any]]:
        return tmp_path_factory.mktemp(page.stem), {"__name__": "docs"}

    return of


@pytest.fixture(scope="module")
def command() -> Iterator[Path]:
    with commands.served() as folder:
        yield folder


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    shorten(monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def run_python(page: Path, block: Block, folder: Path, names: dict[str, Any]) -> None:
    sandbox.give_names(block.text, names, folder)
    exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), names)


def run_shell(block: Block, folder: Path, command: Path) -> None:
    environment = {**os.environ, "PATH": f"{command}:{os.environ['PATH']}", "COLUMNS": "200"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def check_recipe(block: Block, folder: Path) -> None:
    """A recipe or a matrix, or keys of one; it is a file if its first line is a comment with a file's name."""
    values = parse(block.text, "the block")
    if "languages" in values:
        Matrix.checked(values).recipes()
    elif "resources" in values:
        Resources.model_validate(values["resources"])
    else:
        Recipe.checked(values if "name" in values else SOME_RECIPE | values)
    first = block.text.partition("\n")[0].removeprefix("# ")
    if first.endswith(".yaml"):
        (folder / first).write_text(block.text, encoding="utf-8")


@pytest.mark.parametrize(("page", "block"), each())
def test_block(page, block, folder_of, request, monkeypatch):
    assert block.language in RUN, f"write {' or '.join(RUN)} behind the fence, or for what cannot run text"
    if block.not_run is not None:
        assert block.not_run, "say why the block is not run"
        pytest.skip(block.not_run)
    folder, names = folder_of(page)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BISTIL_CACHE", str(folder / "cache"))
    sandbox.make_files(block.text, folder)
    if block.language == "python":
        run_python(page, block, folder, names)
    elif block.language == "yaml":
        check_recipe(block, folder)
    elif block.language == "toml":
        assert tomllib.loads(block.text)
    elif os.name == "nt":
        pytest.skip("needs bash and fork")
    else:
        run_shell(block, folder, request.getfixturevalue("command"))


def test_a_reason_is_read(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: no network -->\n```sh\na\n```\n<!-- not run: -->\n```python\nb\n```\n```yaml\n```\n"
    )
    assert [(one.language, one.line, one.not_run) for one in blocks(page)] == [
        ("sh", 3, "no network"),
        ("python", 7, ""),
        ("yaml", 10, None),
    ]


@pytest.mark.skipif(os.name == "nt", reason="needs bash and fork")
def test_a_command_that_fails_is_seen(command, tmp_path):
    """Also in the middle of a pipe; what it says is told."""
    run_shell(Block("sh", "bistil --version | grep bistil > version", 1, None), tmp_path, command)
    assert (tmp_path / "version").read_text().startswith("bistil ")
    with pytest.raises(AssertionError, match=r"bistil: Cannot read recipe none\.yaml"):
        run_shell(Block("sh", "bistil plan none.yaml | cat\necho further", 1, None), tmp_path, command)
