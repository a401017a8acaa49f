"""From the numbers of a run to a page: ``report.json``, ``report.md`` and ``report.html``."""

from bistil.report.files import REPORT, write_comparison, write_pages, write_report

__all__ = ["REPORT", "write_comparison", "write_pages", "write_report"]
