"""The tables of a model card: scores, int8 beside float32, size and speed, data."""

from collections.abc import Mapping, Sequence
from typing import Any

from bistil.exporting.metadata import codes, file_name, first, settings
from bistil.report import formats
from bistil.report.contents import scores
from bistil.report.languages import language_name
from bistil.report.markdown import plain, section
from bistil.report.tables import Table, costs_table, interval, languages_of

UNKNOWN = "unknown"


def scores_table(report: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> Table | None:
    """One row a test file: task teacher, student, and the difference with its interval; or the one model."""
    roles = ("student",) if "made" in report else ("teacher", "student")
    rows = []
    for task in tasks:
        for language in languages_of(task, first(report)):
            found = task.get("comparisons", {}).get(language, {}).get("student")
            apart = interval(found["against_teacher"], "difference") if found else formats.NOTHING
            rows.append(
                (
                    f"{task['name']}, {_measure(report, task, language)}",
                    _files(report, task, language),
                    formats.count(task.get("tests", {}).get(language, {}).get("examples")),
                    *(formats.score(scores(task, role, language)) for role in roles),
                    *([apart] if len(roles) > 1 else []),
                )
            )
    whose = "Teacher" if "embeddings" in report else "Task teacher"
    several = (whose, "Student", "Difference, 95 % interval")
    columns = ("Test", "File", "Examples", *(several if len(roles) > 1 else ("Score",)))
    return Table(columns, tuple(rows), labels=2) if rows else None


def _measure(report: Mapping[str, Any], task: Mapping[str, Any], language: str) -> str:
    """The language of a task's test; of sentence embeddings, whose tests have names instead, the metric."""
    return formats.metric(task["metric"]) if "embeddings" in report else language_name(language)


def _files(report: Mapping[str, Any], task: Mapping[str, Any], language: str) -> str:
    """The names of the files of a test."""
    whose = report["recipe"]["embeddings"] if "embeddings" in report else settings(report, task)
    found = whose.get("test", {}).get(language, formats.NOTHING)
    return ", ".join(map(file_name, [found] if isinstance(found, str) else found))


def exported_blocks(exported: Mapping[str, Any]) -> list[str]:
    """What int8 changes, and how large the files are."""
    rows = []
    for language, own in exported.get("scores", {}).items():
        before, after = own.get("float32"), own.get("int8")
        if before is not None and after is not None:
            change = formats.signed(after - before)
            counted = formats.count(own.get("examples"))
            rows.append((f"{language_name(language)}, labelled", f"{before:.1f}", f"{after:.1f}", change, counted))
    for language, own in exported.get("agreement", {}).items():
        if own.get("agreement") is not None:
            cosine = exported.get("task", "") is None  # of an encoder
            same = f"cosine {own['agreement'] / 100:.4f}" if cosine else f"{own['agreement']:.1f} % alike"
            counted = formats.count(own.get("texts"))
            rows.append((f"{language_name(language)}, plain text", "", same, "", counted))
    table = Table(("Test", "float32", "int8", "Difference", "Examples"), tuple(rows)) if rows else None
    blocks = section("ONNX and int8", table) or ["## ONNX and int8"]
    sizes = [f"`{name}`: {formats.size(octets)}" for name, octets in exported.get("bytes", {}).items()]
    kept = exported.get("kept") or []
    notes = [f"{', '.join(sizes)}."] if sizes else []
    if kept:
        notes.append(
            f"Kept in float32, because int8 changed the scores too much: {plain('; '.join(map(str, kept)))}."
        )
    if "problem" in exported:
        missing = "int8" if sizes else "ONNX"
        notes.append(f"There is no {missing} file: {plain(str(exported['problem']))}")
    elif not rows:
        notes.append("int8 was not compared with float32.")
    return [*blocks, " ".join(notes)]


def costs(report: Mapping[str, Any]) -> Table | None:
    """The teacher and the model, as they are and exported."""
    named = {"teacher": "Base model", "student": "This model"}
    if "made" not in report:
        named = {"teacher": "Teacher, untrimmed", "student": "Student"}
    models = [
        {**entry, "title": named.get(entry["role"], entry.get("title"))}
        for entry in report.get("models", [])
        if entry["role"] in named
        or (entry.get("engine", "torch") != "torch" and entry.get("student") in (None, published(report)))
    ]
    return costs_table({"models": models})


def published(report: Mapping[str, Any]) -> str | None:
    """The name of the student, where the recipe has several."""
    name: str | None = report.get("students", {}).get("published")
    return name


def data_table(report: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> Table:
    """One row a language's text, and a file of the tasks."""
    rows = []
    for code, own in _unlabelled(report):
        text = own.get("text", ())
        names = ", ".join(map(file_name, [text] if isinstance(text, str) else text)) or formats.NOTHING
        rows.append(("unlabelled text", language_name(code), names, _license(own), formats.NOTHING))
    for task in tasks:
        own = settings(report, task)
        train = file_name(str(own.get("train", formats.NOTHING)))
        count = formats.count(task.get("train_examples"))
        source = language_name(report["source"]) if "source" in report else UNKNOWN
        rows.append(("training", source, train, _license(own), count))
        for code, file in own.get("unlabelled", {}).items():
            count = formats.count(task.get("unlabelled_examples", {}).get(code))
            rows.append(("labelled by the teacher", language_name(code), file_name(file), _license(own), count))
        for language in languages_of(task, first(report)):
            file = _files(report, task, language)
            count = formats.count(task.get("tests", {}).get(language, {}).get("examples"))
            rows.append(("test", language_name(language), file, _license(own), count))
    return Table(("Data", "Language", "Files", "Licence", "Examples"), tuple(rows), labels=4)


def _unlabelled(report: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The language, and what the recipe has of its unlabelled text."""
    recipe = report.get("recipe", {})
    if "made" in report:
        return [(code, {"text": text}) for code, text in recipe.get("text", {}).items()]
    source, target = (recipe.get(side) or {} for side in ("source", "target"))
    parts = [source, *(target if isinstance(target, list) else [target])]
    return list(zip(codes(report), parts, strict=True))


def _license(part: Mapping[str, Any]) -> str:
    return str(part.get("license") or UNKNOWN)
