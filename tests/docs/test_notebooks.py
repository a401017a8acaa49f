"""The notebooks of the docs run from top to bottom, and are committed without what they printed."""

import nbformat
import pytest
from nbclient import NotebookClient
from tests.docs import sandbox
from tests.docs.pages import ROOT

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@every
def test_notebooks_are_clean_and_small_by_default(path):
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[0].source.startswith('SIZE = "smoke"')
    assert [cell.execution_count for cell in code] == [None] * len(code)
    assert [cell.outputs for cell in code] == [[]] * len(code)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("quickstart", "Label(", marks=pytest.mark.network),
        ("your_own_data", "Label("),
        ("search", "'passage'"),
    ],
)
def test_notebook(name, shown, tmp_path, monkeypatch):
    """The quickstart fetches its data and a real teacher; your own data are the sandbox's."""
    notebook = nbformat.read(ROOT / f"docs/notebooks/{name}.ipynb", 4)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    if name != "quickstart":
        monkeypatch.setenv("BISTIL_CACHE", str(tmp_path / "cache"))
        sandbox.make_files("\n".join(cell.source for cell in notebook.cells), tmp_path)
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert shown in str(printed)  # what the model says of a text, and what it is
