"""What the stages measured, gathered into the report's one JSON document."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import fmean
from typing import Any

import numpy as np

from bistil.evaluation.significance import Contributions, compare
from bistil.models.shapes import StudentShape
from bistil.models.teachers import Origin
from bistil.pipeline.baselines import AS_THE_STUDENT, title
from bistil.pipeline.costs import machine
from bistil.pipeline.taskdata import TaskData
from bistil.recipe.recipe import Recipe
from bistil.report.pareto import fronts

_TITLES = {
    "teacher": "Task teacher",
    "student": "Student",
    "student_onnx": "Student, ONNX",
    "student_int8": "Student, int8",
    "trimmed_onnx": "Task teacher, trimmed, ONNX",
    "trimmed_int8": "Task teacher, trimmed, int8",
}
# What has the scores of a student or the teacher, for its outputs are the same.
_SCORED_AS = frozenset({"student_onnx", "trimmed_onnx"})
_EXAMPLES = 10

Evaluations = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]


def summarise(
    recipe: Recipe,
    origin: Origin,
    *,
    shape: StudentShape,
    students: Mapping[str, Any],
    vocabulary: Mapping[str, Any],
    distillation: Sequence[Mapping[str, Any]],
    costs: Mapping[str, Mapping[str, Any]],
    evaluations: Evaluations,
    problems: Sequence[Mapping[str, Any]],
    doubts: Sequence[str],
    data: Mapping[str, TaskData],
    stages: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The report of a run, all JSON-able; ``origin`` is that of its teacher.

    ``shape`` is that of the published student; ``students`` are `Made.facts`, empty where there is one.
    ``evaluations[task][role]`` has one `evaluate` result a seed; ``distillation`` has the measurements of each
    seed, ``problems`` are what could not be exported, and ``doubts`` which teachers learned nothing.
    """
    student = costs["student"]
    # the role of each student in PyTorch, by which those of its other forms begin
    names = {own["role"]: name for name, own in students.get("made", {"": {"role": "student"}}).items()}
    deployed = [role for role in costs if role not in ("teacher", *names, *recipe.baselines)]
    others = [role for role in names if role != "student"]
    roles = ("teacher", "student", *others, *deployed, *recipe.baselines)
    report: dict[str, Any] = {
        **opening(recipe, origin, shape, vocabulary, distillation),
        **({"students": dict(students)} if students else {}),
        "models": [
            {
                "role": role,
                **said(role, names, bool(deployed)),
                **(student if role in AS_THE_STUDENT else costs[role]),
            }
            for role in roles
        ],
        "tasks": [
            _task(recipe, index, evaluations[task.name], data[task.name])
            for index, task in enumerate(recipe.tasks)
        ],
        "comparison": compared(costs, deployed),
        **({"problems": list(problems)} if recipe.export is not None else {}),
        **({"doubts": list(dict.fromkeys(doubts))} if doubts else {}),
        **closing(recipe, stages, bool(deployed)),
    }
    return report | ({"students": {**students, "fronts": fronts(report)}} if students else {})


