"""The three files of a report."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bistil.report.markdown import markdown
from bistil.report.page import page


def write_report(report: Mapping[str, Any], folder: Path) -> Path:
    """Write ``report.json``, ``report.md`` and ``report.html`` into `folder`; return the page's path.

    The page holds nothing that is not in the JSON. Each file appears whole or not at all.
    """
    texts = {
        "report.json": json.dumps(report, ensure_ascii=False, indent=2) + "\n",
        "report.md": markdown(report),
        "report.html": page(report),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        temporary = folder / f".{name}.tmp"
        try:
            temporary.write_text(text, encoding="utf-8", newline="\n")
            os.replace(temporary, folder / name)
        finally:
            temporary.unlink(missing_ok=True)
    return folder / "report.html"
