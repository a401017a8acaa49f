"""The tables of a report, filled once and written as HTML and as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bistil.report import formats
from bistil.report.contents import (
    change,
    deployed,
    model,
    scored_as,
    scores,
    student_shape,
    targets,
    tested,
    widths,
)
from bistil.report.languages import language_name


@dataclass(frozen=True)
class Table:
    """Cells as text. The first `labels` columns are words, the others are numbers.

    `strong` are the rows to look at first: the student as it is deployed, or the total. The second column of facts
    has no name.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int = 1
    strong: tuple[int, ...] = ()


def costs_table(report: Mapping[str, Any]) -> Table | None:
    """One row a model: how big and how fast; columns that nobody measured are left out."""
    models = report.get("models", [])
    columns = {
        "Parameters": [formats.millions(entry.get("parameters")) for entry in models],
        "of these embeddings": [formats.share(_embedding_share(entry), 0) for entry in models],
        "Layers": [formats.count(entry.get("layers")) for entry in models],
        "FLOPs per token": [formats.millions(entry.get("flops_per_token")) for entry in models],
        "Disk": [formats.size(entry.get("disk_bytes")) for entry in models],
        "Peak memory": [formats.peak_memory(entry) for entry in models],
        "Latency p50, ms": [_latency(entry, "p50") for entry in models],
        "Latency p95, ms": [_latency(entry, "p95") for entry in models],
        "Texts per second": [formats.significant(entry.get("throughput")) for entry in models],
    }
    return _of_models(models, columns, deployed(report))


def students_table(report: Mapping[str, Any]) -> Table | None:
    """One row a student where there are several: its shape, what it loses, and whether no other beats it."""
    found = report.get("students") or {}
    made, rows = found.get("made", {}), []
    for name, own in made.items():
        fronts = [
            f"{task}: {' and '.join(costs)}" if len(found["fronts"]) > 1 else " and ".join(costs)
            for task, by_cost in found["fronts"].items()
            if (costs := [cost for cost, roles in by_cost.items() if own["role"] in roles])
        ]
        drops = [formats.signed(-own[key]) for key in ("drop", "drop_high") if key in own]
        shape = ", ".join([formats.count(len(own["layers"])), *widths(student_shape(report, name))])
        rows.append((name, shape, *drops, "; ".join(fronts) or formats.NOTHING))
    chosen = ("Difference where it loses most", "Lowest end of the intervals") if "max_drop" in found else ()
    rows += [
        (name, formats.NOTHING, formats.signed(-own["drop"]), formats.NOTHING, "given up early")
        for name, own in found.get("given_up", {}).items()
    ]
    rows += [(name, *[formats.NOTHING] * (1 + len(chosen)), "not made") for name in found.get("not_made", ())]
    columns = ("Student", "Layers", *chosen, "On the Pareto front of score and")
    return Table(columns, tuple(rows), strong=(list(made).index(found["published"]),)) if rows else None


def scores_table(report: Mapping[str, Any]) -> Table | None:
    """One row a model: its score in every task and language, and the difference to the teacher."""
    models = [entry for entry in report.get("models", []) if "scored_as" not in entry]
    columns = {}
    tests = tested(report)
    for own, task in tests:
        name = f"{task['name']}: " if len(tests) > 1 and task["name"] not in targets(own) else ""
        for language in languages_of(task, targets(own)):
            heading = f"{name}{language_name(language)} {formats.metric(task['metric'])}"
            changes = [change(task, language, entry["role"]) for entry in models]
            columns[heading] = [formats.score(scores(task, entry["role"], language)) for entry in models]
            columns[f"{name}{language_name(language)}, difference to teacher"] = [
                formats.NOTHING if entry["role"] == "teacher" else formats.signed(points)
                for entry, points in zip(models, changes, strict=True)
            ]
    return _of_models(models, columns, scored_as(report, deployed(report)))


