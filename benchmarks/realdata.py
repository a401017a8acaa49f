"""Where the real data lies: the one setting, shared with the tests."""

import os
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def realdata() -> Path:
    """The folder that holds ``ud/`` and ``text/``: $BISTIL_REALDATA, or pyproject's [tool.bistil-dev]."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["bistil-dev"]
    folder: Path = ROOT / (os.environ.get("BISTIL_REALDATA") or settings["realdata"])
    if not folder.is_dir():
        raise SystemExit(f"There is no real data at {folder}. Set BISTIL_REALDATA to the folder that holds ud/.")
    return folder
