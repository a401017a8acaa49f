"""What a report says of its students where it has several: which is published, and why."""

from collections.abc import Mapping
from typing import Any


def lead(report: Mapping[str, Any], form: str) -> str:
    """How the sentence of a report begins; nothing where there is one student.

    ``form`` is that in which the student is deployed, such as " in int8". Example: "Of 3 students, “thin” is the
    smallest within 1.0 point of the teacher:".
    """
    found = report.get("students") or {}
    count = sum(len(found.get(part, ())) for part in ("made", "given_up", "not_made"))
    if count < 2:
        return ""
    name = f"“{found['published']}”{form}"
    if (limit := found.get("max_drop")) is None:
        return f"{name}, the first of {count} students, is"
    tolerance = f"{limit} point{'' if limit == 1 else 's'} of the teacher"
    if found["within"]:
        judged = "that in PyTorch is " if form else ""  # the others are not exported
        return f"Of {count} students, {name} is the smallest {judged}within {tolerance}:"
    return f"None of {count} students is within {tolerance}; {name}, which loses least, is"


def remarks(report: Mapping[str, Any]) -> list[str]:
    """Which students were given up or not made, and that the choice has used the test files."""
    found = report.get("students") or {}
    said = [
        f"“{name}” was given up early: it loses {own['drop']:.1f} points, and no less than {own['drop_low']:.1f} "
        "by the 95 % interval."
        for name, own in found.get("given_up", {}).items()
    ]
    if unmade := found.get("not_made"):
        *most, last = (f"“{name}”" for name in unmade)
        names = f"{', '.join(most)} and {last}" if most else last
        said.append(f"{names} {'were' if most else 'was'} not made, because a smaller student is good enough.")
    if "max_drop" in found:
        said.append(
            f"“{found['published']}” was chosen by these test files; a fresh one gives an unbiased score of it."
        )
    return said
