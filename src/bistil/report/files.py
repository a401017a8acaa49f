"""The three files of a report, and of several side by side."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bistil.report.comparison import compare_runs
from bistil.report.markdown import comparison_markdown, markdown
from bistil.report.page import comparison_page, page


def write_report(report: Mapping[str, Any], folder: Path) -> Path:
    """Write ``report.json``, ``report.md`` and ``report.html`` into `folder`; return the page's path.

    The page holds nothing that is not in the JSON.
    """
    return _write(folder, "report", report, markdown(report), page(report))


def write_comparison(reports: Mapping[str, Mapping[str, Any]], folder: Path) -> Path:
    """Write ``comparison.json``, ``comparison.md`` and ``comparison.html`` of reports by their labels.

    Returns the page's path; it holds nothing that is not in the JSON.
    """
    compared = compare_runs(reports)
    return _write(folder, "comparison", compared, comparison_markdown(compared), comparison_page(compared))


def _write(folder: Path, name: str, numbers: Mapping[str, Any], text: str, html: str) -> Path:
    """Each file appears whole or not at all."""
    contents = {"json": json.dumps(numbers, ensure_ascii=False, indent=2) + "\n", "md": text, "html": html}
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, content in contents.items():
        temporary = folder / f".{name}.{suffix}.tmp"
        try:
            temporary.write_text(content, encoding="utf-8", newline="\n")
            os.replace(temporary, folder / f"{name}.{suffix}")
        finally:
            temporary.unlink(missing_ok=True)
    return folder / f"{name}.html"
