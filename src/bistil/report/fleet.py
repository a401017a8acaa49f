"""The summary over many recipes: the difference to the teacher by language and task, sizes, time, what failed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import fmean
from typing import Any

from bistil.report import formats
from bistil.report.contents import change, deployed, model, scored_as, scores, targets, tested
from bistil.report.languages import language_name
from bistil.report.markdown import plain, section
from bistil.report.tables import Table, interval

_FULL = 5.0  # points of difference that have the full colour


def summarise(
    name: str,
    source: str,
    reports: Mapping[str, tuple[str, Mapping[str, Any]]],
    failed: Sequence[Mapping[str, str]],
    work: Mapping[str, Any],
) -> dict[str, Any]:
    """What came of many recipes, JSON-able.

    Args:
        name: of the matrix.
        source: the language with labels.
        reports: of each recipe that was finished, by its label; with the name of its student.
        failed: ``{"recipe": "sw/half", "stage": "Packing the text", "problem": "…"}`` each.
        work: counts of stages made, reused and shared, seconds, workers.
    """
    return {
        "schema": 1,
        "bistil_version": version("bistil"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": name,
        "source": source,
        "recipes": [_recipe(label, student, report) for label, (student, report) in reports.items()],
        "failed": [dict(one) for one in failed],
        "doubts": [
            {"recipe": label, "doubt": doubt}
            for label, (_, report) in reports.items()
            for doubt in report.get("doubts", [])
        ],
        "work": dict(work),
    }


def _recipe(label: str, student: str, report: Mapping[str, Any]) -> dict[str, Any]:
    (language,), role = targets(report), deployed(report)
    costs, ratios = model(report, role), report.get("comparison", {})
    ratios = ratios if role == "student" else ratios["deployed"]
    return {
        "label": label,
        "language": language,
        "student": student,
        "form": role,
        "parameters": costs.get("parameters"),
        "disk_bytes": costs.get("disk_bytes"),
        "smaller": ratios.get("smaller"),
        "faster": ratios.get("faster"),
        "seconds": sum(stage["seconds"] for stage in report.get("stages", [])),
        "tasks": [_task(task, targets(own)[0], scored_as(report, role)) for own, task in tested(report)],
    }


def _task(task: Mapping[str, Any], language: str, role: str) -> dict[str, Any]:
    sure = task.get("comparisons", {}).get(language, {}).get(role, {}).get("against_teacher", {})
    return {
        "name": task["name"],
        "metric": task["metric"],
        "teacher": formats.mean(scores(task, "teacher", language)),
        "student": formats.mean(scores(task, role, language)),
        "difference": change(task, language, role),
        **{key: sure[key] for key in ("difference_low", "difference_high") if key in sure},
    }


def sentence(summary: Mapping[str, Any]) -> str:
    """For example "8 of 8 models in 4 languages are ready: on average 0.4 points lower than their teachers, at the
    worst 2.1 points lower (Swahili, ner, third).".
    """
    found = [(one, task) for one in summary["recipes"] for task in one["tasks"] if task["difference"] is not None]
    models = len(summary["recipes"])
    wanted = max(summary["work"]["recipes"], models)
    count = len({one["language"] for one in summary["recipes"]})
    languages = f"{count} language{'' if count == 1 else 's'}"
    said = f"{models} of {wanted} students in {languages} are ready"
    if found:
        mean = fmean(task["difference"] for _, task in found)
        one, worst = min(found, key=lambda pair: pair[1]["difference"])
        place = f"{language_name(one['language'])}, {worst['name']}, {one['student']}"
        said += f": on average {formats.signed(mean)} points against their teachers, at the worst "
        said += f"{formats.signed(worst['difference'])} ({place})"
    failing = f" {wanted - models} failed, see below." if wanted > models else ""
    doubtful = len({one["recipe"] for one in summary["doubts"]})
    failing += f" The teacher of {doubtful} of them learned nothing, see below." if doubtful else ""
    return f"{said}.{failing}"


def heat_table(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a language: its name and a cell for each task and student, with the colour between −1 and 1."""
    columns = columns_of(summary)
    rows = []
    for code in dict.fromkeys(one["language"] for one in summary["recipes"]):
        cells = []
        for task, student in columns:
            own = _find(summary, code, task, student)
            cells.append(own and {**own, "heat": max(-1.0, min(1.0, (own["difference"] or 0.0) / _FULL))})
        rows.append({"language": language_name(code), "cells": cells})
    return rows


