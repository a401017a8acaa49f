"""The result of a run in short: one sentence and its key figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import stdev
from typing import Any

from bistil.report import formats
from bistil.report.languages import language_name


@dataclass(frozen=True)
class Tile:
    """One key figure; `bars` are (who, length between 0 and 1) and only illustrate it."""

    label: str
    value: str
    note: str
    bars: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Answer:
    """The sentence, the phrases in it that carry the result, a second paragraph, and the tiles."""

    sentence: str
    phrases: tuple[str, ...]
    remarks: tuple[str, ...]
    tiles: tuple[Tile, ...]


def answer(report: Mapping[str, Any]) -> Answer:
    """Put a report in words, e.g. "Your Turkish classification model is 5.9 times smaller and 3.4 times
    faster than the teacher, and scores 0.8 points lower (77.6 against 78.4 accuracy)."

    Differences are taken before rounding. Whatever was not measured is not mentioned.
    """
    tasks = report.get("tasks", [])
    one = tasks[0] if len(tasks) == 1 else None
    kind = f"{title(one)} " if one else ""
    subject = f"Your {language_name(report['target'])} {kind}model{'s' if len(tasks) > 1 else ''}"
    verb = "are" if len(tasks) > 1 else "is"
    efficiency, phrases = _efficiency(report.get("comparison", {}))
    outcomes = [(task, *outcome) for task in tasks if (outcome := _outcome(task, report["target"]))]
    phrases += [phrase for _, phrase, _ in outcomes]

    if one and outcomes:
        _, phrase, numbers = outcomes[0]
        start = f"{subject} {verb} {efficiency}, and" if efficiency else subject
        versus = "" if efficiency else " as the teacher" if phrase == "the same" else " than the teacher"
        sentence = f"{start} scores {phrase}{versus} ({numbers})."
    else:
        first = [f"{subject} {verb} {efficiency or 'ready'}."]
        sentence = " ".join(
            first + [f"{task['name']}: {phrase} ({numbers})." for task, phrase, numbers in outcomes]
        )
    return Answer(sentence, tuple(phrases), _remarks(report), _tiles(report))


def title(task: Mapping[str, Any]) -> str:
    """What a task's models are, such as "part-of-speech"; its kind where an older report does not say."""
    return str(task.get("title", task["kind"]))


def scores(task: Mapping[str, Any], role: str, language: str) -> list[float]:
    """Scores of one model on one language, one a seed; empty where it was not scored."""
    return list(task.get("scores", {}).get(role, {}).get(language, ()))


def change(task: Mapping[str, Any], language: str, role: str = "student", than: str = "teacher") -> float | None:
    """Points by which `role` scores above `than` (negative: below), on means over seeds."""
    one, other = formats.mean(scores(task, role, language)), formats.mean(scores(task, than, language))
    return None if one is None or other is None else one - other


