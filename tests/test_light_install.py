"""What `pip install bistil` alone brings, without an extra, and what is loaded when."""

import json
import os
import subprocess
import sys
import tomllib
import types
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import bistil
from bistil.errors import EXTRAS, BistilError, naming_extras

ROOT = Path(__file__).parents[1]
COMMANDS = (
    *("quickstart", "init", "plan", "run", "distill", "teach", "transfer", "eval", "predict", "report", "bench"),
    *("export", "serve", "push", "vocab", "adapt", "delta"),
)
# Not loaded for help, though a base install has them (all but pandas). Newer typer loads pydantic itself.
SLOW = ("numpy", "pandas", "rich", "tokenizers", "yaml")
BASE = """
import sys
from bistil.errors import EXTRAS

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in EXTRAS["train"]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
MAIN = """
from bistil.cli import main

def status(*arguments):
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
"""
RECIPE = """\
name: basque
source: {language: en, text: recipe.yaml}
target: {language: eu, text: recipe.yaml}
out: runs/basque
"""


def said(code: str, folder: Path) -> list[str]:
    """The lines that a new process prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def loaded(code: str, folder: Path) -> set[str]:
    """The packages that some code loads in a new process."""
    *_, names = said(f"{code}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))", folder)
    return {name.partition(".")[0] for name in json.loads(names)}


def test_help_loads_nothing_slow(tmp_path):
    asked = "\n".join(f"assert status({command!r}, '--help') == 0" for command in COMMANDS)
    packages = loaded(f"import bistil\n{MAIN}\nassert status('--help') == 0\n{asked}", tmp_path)
    assert "typer" in packages
    assert sorted(packages & {*EXTRAS["train"], *SLOW}) == []


def test_import_loads_nothing_but_the_standard_library(tmp_path):
    new = loaded("import bistil", tmp_path) - loaded("pass", tmp_path)
    assert sorted(new - sys.stdlib_module_names) == ["bistil"]


@pytest.mark.slow
def test_eval_loads_neither_matplotlib_nor_pandas(tiny_teacher, tiny_tokenizer, tmp_path):
    from bistil.tasks import task_kind

    task_kind("classification")(("animal", "plant")).new_model(tiny_teacher).save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "test.jsonl").write_text('{"text": "The farmers", "label": "plant"}\n')
    packages = loaded(f"{MAIN}\nassert status('eval', 'model', 'test.jsonl') == 0", tmp_path)
    assert "torch" in packages
    assert sorted(packages & {"matplotlib", "pandas", "sklearn", "datasets"}) == []


def test_base_install_shows_help_and_reads_recipes(tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    asked = "\n".join(f"assert status({command!r}, '--help') == 0" for command in COMMANDS)
    code = f"{BASE}{MAIN}{asked}\nassert status('--version') == 0\nimport bistil\n"
    lines = said(f"{code}print(bistil.Recipe.load('recipe.yaml').distill.tokens)", tmp_path)
    assert lines[-1] == "1000000"
    assert sum(line.startswith("Usage: bistil ") for line in lines) == len(COMMANDS)


def test_a_server_needs_no_torch(tmp_path):
    (line,) = said(f"{BASE}{MAIN}assert status('serve', './nowhere') == 2", tmp_path)
    assert line.startswith("bistil: There is no task model folder ./nowhere ")


def test_base_install_pushes_a_model(tmp_path):
    """As far as the access token, which is not there."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    away = f"import os\nos.environ |= {{'HF_HOME': {str(tmp_path)!r}, 'HF_TOKEN': ''}}\n"
    base = BASE.replace(
        'in EXTRAS["train"]', 'in set(EXTRAS["train"]) - {"filelock"}'
    )  # huggingface_hub brings it
    lines = said(f"{away}{base}{MAIN}assert status('push', '.', 'me/tagger', '--yes') == 2", tmp_path)
    assert lines[0].split() == ["config.json", "2", "B"]
    assert lines[-1] == "bistil: There is no access token of the hub. Run `hf auth login`, or set HF_TOKEN."


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "recipe.yaml"],
        ["distill", "recipe.yaml"],
        ["teach", "recipe.yaml"],
        ["transfer", "recipe.yaml"],
        ["plan", "recipe.yaml"],
        ["quickstart", "--out", "out"],
        ["bench", ".", "recipe.yaml"],
        ["report", "report.json"],
        ["vocab", "model", "--text", "en=recipe.yaml", "--out", "out"],
        ["adapt", "model", "--text", "recipe.yaml", "--out", "out"],
        ["delta", "info", "delta"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_whose_extra_is_missing_says_so_in_a_sentence(arguments, tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "report.json").write_text('{"name": "x", "target": "tr"}')
    (line,) = said(f"{BASE}{MAIN}assert status(*{arguments}) == 2", tmp_path)
    before, cure = line.split(". ")
    assert before.removeprefix(f"bistil: bistil {arguments[0]} needs ") in EXTRAS["train"]
    assert cure == "Install it with: pip install 'bistil[train]'"
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.yaml", "report.json"}


def test_a_call_whose_extra_is_missing_says_so_in_a_sentence(tmp_path):
    code = f"{BASE}\nimport bistil\ntry: bistil.distill\nexcept bistil.BistilError as error: print(error)"
    (line,) = said(code, tmp_path)
    before, cure = line.split(". ")
    assert before.removeprefix("bistil.distill needs ") in EXTRAS["train"]
    assert cure == "Install it with: pip install 'bistil[train]'"


def test_a_function_that_imports_more_when_it_is_called(monkeypatch):
    def later(name: str) -> str:
        """Imports."""
        if name == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return name

    module = types.ModuleType("bistil.later_on")
    module.__dict__["later"] = later
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(bistil._HOMES, "later", "later_on")
    try:
        with pytest.raises(BistilError, match=r"^bistil\.later needs torch\. Install it with"):
            bistil.later("torch")
        assert bistil.later("numpy") == "numpy"
        assert bistil.later is bistil.later
        assert bistil.later.__doc__ == "Imports."
    finally:
        del bistil.later


def test_only_a_missing_package_of_an_extra_is_such_an_error():
    for other in ("torch.no_such_part", "my_plugin"):
        with pytest.raises(ModuleNotFoundError), naming_extras("bistil load"):
            raise ModuleNotFoundError(f"No module named {other!r}", name=other)


def test_extras_are_those_of_the_project_file():
    """By the names under which their packages are imported."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed: dict[str, set[str]] = {}
    for module, distributions in packages_distributions().items():
        for distribution in distributions:
            installed.setdefault(distribution.lower().replace("_", "-"), set()).add(module)
    for extra, modules in EXTRAS.items():
        others = [one for one in map(Requirement, project[extra]) if one.name != "bistil"]
        for wanted in others:
            if wanted.marker is None or wanted.marker.evaluate():
                assert installed[wanted.name.lower()] & set(modules), wanted.name
        assert len(modules) == len(others)


@pytest.mark.slow
@pytest.mark.network
def test_pip_install_without_extras(tmp_path):
    """Into an environment of its own, from the package index."""
    subprocess.run([sys.executable, "-m", "venv", "env"], cwd=tmp_path, check=True)
    binaries = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([binaries / "python", "-m", "pip", "install", "--quiet", str(ROOT)], check=True)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def bistil(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [binaries / "bistil", *arguments], cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8"
        )

    assert "Usage: bistil" in bistil("--help").stdout
    for arguments in (["run", "recipe.yaml"], ["quickstart"]):
        done = bistil(*arguments)
        assert done.returncode == 2
        assert done.stderr.endswith("Install it with: pip install 'bistil[train]'\n")
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()
