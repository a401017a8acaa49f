"""Several runs side by side: what of their reports is compared, in words, tables and groups of like scores."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import fmean
from typing import Any

from bistil.report import formats
from bistil.report.answer import points
from bistil.report.contents import EMBEDDINGS, change, model, scores, student_shape, targets, tested, title, widths
from bistil.report.languages import language_name, many_languages
from bistil.report.tables import Table, interval

_KEPT = (
    "name",
    "created",
    "teacher",
    "source",
    "target",
    "targets",
    "seeds",
    "models",
    "comparison",
    "recipe",
)
_TASK = ("name", "kind", "title", "metric", "train_examples", "scores", "comparisons")
_OF_EVERY_RUN = ("name", "out", "baselines", "multilingual")  # differ without making another student


@dataclass(frozen=True)
class Group:
    """Runs whose students are scored alike: the same task and metric in the same language.

    ``members`` are (label, run, task).
    """

    name: str
    kind: str
    metric: str
    target: str
    members: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]], ...]

    @property
    def title(self) -> str:
        """For example ``pos, Turkish accuracy``."""
        language = "" if self.target == self.name else f"{language_name(self.target)} "
        return f"{self.name}, {language}{formats.metric(self.metric)}"

    @property
    def report(self) -> dict[str, Any]:
        """The group as the report of one run, in which every run's student is a model.

        Teachers with the same scores are one.
        """
        models: list[dict[str, Any]] = []
        shown: dict[str, dict[str, list[float]]] = {}
        seen: dict[tuple[float, ...], str] = {}
        for label, run, task in self.members:
            found = scores(task, "teacher", self.target)
            if tuple(found) not in seen:
                role = "teacher" if not seen else f"teacher of {label}"
                seen[tuple(found)] = role
                models.append({**model(run, "teacher"), "role": role, "title": role.capitalize()})
                shown[role] = {self.target: found}
        for label, run, task in self.members:
            role = f"student of {label}"
            models.append({**model(run, "student"), "role": role, "title": label})
            shown[role] = {self.target: scores(task, "student", self.target)}
        task = {"name": self.name, "kind": self.kind, "metric": self.metric, "scores": shown}
        return {"target": self.target, "models": models, "tasks": [task]}


def compare_runs(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is compared of the reports, by their labels; all JSON-able."""
    runs = []
    for label, report in reports.items():
        tasks = [
            {key: task[key] for key in _TASK if key in task} | {"targets": targets(own)}
            for own, task in tested(report)
        ]
        tokens = (report.get("distillation") or {}).get("tokens")
        kept = {key: report[key] for key in _KEPT if key in report}
        own = {"student": student_shape(report), "tokens": tokens, "tasks": tasks}
        runs.append({"label": label, **kept, **own})
    return {
        "schema": 1,
        "bistil_version": version("bistil"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "runs": runs,
    }


def groups(comparison: Mapping[str, Any]) -> list[Group]:
    """The groups in the order in which they come up; a run without a score in a target language is in none."""
    found: dict[tuple[str, str, str, str], list[Any]] = {}
    for run in comparison["runs"]:
        for task, target in _each(run["tasks"]):
            if change(task, target) is not None:
                # a test of embeddings is called as one likes, and so may be of other languages in another run
                kind = title(task) if task["kind"] == EMBEDDINGS else task["kind"]
                key = (task["name"], kind, formats.metric(task["metric"]), target)
                found.setdefault(key, []).append((run["label"], run, task))
    return [Group(*key, tuple(members)) for key, members in found.items()]


def sentence(comparison: Mapping[str, Any]) -> str:
    """For example "Of 3 Turkish part-of-speech models tr-1m scores best: 78.1, 0.6 points lower than its teacher;
    tr-small is the smallest: 12.3 M parameters, 1.5 points lower."
    """
    count, found = len(comparison["runs"]), groups(comparison)
    if len(found) == 1 and len(found[0].members) == count:
        (group,) = found
        ours = [scores(task, "student", group.target) for _, _, task in group.members]
        top = max(ours, key=fmean)
        best = [
            member
            for member, own in zip(group.members, ours, strict=True)
            if formats.decimal(fmean(own)) == formats.decimal(fmean(top))
        ]
        small = min(group.members, key=lambda member: _parameters(member[1]))
        first = group.members[0][2]
        language = "" if first["kind"] == EMBEDDINGS else f"{language_name(group.target)} "
        models = f"{count} {language}{title(first)} models"
        if len(best) == count:
            said = f"{models} score the same: "
        else:
            names = formats.joined([label for label, _, _ in best])
            said = f"Of {models} {names} {'scores' if len(best) == 1 else 'score'} best: "
        said += f"{formats.score(top if len(best) == 1 else [fmean(top)])} {formats.metric(group.metric)}"
        whose = "its teacher" if len(best) == 1 else "their teachers"
        against = {_against(task, group.target, whose) for _, _, task in best}
        if len(against) == 1:
            said += f", {against.pop()}"
        if _parameters(small[1]) < max(_parameters(run) for _, run, _ in best):
            size = formats.millions(_parameters(small[1]))
            said += f"; {small[0]} is the smallest: {size} parameters, {_against(small[2], group.target)}"
        return f"{said}."
    shares = [
        share
        for group in found
        for _, _, task in group.members
        if (share := _kept(task, group.target)) is not None
    ]
    if not shares:
        return f"{count} runs side by side."
    ends = dict.fromkeys(formats.decimal(end) for end in (min(shares), max(shares)))
    return f"{count} runs side by side: {' to '.join(ends)} % of the teacher scores retained."


def runs_table(comparison: Mapping[str, Any]) -> Table:
    """One row a run, task and target language: how much of the score the student retains there, and its cost.

    Languages, task, layers and tokens that are those of all runs are left out.
    """
    rows = []
    for run in comparison["runs"]:
        ratios = run.get("comparison", {})
        untested = {"name": formats.NOTHING, "kind": "", "targets": targets(run)}
        for task, target in _each(run["tasks"] or [untested]):
            ours, theirs = (scores(task, role, target) for role in ("student", "teacher"))
            sure = task.get("comparisons", {}).get(target, {}).get("student", {}).get("against_teacher")
            kept = _kept(task, target)
            rows.append(
                (
                    run["label"],
                    many_languages([run["source"], *targets(run)])
                    if task["kind"] == EMBEDDINGS
                    else f"{language_name(run['source'])} → {language_name(target)}",
                    f"{task['name']}, {formats.metric(task['metric'])}" if ours else task["name"],
                    formats.score(theirs),
                    formats.score(ours),
                    interval(sure, "difference") if sure else formats.signed(change(task, target)),
                    formats.NOTHING if kept is None else f"{kept:.1f} %",
                    ", ".join([formats.count(len(run["student"]["layers"])), *widths(run["student"])]),
                    formats.count(run["tokens"]),
                    formats.millions(model(run, "student").get("parameters")),
                    formats.significant(ratios.get("smaller")),
                    formats.significant(ratios.get("faster")),
                )
            )
    columns = (
        "Run", "Languages", "Task", "Teacher", "Student", "Difference", "Retained", "Layers", "Tokens distilled",
        "Parameters", "Times smaller", "Times faster",
    )  # fmt: skip
    told = [
        place
        for place, name in enumerate(columns)
        if name not in ("Languages", "Task", "Layers", "Tokens distilled") or len({row[place] for row in rows}) > 1
    ]
    words = sum(columns[place] in ("Run", "Languages", "Task") for place in told)
    return Table(
        tuple(columns[place] for place in told), tuple(tuple(row[p] for p in told) for row in rows), words
    )


def settings_table(comparison: Mapping[str, Any]) -> Table | None:
    """The values of the recipes that are not the same in all runs, one column a run."""
    recipes = [dict(_leaves(run.get("recipe") or {})) for run in comparison["runs"]]
    keys = dict.fromkeys(key for recipe in recipes for key in recipe if key not in ("name", "out"))
    rows = []
    for key in keys:
        values = [recipe.get(key, formats.NOTHING) for recipe in recipes]
        if len(set(values)) > 1:
            rows.append((key, *values))
    columns = ("Setting", *(run["label"] for run in comparison["runs"]))
    return Table(columns, tuple(rows), labels=len(columns)) if rows else None


def learning_curves(group: Group) -> dict[str, list[tuple[int, float]]]:
    """Score by tokens of general distillation, a line for runs that differ in nothing else.

    Students of one recipe differ in shape where each run measured a budget, or chose one, for itself. The student
    without general distillation, where it was scored, is the point of no tokens. A line is called by its number of
    layers and its widths, or, where they do not tell it from others, by its last run.
    """
    lines: dict[str, list[Any]] = {}
    for member in group.members:
        values = _leaves(member[1].get("recipe") or {})
        same = {key: value for key, value in values if key.split(".")[0] not in _OF_EVERY_RUN}
        same.pop("distill.tokens", None)
        lines.setdefault(json.dumps([same, member[1]["student"]]), []).append(member)
    curves: dict[str, list[tuple[int, float]]] = {}
    shapes = [
        ", ".join([formats.counted(len(shape["layers"]), "layer"), *widths(shape)])
        for shape in (members[0][1]["student"] for members in lines.values())
    ]
    for shape, members in zip(shapes, lines.values(), strict=True):
        found = {}
        for _, run, task in members:
            for tokens, role in ((0, "layer_drop"), (run["tokens"], "student")):
                if tokens is not None and (value := formats.mean(scores(task, role, group.target))) is not None:
                    found[tokens] = value
        if len(found) > 1:
            curves[shape if shapes.count(shape) == 1 else members[-1][0]] = sorted(found.items())
    return curves


def curves_table(group: Group) -> Table | None:
    """The learning curves as numbers, one row a point."""
    rows = [
        (name, formats.count(tokens), formats.decimal(score))
        for name, points in learning_curves(group).items()
        for tokens, score in points
    ]
    return Table(("Line", "Tokens distilled", formats.metric(group.metric)), tuple(rows)) if rows else None


def _each(tasks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    return ((task, target) for task in tasks for target in task["targets"])


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys and values of a recipe, as ``--set`` takes them."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
        for index, part in enumerate(value):
            yield from _leaves(part, f"{path}.{index}")
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _kept(task: Mapping[str, Any], target: str) -> float | None:
    """Per cent of the teacher's score; see `formats.kept`."""
    ours, theirs = (formats.mean(scores(task, role, target)) for role in ("student", "teacher"))
    return formats.kept(ours, theirs)


def _against(task: Mapping[str, Any], target: str, whose: str = "its teacher") -> str:
    difference = points(change(task, target) or 0.0)
    return f"{difference} than {whose}" if difference else f"as much as {whose}"


def _parameters(run: Mapping[str, Any]) -> float:
    return float(model(run, "student").get("parameters") or "inf")