def differences_table(report: Mapping[str, Any], task: Mapping[str, Any]) -> Table | None:
    """One row a model and target language: difference to the teacher and the student's lead, with intervals."""
    several = len(targets(report)) > 1
    shown = scored_as(report, deployed(report))
    rows: list[tuple[str, ...]] = []
    strong: list[int] = []
    for language in targets(report):
        found = task.get("comparisons", {}).get(language, {})
        for entry in report.get("models", []):
            if entry["role"] == "teacher" or entry["role"] not in found:
                continue
            teacher, student = (found[entry["role"]][key] for key in ("against_teacher", "student_against"))
            own = entry["role"] == "student"
            strong += [len(rows)] * (entry["role"] == shown)
            rows.append(
                (
                    *([language_name(language)] if several else []),
                    entry["title"],
                    interval(teacher, "difference"),
                    _probability(teacher["p"]),
                    _retention(teacher),
                    formats.NOTHING if own else interval(student, "difference"),
                    formats.NOTHING if own else _probability(student["p"]),
                )
            )
    columns = ("Model", "Difference to teacher", "p", "Teacher's score retained", "Student's lead over it", "p")
    language_column = ("Language",) if several else ()
    return (
        Table((*language_column, *columns), tuple(rows), labels=1 + several, strong=tuple(strong))
        if rows
        else None
    )


def interval(facts: Mapping[str, float], key: str) -> str:
    """A difference and its 95 % interval: ``−0.8 [−1.3, −0.2]``."""
    low, high = (formats.signed(facts[f"{key}_{end}"]) for end in ("low", "high"))
    return f"{formats.signed(facts[key])} [{low}, {high}]"


def _retention(facts: Mapping[str, float | None]) -> str:
    kept, low, high = (facts[key] for key in ("retention", "retention_low", "retention_high"))
    if kept is None or low is None or high is None or kept < 0:
        return formats.NOTHING
    return f"{kept:.1f} % [{formats.decimal(low)}, {formats.decimal(high)}]"