def columns_of(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Task and student of each column."""
    tasks = dict.fromkeys(task["name"] for one in summary["recipes"] for task in one["tasks"])
    students = dict.fromkeys(one["student"] for one in summary["recipes"])
    return [(task, student) for task in tasks for student in students]


def scores_table(summary: Mapping[str, Any]) -> Table | None:
    """One row a recipe and task."""
    rows = [
        (
            language_name(one["language"]),
            one["student"],
            f"{task['name']}, {formats.metric(task['metric'])}",
            formats.score([task["teacher"]] if task["teacher"] is not None else []),
            formats.score([task["student"]] if task["student"] is not None else []),
            interval(task, "difference") if "difference_low" in task else formats.signed(task["difference"]),
        )
        for one in summary["recipes"]
        for task in one["tasks"]
    ]
    columns = ("Language", "Student", "Task", "Teacher", "Student's score", "Difference")
    return Table(columns, tuple(rows), 3) if rows else None


def costs_table(summary: Mapping[str, Any]) -> Table | None:
    """One row a recipe: size, speed, and how long its stages took, those included that others share."""
    rows = [
        (
            language_name(one["language"]),
            one["student"],
            formats.millions(one["parameters"]),
            formats.size(one["disk_bytes"]),
            formats.significant(one["smaller"]),
            formats.significant(one["faster"]),
            formats.duration(one["seconds"]),
        )
        for one in summary["recipes"]
    ]
    columns = ("Language", "Student", "Parameters", "Disk", "Times smaller", "Times faster", "Time")
    return Table(columns, tuple(rows), 2) if rows else None


def failures_table(summary: Mapping[str, Any]) -> Table | None:
    """What failed, and why."""
    rows = [(one["recipe"], one["stage"], one["problem"]) for one in summary["failed"]]
    return Table(("Recipe", "Stage", "Problem"), tuple(rows), 3) if rows else None


def doubts_table(summary: Mapping[str, Any]) -> Table | None:
    """Of which students the teacher learned nothing."""
    rows = [(one["recipe"], one["doubt"]) for one in summary["doubts"]]
    return Table(("Recipe", "What to try"), tuple(rows), 2) if rows else None


def work_table(summary: Mapping[str, Any]) -> Table:
    """Stages made and reused, and the time."""
    work = summary["work"]
    rows = (
        ("Stages made", formats.count(work["made"])),
        ("Stages reused from an earlier run", formats.count(work["reused"])),
        ("Stages that several recipes share", formats.count(work["shared"])),
        ("Time of all jobs", formats.duration(work["job_seconds"])),
        ("Wall-clock time", formats.duration(work["seconds"])),
        ("Workers", formats.count(work["workers"])),
    )
    return Table(("", ""), rows)


def fleet_markdown(summary: Mapping[str, Any]) -> str:
    """The summary as GitHub-flavoured Markdown."""
    blocks = [f"# {plain(summary['name'])}", f"**{plain(sentence(summary))}**"]
    blocks += section("Failed", failures_table(summary))
    blocks += section("Teachers that learned nothing", doubts_table(summary))
    blocks += section("Scores", scores_table(summary))
    blocks += section("Size and speed", costs_table(summary))
    blocks += section("Work", work_table(summary))
    return "\n\n".join(blocks) + "\n"


def _find(summary: Mapping[str, Any], code: str, task: str, student: str) -> dict[str, Any] | None:
    for one in summary["recipes"]:
        if (one["language"], one["student"]) == (code, student):
            for own in one["tasks"]:
                if own["name"] == task and own["difference"] is not None:
                    return {**own, "label": one["label"]}
    return None
