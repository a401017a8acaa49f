"""Which of several students, and their teacher, no other beats in both score and cost. Pure."""

from collections.abc import Mapping
from typing import Any

from bistil.report import formats
from bistil.report.contents import scores_over, targets

FRONTS = ("size", "latency")  # of which less is better


def front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Of (cost, score) by name those that no other beats, which costs no more and scores no less.

    The cheapest comes first. Example: ``front({"a": (1, 70), "b": (2, 69), "c": (3, 75)})`` is ``["a", "c"]``.
    """
    found: list[str] = []
    best = cheapest = float("-inf")
    for name, (cost, score) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1])):
        if score > best or (score, cost) == (best, cheapest):
            found.append(name)
            best, cheapest = score, cost
    return found


def fronts(report: Mapping[str, Any]) -> dict[str, dict[str, list[str]]]:
    """The roles on the front of each task and cost: ``{"pos": {"size": ["thin:student", "teacher"], …}}``."""
    models = compared(report)["models"]
    found: dict[str, dict[str, list[str]]] = {}
    for task in report["tasks"]:
        shown = {
            entry["role"]: formats.mean(scores_over(task, entry["role"], targets(report))) for entry in models
        }
        for against in FRONTS:
            points = {
                entry["role"]: (spent, score)
                for entry in models
                if (spent := cost(entry, against)) and (score := shown[entry["role"]]) is not None
            }
            found.setdefault(task["name"], {})[against] = front(points)
    return found


def compared(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report with the teacher and the students in PyTorch as its only models."""
    models = [
        entry
        for entry in report.get("models", [])
        if entry["role"] == "teacher" or ("student" in entry and entry.get("engine", "torch") == "torch")
    ]
    return {**report, "models": models}


def cost(entry: Mapping[str, Any], against: str) -> float | None:
    """A model's megabytes on disk, milliseconds of latency, or texts per second; None if not measured."""
    if against == "latency":
        return (entry.get("latency_ms") or {}).get("p50")
    if against == "throughput":
        return entry.get("throughput")
    return entry["disk_bytes"] / 1e6 if entry.get("disk_bytes") else None
