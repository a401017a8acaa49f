"""The three files of a report, of several side by side, and of a fleet."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bistil.files import publish_files
from bistil.report.comparison import compare_runs
from bistil.report.fleet import fleet_markdown
from bistil.report.markdown import comparison_markdown, markdown

FLEET = ("fleet.json", "fleet.md", "fleet.html")
REPORT = ("report.json", "report.md", "report.html")


def write_report(report: Mapping[str, Any], folder: Path) -> Path:
    """Write ``report.json``, ``report.md`` and ``report.html`` into `folder`; return the page's path.

    The page holds nothing that is not in the JSON.
    """
    publish_files(folder, {"report.json": _text(report)})
    return write_pages(report, folder)


def write_pages(report: Mapping[str, Any], folder: Path) -> Path:
    """Write ``report.md`` and ``report.html`` of a report's numbers; return the page's path."""
    from bistil.report.page import page  # it brings matplotlib

    publish_files(folder, {"report.md": markdown(report), "report.html": page(report)})
    return folder / "report.html"


def write_comparison(reports: Mapping[str, Mapping[str, Any]], folder: Path) -> Path:
    """Write ``comparison.json``, ``comparison.md`` and ``comparison.html`` of reports by their labels.

    Returns the page's path; it holds nothing that is not in the JSON.
    """
    from bistil.report.page import comparison_page

    compared = compare_runs(reports)
    pages = {"comparison.md": comparison_markdown(compared), "comparison.html": comparison_page(compared)}
    publish_files(folder, {"comparison.json": _text(compared), **pages})
    return folder / "comparison.html"


def write_fleet(summary: Mapping[str, Any], folder: Path) -> Path:
    """Write ``fleet.json``, ``fleet.md`` and ``fleet.html`` of what `bistil.report.fleet.summarise` found.

    Returns the page's path; it holds nothing that is not in the JSON.
    """
    from bistil.report.page import fleet_page

    texts = (_text(summary), fleet_markdown(summary), fleet_page(summary))
    publish_files(folder, dict(zip(FLEET, texts, strict=True)))
    return folder / "fleet.html"


def _text(numbers: Mapping[str, Any]) -> str:
    return json.dumps(numbers, ensure_ascii=False, indent=2) + "\n"
