"""From the numbers of a run to a page: ``report.json``, ``report.md`` and ``report.html``."""

from bistil.report.files import write_comparison, write_report

__all__ = ["write_comparison", "write_report"]