def opening(
    recipe: Recipe,
    origin: Origin,
    shape: StudentShape,
    vocabulary: Mapping[str, Any],
    distillation: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What every report begins with: whose it is, and how the student came about; see `summarise`."""
    return {
        "schema": 1,
        "name": recipe.name,
        "bistil_version": version("bistil"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "teacher": {"name": recipe.teacher, **asdict(origin)},
        "source": recipe.source.language,
        "target": recipe.targets[0].language,
        "targets": [part.language for part in recipe.targets],
        "seeds": list(recipe.seeds),
        "vocabulary": dict(vocabulary),
        "student": shape.facts,
        "distillation": _distillation(distillation, recipe),
    }


def closing(recipe: Recipe, stages: Sequence[Mapping[str, Any]], deployed: bool) -> dict[str, Any]:
    """What every report ends with: stages by their manifests, the recipe, and where it ran."""
    return {
        "stages": [
            {"name": stage["title"], "seconds": stage["seconds"], "memory_bytes": stage["memory_bytes"]}
            for stage in stages
        ],
        "recipe": recipe.model_dump(mode="json"),
        "environment": {
            "python": platform.python_version(),
            "transformers": version("transformers"),
            **({"onnxruntime": version("onnxruntime")} if deployed else {}),
            **machine(),
        },
    }


def compared(costs: Mapping[str, Mapping[str, Any]], deployed: Sequence[str]) -> dict[str, Any]:
    """How many times smaller and faster than the teacher the student is; ``deployed`` are the roles in ONNX."""
    teacher, student = costs["teacher"], costs["student"]
    return {
        "smaller": teacher["parameters"] / student["parameters"],
        "faster": student["throughput"] / teacher["throughput"],
        "latency_ratio": teacher["latency_ms"]["p50"] / student["latency_ms"]["p50"],
        **({"deployed": _deployed(costs, deployed)} if deployed else {}),
    }


def said(role: str, names: Mapping[str, str], deployed: bool) -> dict[str, str]:
    """A model's title, whose scores it has, if not its own, and which of several students it is, if one.

    Beside models in other forms those in PyTorch say so.
    """
    forms = {
        f"{own}{form}": (f"student{form}", own, name)
        for own, name in names.items()
        for form in ("", "_onnx", "_int8")
    }
    plain, own, name = forms.get(role, (role, "teacher", ""))
    called = _TITLES.get(plain) or title(role)
    called += ", PyTorch" if deployed and plain in ("teacher", "student") else ""
    return {
        "title": called.replace("Student", f"Student {name}", 1) if name else called,
        **({"scored_as": own} if plain in _SCORED_AS else {}),
        **({"student": name} if name else {}),
    }


def _deployed(costs: Mapping[str, Mapping[str, Any]], roles: Sequence[str]) -> dict[str, Any]:
    """The student's smallest form against the teacher as it stands and against the trimmed one."""
    # whole names: another student may be called student_small
    students = [role for role in roles if role in ("student_onnx", "student_int8")]
    if not students:
        return {}
    role = min(students, key=lambda one: costs[one]["disk_bytes"])
    own, teacher = costs[role], costs["teacher"]
    found = {
        "role": role,
        "smaller": teacher["disk_bytes"] / own["disk_bytes"],
        "faster": own["throughput"] / teacher["throughput"],
    }
    for rival in (role for role in roles if role in ("trimmed_onnx", "trimmed_int8")):
        found["rival"] = {"role": rival, "faster": own["throughput"] / costs[rival]["throughput"]}
    return found


def _distillation(measured: Sequence[Mapping[str, Any]], recipe: Recipe) -> dict[str, Any]:
    """Means over the seeds."""
    curve = [
        {key: fmean(row[key] for row in rows) for key in ("tokens", *(part.language for part in recipe.languages))}
        for rows in zip(*(one["curve"] for one in measured), strict=True)
    ]
    seconds = fmean(one["seconds"] for one in measured)
    tokens = measured[0]["tokens"]
    return {"tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / seconds, "curve": curve}


def _task(
    recipe: Recipe,
    index: int,
    roles: Mapping[str, Sequence[Mapping[str, Any]]],
    data: TaskData,
) -> dict[str, Any]:
    task, kind, tests = recipe.tasks[index], type(data.task), data.tests
    metric = kind.metric
    shown = ("teacher", "student")
    language = next((part.language for part in recipe.targets if part.language in tests), next(iter(tests)))
    predicted = {role: roles[role][0][language]["predictions"] for role in shown}
    places = _differing(*predicted.values())
    return {
        "name": task.name,
        "kind": task.kind,
        "title": kind.title,
        "head": kind.head.__name__,
        "metric": kind.metric_title,
        "unmarked": kind.unmarked,
        **data.counts,
        "scores": {
            role: {language: [seed[language]["scores"][metric] for seed in seeds] for language in tests}
            for role, seeds in roles.items()
            if seeds
        },
        "comparisons": {
            code: _comparisons(
                {role: [seed[code]["contributions"] for seed in seeds] for role, seeds in roles.items()}
            )
            for code in tests
        },
        "validation": {
            role: [seed["validation"]["scores"][metric] for seed in seeds]
            for role, seeds in roles.items()
            if seeds
        },
        "per_label": {
            language: {role: roles[role][0][language]["per_label"] for role in shown} for language in tests
        },
        "differing": len(places),
        "shown": language,
        "examples": _examples(
            tests[language],
            places or range(len(tests[language])),
            {role: roles[role][0][language] for role in shown},
        ),
    }


def _comparisons(contributions: Mapping[str, Sequence[Contributions]]) -> dict[str, dict[str, dict[str, float]]]:
    """Every model against the teacher, and the student against every baseline."""
    student = contributions["student"]
    return {
        role: {
            "against_teacher": asdict(compare(own, contributions["teacher"])),
            "student_against": asdict(compare(student, own)),
        }
        for role, own in contributions.items()
        if role != "teacher"
    }


def _differing(teacher: Sequence[Sequence[str]], student: Sequence[Sequence[str]]) -> list[int]:
    """The numbers of the examples on which two models predict different labels."""
    pairs = zip(teacher, student, strict=True)
    return [number for number, (one, other) in enumerate(pairs) if list(one) != list(other)]


def _examples(
    examples: Sequence[Any], places: Sequence[int], found: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Ten of the examples at some places, evenly spaced, with each model's predictions and whether they are
    correct."""
    rows = []
    for place in np.unique(np.linspace(0, len(places) - 1, _EXAMPLES).round().astype(int)):
        number = places[place]
        example = examples[number]
        predicted = {role: own["predictions"][number] for role, own in found.items()}
        if words := getattr(example, "words", None):
            rows.append({"text": list(words), "gold": list(example.gold), **predicted})
        else:
            # a prediction may match another gold answer than the first
            scores = {role: own["contributions"][number] for role, own in found.items()}
            rows.append(
                {
                    "text": example.text,
                    "gold": example.gold[0],
                    **{role: labels[0] for role, labels in predicted.items()},
                    "right": [role for role, (reached, possible) in scores.items() if reached == possible],
                }
            )
    return rows
