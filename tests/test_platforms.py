"""What must hold on Windows and macOS, tried here by replacing what these systems do otherwise."""

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bistil
from bistil.cli import main
from bistil.errors import BistilError
from bistil.files import disk_problem
from bistil.models.students import Alignment
from bistil.packages import whole_folder
from bistil.recipe.recipe import Recipe
from bistil.sparse.delta import SparseDelta

SOURCES = sorted(Path(bistil.__file__).parent.rglob("*.py"))


def _says_no_encoding(call):
    """Whether a call reads or writes text in the system's own encoding, which on Windows is not UTF-8."""
    if not isinstance(call, ast.Call) or any(keyword.arg == "encoding" for keyword in call.keywords):
        return False
    owner, _, name = ast.unparse(call.func).rpartition(".")
    if name == "write_text":  # JSON is ASCII unless told otherwise
        return "json.dumps(" not in ast.unparse(call) or "ensure_ascii" in ast.unparse(call)
    if name == "open":
        modes = [value.value for value in call.args if isinstance(value, ast.Constant)]
        return owner not in ("gzip", "zstd", "tarfile", "wheel") and not any("b" in mode for mode in modes)
    return name == "read_text" and bool(owner)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_text_is_read_and_written_as_utf8(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [node.lineno for node in ast.walk(tree) if _says_no_encoding(node)] == []


def test_the_processes_that_stay_silent_take_any_letter():
    """In a locale of ASCII, narrower still than that of Windows."""
    code = r"from bistil.progress import Progress; Progress().say('250,037 \u2192 18,000 tokens')"
    narrow = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "RANK": "1", "WORLD_SIZE": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | narrow, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_output_has_the_line_ends_of_conllu(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252", newline="\r\n"))
    with pytest.raises(SystemExit):
        main(["--version"])
    sys.stdout.flush()
    assert written.getvalue().startswith(b"bistil")
    assert written.getvalue().endswith(b"\n")
    assert b"\r" not in written.getvalue()


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which files are mapped")
def test_what_is_read_of_a_delta_is_not_mapped(tmp_path):
    """Windows neither replaces nor deletes a mapped file."""
    start, end = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    SparseDelta.diff(start, end).save(tmp_path)
    Alignment((1, 2), ((0,), (0,)), torch.eye(4, 2)).save(tmp_path)
    kept = SparseDelta.load(tmp_path), Alignment.load(tmp_path)
    assert str(tmp_path) not in Path("/proc/self/maps").read_text(encoding="utf-8")
    assert kept[1].projection.tolist() == torch.eye(4, 2).tolist()


@pytest.mark.parametrize("name", ["con", "AUX", "nul.txt", "Com1", "lpt9.a", "food.", "a.b."])
def test_names_that_windows_keeps_for_itself(name, recipe_file):
    with pytest.raises(BistilError, match="must be a name that Windows takes for a folder"):
        Recipe.load(recipe_file, [f"name={name}"])


@pytest.mark.parametrize("name", ["console", "auxiliary", "nul1", "com", "pos.tr", "lpt10", "görev"])
def test_names_that_windows_takes(name, recipe_file):
    assert Recipe.load(recipe_file, [f"name={name}"]).name == name


def test_tasks_whose_folders_would_be_one(experiment):
    (task,) = experiment["tasks"]
    with pytest.raises(BistilError, match="task names must differ from each other, got food, Food"):
        Recipe.checked(experiment | {"tasks": [task, task | {"name": "Food"}]})


def test_languages_whose_files_would_be_one(recipe_file):
    with pytest.raises(BistilError, match="must be two languages"):
        Recipe.load(recipe_file, ["target.language=EN"])


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_is_made_whole_where_renaming_never_replaces(there, tmp_path, monkeypatch):
    """As on Windows; one that another process made meanwhile is kept."""

    def rename(self, target):
        if target.exists():
            raise FileExistsError(17, "Cannot create a file when that file already exists")
        os.rename(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with whole_folder(tmp_path / "new") as temporary:
        (temporary / "file").write_text("ours", encoding="utf-8")
        if there:
            (tmp_path / "new").mkdir()
            (tmp_path / "new" / "file").write_text("theirs", encoding="utf-8")
    assert (tmp_path / "new" / "file").read_text(encoding="utf-8") == ("theirs" if there else "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_full_disk_of_windows_is_known(tmp_path):
    error = RuntimeError("I/O error: There is not enough space on the disk. (os error 112)")
    assert disk_problem(error) == "No space left on the disk"
    with pytest.raises(BistilError, match="No space left"), whole_folder(tmp_path / "new"):
        raise error