def model(report: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    """The entry of `models` with this role; empty where there is none."""
    return next((entry for entry in report.get("models", []) if entry["role"] == role), {})


def _efficiency(comparison: Mapping[str, Any]) -> tuple[str, list[str]]:
    comparatives: list[tuple[str, bool]] = []
    same = []
    for key, more, less, noun in (
        ("smaller", "smaller", "bigger", "size"),
        ("faster", "faster", "slower", "speed"),
    ):
        if not (ratio := comparison.get(key)):
            continue
        better = ratio >= 1
        times = f"{ratio if better else 1 / ratio:.1f}"
        if times == "1.0":
            same.append(noun)
        else:
            comparatives.append((f"{times} times {more if better else less}", better))
    phrases = [phrase for phrase, _ in comparatives]
    alike = f"about the same {' and '.join(same)}" if same else ""
    if not comparatives:
        return (f"{alike} as the teacher" if same else ""), [alike] if same else []
    joint = " and " if len({better for _, better in comparatives}) == 1 else " but "
    text = joint.join(phrases) + " than the teacher"
    return (f"{text} at {alike}" if same else text), phrases


def _outcome(task: Mapping[str, Any], language: str) -> tuple[str, str] | None:
    difference = change(task, language)
    if difference is None:
        return None
    student, teacher = (formats.mean(scores(task, role, language)) for role in ("student", "teacher"))
    numbers = f"{student:.1f} against {teacher:.1f} {formats.metric(task['metric'])}"
    if found := task.get("comparisons", {}).get(language):
        ends = (
            formats.signed(found["student"]["against_teacher"][f"difference_{end}"]) for end in ("low", "high")
        )
        numbers += f"; 95 % interval of the difference {' to '.join(ends)}"
    return points(difference) or "the same", numbers


def points(difference: float) -> str:
    """A difference in words: ``0.8 points lower``; nothing where it rounds to none."""
    amount = f"{abs(difference):.1f}"
    if amount == "0.0":
        return ""
    return f"{amount} point{'' if amount == '1.0' else 's'} {'higher' if difference > 0 else 'lower'}"


def _remarks(report: Mapping[str, Any]) -> tuple[str, ...]:
    source, target = language_name(report.get("source", "")), language_name(report["target"])
    remarks = []
    for task in report.get("tasks", []):
        prefix = f"{task['name']}: " if len(report["tasks"]) > 1 else ""
        if task.get("train_examples"):
            remarks.append(
                f"{prefix}Trained on {task['train_examples']:,} labelled {source} examples "
                f"and no labelled {target} ones."
            )
        gain = change(task, report["target"], "student", "layer_drop")
        if gain is not None:
            without = formats.mean(scores(task, "layer_drop", report["target"]))
            gained = points(-gain)
            remarks.append(
                f"{prefix}The same student without general distillation scores {without:.1f}, "
                f"{f'{gained} than this one' if gained else 'as much as this one'}."
            )
    return tuple(remarks)


def _tiles(report: Mapping[str, Any]) -> tuple[Tile, ...]:
    student, teacher = model(report, "student"), model(report, "teacher")
    tiles = []
    if student.get("parameters") and teacher.get("parameters"):
        part = student["parameters"] / teacher["parameters"]
        note = f"{100 * part:.1f} % of the teacher's {formats.millions(teacher['parameters'])}"
        tiles.append(Tile("Parameters", formats.millions(student["parameters"]), note, _bars(part, 1)))
    if student.get("throughput") and teacher.get("throughput"):
        fast, slow = student["throughput"], teacher["throughput"]
        note = f"texts per second; the teacher {formats.significant(slow)}"
        tiles.append(Tile("Speed", f"{formats.significant(fast)}/s", note, _bars(fast, slow)))
    if report.get("tasks"):
        tiles += _score_tiles(report["tasks"][0], report["target"], many=len(report["tasks"]) > 1)
    return tuple(tiles)


def _score_tiles(task: Mapping[str, Any], language: str, many: bool) -> list[Tile]:
    difference = change(task, language)
    if difference is None:
        return []
    ours, theirs = scores(task, "student", language), scores(task, "teacher", language)
    student, teacher = sum(ours) / len(ours), sum(theirs) / len(theirs)
    name = f"{task['name']}: " if many else ""
    label = f"{name}{language_name(language)} {formats.metric(task['metric'])}"
    against = f"the teacher {teacher:.1f}"
    note = f"mean of {len(ours)} seeds; {against}" if len(ours) > 1 else against
    spread = ""
    if len(ours) == len(theirs) > 1:
        spread = f", ± {stdev(one - other for one, other in zip(ours, theirs, strict=True)):.1f} over seeds"
    kept = f"; {100 * student / teacher:.1f} % of its score" if teacher else ""
    bars = tuple((who, value / 100) for who, value in (("student", student), ("teacher", teacher)))
    return [
        Tile(label, f"{student:.1f}", note, bars),
        Tile(f"{name}Difference to the teacher", formats.signed(difference), f"points{spread}{kept}"),
    ]


def _bars(student: float, teacher: float) -> tuple[tuple[str, float], ...]:
    longest = max(student, teacher)
    return (("student", student / longest), ("teacher", teacher / longest))