def _probability(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _of_models(
    models: Sequence[Mapping[str, Any]], columns: Mapping[str, Sequence[str]], role: str
) -> Table | None:
    measured = {name: cells for name, cells in columns.items() if set(cells) - {formats.NOTHING}}
    rows = tuple(zip([entry["title"] for entry in models], *measured.values(), strict=True))
    strong = tuple(index for index, entry in enumerate(models) if entry["role"] == role)
    return Table(("Model", *measured), rows, strong=strong) if measured else None


def labels_table(task: Mapping[str, Any], language: str) -> Table | None:
    """Precision, recall and F1 of each label in one language, labels in the order of their support."""
    per_label = task.get("per_label", {}).get(language, {})
    teacher, student = per_label.get("teacher", {}), per_label.get("student", {})
    rows = []
    for label in sorted(student, key=lambda label: (-student[label]["support"], label)):
        ours, theirs = student[label], teacher.get(label)
        rows.append(
            (
                label,
                formats.count(ours["support"]),
                *(f"{ours[key]:.1f}" for key in ("precision", "recall", "f1")),
                f"{theirs['f1']:.1f}" if theirs else formats.NOTHING,
                formats.signed(ours["f1"] - theirs["f1"] if theirs else None),
            )
        )
    columns = (
        "Label",
        "Examples",
        "Student precision",
        "Student recall",
        "Student F1",
        "Teacher F1",
        "Difference",
    )
    return Table(columns, tuple(rows)) if rows else None


def vocabulary_table(report: Mapping[str, Any]) -> Table | None:
    """What cutting the vocabulary did to held-out text of each language."""
    languages = report.get("vocabulary", {}).get("languages", {})
    rows = tuple(
        (
            language_name(code),
            formats.share(facts.get("coverage")),
            formats.share(facts.get("changed_share")),
            formats.share(facts.get("unknown_before")),
            formats.share(facts.get("unknown_after")),
            formats.significant(facts.get("tokens_per_word_before")),
            formats.significant(facts.get("tokens_per_word_after")),
        )
        for code, facts in languages.items()
    )
    columns = ("Language", "Tokens kept", "Lines split differently", "Unknown before", "Unknown after")
    return Table((*columns, "Tokens per word before", "Tokens per word after"), rows) if rows else None


def stages_table(report: Mapping[str, Any]) -> Table | None:
    """Time and peak memory of every stage, and the whole."""
    stages = report.get("stages", [])
    rows = [
        (stage["name"], formats.duration(stage.get("seconds")), formats.size(stage.get("memory_bytes")))
        for stage in stages
    ]
    peaks = [stage["memory_bytes"] for stage in stages if stage.get("memory_bytes")]
    whole = formats.duration(sum(stage.get("seconds") or 0 for stage in stages))
    rows.append(("all stages", whole, formats.size(max(peaks, default=None))))
    return Table(("Stage", "Time", "Peak memory"), tuple(rows), strong=(len(stages),)) if stages else None


def matched(report: Mapping[str, Any]) -> str:
    """What general distillation matched of the teacher: ``hidden states, attention and sentence embeddings``."""
    weights = (report.get("recipe") or {}).get("distill", {})
    vectors = weights.get("embeddings")
    counted = {
        "hidden states": weights.get("hidden_weight", 1),
        "attention": weights.get("attention_weight", 1) and weights.get("attention") != "none",
        "sentence embeddings": vectors and weights.get("vector_weight"),
        "similarities of texts": vectors and weights.get("similarity_weight"),
    }
    return formats.joined([name for name, weight in counted.items() if weight])


def distillation_table(report: Mapping[str, Any]) -> Table | None:
    """How much general distillation was done, and what it did to the held-out loss."""
    facts = report.get("distillation") or {}
    rows = []
    if "tokens" in facts:
        rows.append(("Tokens read", formats.count(facts["tokens"])))
    if "seconds" in facts:
        rows.append(("Time", formats.duration(facts["seconds"])))
    if "tokens_per_second" in facts:
        rows.append(("Tokens per second", formats.count(facts["tokens_per_second"])))
    if layers := (shape := student_shape(report))["layers"]:
        depth = model(report, "teacher").get("layers")
        kept = f"{', '.join(map(str, layers))}{f' of {depth}' if depth else ''}"
        rows.append(("Teacher layers kept", "; ".join([kept, *widths(shape)])))
    curve = facts.get("curve") or []
    for language in curve_languages(report):
        first, last = curve[0][language], curve[-1][language]
        rows.append((f"Held-out loss, {language_name(language)}", f"{first:.4f} → {last:.4f}"))
    return Table(("General distillation", ""), tuple(rows)) if rows else None


def environment_table(report: Mapping[str, Any]) -> Table | None:
    """Versions and machine, as the report has them."""
    facts = report.get("environment", {})
    return Table(("Environment", ""), tuple((key, str(value)) for key, value in facts.items())) if facts else None


def curve_languages(report: Mapping[str, Any]) -> list[str]:
    """Languages of the distillation curve, the targets first."""
    curve = (report.get("distillation") or {}).get("curve") or [{}]
    return _in_front([key for key in curve[0] if key != "tokens"], targets(report))


def languages_of(task: Mapping[str, Any], first: Sequence[str]) -> list[str]:
    """Languages in which a task was tested, the ``first`` of them, the targets, in front."""
    return _in_front(
        dict.fromkeys(language for role in task.get("scores", {}).values() for language in role), first
    )


def _in_front(codes: Iterable[str], first: Sequence[str]) -> list[str]:
    return sorted(codes, key=lambda code: first.index(code) if code in first else len(first))


def _embedding_share(entry: Mapping[str, Any]) -> float | None:
    embeddings, parameters = entry.get("embedding_parameters"), entry.get("parameters")
    return embeddings / parameters if embeddings is not None and parameters else None


def _latency(entry: Mapping[str, Any], quantile: str) -> str:
    return formats.significant((entry.get("latency_ms") or {}).get(quantile))
