"""What a report has of a run: its tasks, models, languages and scores."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from bistil.report import formats
from bistil.report.languages import MOST_NAMED, language_name, language_names

EMBEDDINGS = "embeddings"  # the kind of a test of sentence embeddings
_WIDTHS = {"hidden_size": "hidden size", "intermediate_size": "feed-forward size"}


def tested(report: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The tasks, each with the report, as tables and plots take them; or the tests of sentence embeddings.

    Such a test may be in any languages, and so has its name in place of a target language.
    """
    if tests := report.get("embeddings", ()):
        of = {"kind": EMBEDDINGS, "title": f"{known_languages(report)} embedding"}
        return [({**report, "targets": [test["name"]]}, {**of, **test}) for test in tests]
    return [(report, task) for task in report.get("tasks", ())]


def targets(report: Mapping[str, Any]) -> list[str]:
    """The target languages; a report of before there could be several has one."""
    return list(report.get("targets") or [report["target"]])


def title(task: Mapping[str, Any]) -> str:
    """What a task's models are, such as "part-of-speech"; its kind where an older report does not say."""
    return str(task.get("title", task["kind"]))


def model(report: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    """The entry of `models` with this role; empty where there is none."""
    return next((entry for entry in report.get("models", []) if entry["role"] == role), {})


def student_shape(report: Mapping[str, Any], name: str | None = None) -> dict[str, Any]:
    """Layers and widths of the student, or of one of several; a width of None is the teacher's.

    A report of an earlier release has widths only where its recipe gives them.
    """
    recipe, several = report.get("recipe") or {}, report.get("students", {})
    own = report.get("student", {}) if name is None else several["made"][name]
    given = recipe.get("students", {}).get(name or several.get("published")) or recipe.get("student", {})
    return {"layers": own.get("layers", []), **{key: own.get(key, given.get(key)) for key in _WIDTHS}}


def widths(shape: Mapping[str, Any]) -> list[str]:
    """Where a student is narrower than its teacher: ``["hidden size 256", "feed-forward size 1,024"]``."""
    return [f"{name} {shape[key]:,}" for key, name in _WIDTHS.items() if shape[key] is not None]


def scores(task: Mapping[str, Any], role: str, language: str) -> list[float]:
    """Scores of one model on one language, one a seed; empty where it was not scored."""
    return list(task.get("scores", {}).get(role, {}).get(language, ()))


def scores_over(task: Mapping[str, Any], role: str, languages: Sequence[str]) -> list[float]:
    """Scores of one model, one a seed, each the mean over those of the languages in which it was scored."""
    found = [own for language in languages if (own := scores(task, role, language))]
    return [fmean(seed) for seed in zip(*found, strict=True)]


def change(task: Mapping[str, Any], language: str, role: str = "student", than: str = "teacher") -> float | None:
    """Points by which `role` scores above `than` (negative: below), on means over seeds."""
    return change_over(task, [language], role, than)


def change_over(
    task: Mapping[str, Any], languages: Sequence[str], role: str = "student", than: str = "teacher"
) -> float | None:
    """The same on means over languages."""
    one, other = (formats.mean(scores_over(task, who, languages)) for who in (role, than))
    return None if one is None or other is None else one - other


def scored_as(report: Mapping[str, Any], role: str) -> str:
    """The role under which a model's scores are found: an ONNX file in float32 has those of its model."""
    return str(model(report, role).get("scored_as", role))


def deployed(report: Mapping[str, Any]) -> str:
    """The role of the student as it is deployed, if there is one that was scored in every task."""
    role = str(report.get("comparison", {}).get("deployed", {}).get("role", "student"))
    wanted = [
        (task, code) for own, task in tested(report) for code in targets(own) if scores(task, "student", code)
    ]
    return role if all(scores(task, scored_as(report, role), code) for task, code in wanted) else "student"


def known_languages(report: Mapping[str, Any]) -> str:
    """Those of a student: ``English–Turkish``."""
    codes = [report["source"], *targets(report)]
    return "–".join(map(language_name, codes)) if len(codes) == 2 else named(codes)


def named(codes: Sequence[str]) -> str:
    """Before a noun: ``Turkish``, ``Basque and Turkish``, ``30-language``."""
    return language_names(codes) if len(codes) <= MOST_NAMED else f"{len(codes)}-language"
