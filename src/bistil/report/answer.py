"""The result of a run in short: one sentence and its key figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from bistil.report import choice, formats
from bistil.report.contents import (
    change,
    change_over,
    deployed,
    known_languages,
    model,
    named,
    scored_as,
    scores,
    scores_over,
    targets,
    tested,
    title,
)
from bistil.report.languages import MOST_NAMED, language_name

_PAIRS = "mean_accuracy"  # the metric of the share of texts that find their translation, or the like


@dataclass(frozen=True)
class Tile:
    """One key figure; `bars` are (who, length between 0 and 1) and only illustrate it."""

    label: str
    value: str
    note: str
    bars: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Answer:
    """The sentence, its phrases that carry the result, a second paragraph, what is missing, and the tiles."""

    sentence: str
    phrases: tuple[str, ...]
    remarks: tuple[str, ...]
    problems: tuple[str, ...]
    tiles: tuple[Tile, ...]


def answer(report: Mapping[str, Any]) -> Answer:
    """Put a report in words, e.g. "Your Turkish classification model is 5.9 times smaller and 3.4 times
    faster than the teacher, and scores 0.8 points lower (77.6 against 78.4 accuracy)."

    Of a run that exports, it is the student in the form to deploy: "Your Turkish classification model in int8 is
    22.7 times smaller and 4.5 times faster than the teacher as it stands, 1.9 times faster than the trimmed
    teacher in the same form, and scores 0.9 points lower than the teacher (77.5 against 78.4 accuracy)."
    Of sentence embeddings: "Your English–Turkish embedding model is 5.6 times smaller and 2.1 times faster than
    the teacher, and finds 93.4 % of pairs (the teacher 97.1; 95 % interval of the difference −4.9 to −2.4)."
    Of several target languages scores are means; many are counted, and only the worst and the best are named.
    Differences are taken before rounding. Whatever was not measured is not mentioned.
    """
    tests, role = tested(report), deployed(report)
    form = "" if role == "student" else f" in {_engine(report, role)}"
    model, are = _subject(report)
    subject = f"Your {model}{form}"
    lead = choice.lead(report, form) or f"{subject} {are}"
    efficiency, phrases = _efficiency(report, role)
    outcomes = [
        (task, *outcome)
        for own, task in tests
        if (outcome := _outcome(task, targets(own), scored_as(report, role)))
    ]
    phrases += [phrase for _, phrase, _ in outcomes]

    if len(tests) == 1 and outcomes:
        task, phrase, numbers = outcomes[0]
        start = f"{lead} {efficiency}, and" if efficiency else subject
        versus = " as the teacher" if phrase == "the same" else " than the teacher"
        versus = "" if efficiency and role == "student" else versus
        verb, versus = ("", "") if task["metric"] == _PAIRS else ("scores ", versus)
        sentence = f"{start} {verb}{phrase}{versus} ({numbers})."
    else:
        first = [f"{lead} {efficiency or 'ready'}."]
        sentence = " ".join(
            first + [f"{task['name']}: {phrase} ({numbers})." for task, phrase, numbers in outcomes]
        )
    return Answer(sentence, tuple(phrases), _remarks(report, role), _problems(report), _tiles(report, role))


def _subject(report: Mapping[str, Any]) -> tuple[str, str]:
    """What a run has made, and whether it is one or they are several."""
    if "embeddings" in report:
        return f"{known_languages(report)} embedding model", "is"
    tasks = report.get("tasks", ())
    kind = f"{title(tasks[0])} " if len(tasks) == 1 else ""
    several = len(tasks) > 1
    return f"{named(targets(report))} {kind}model{'s' if several else ''}", "are" if several else "is"


def _engine(report: Mapping[str, Any], role: str) -> str:
    return formats.engine(model(report, role).get("engine", "torch"))


def _efficiency(report: Mapping[str, Any], role: str) -> tuple[str, list[str]]:
    """How many times smaller and faster, in words, and the phrases of it that carry the result."""
    comparison = report.get("comparison", {})
    if role == "student":
        return _against(comparison, "the teacher")
    text, phrases = _against(comparison["deployed"], "the teacher as it stands")
    if rival := comparison["deployed"].get("rival"):
        same = _engine(report, rival["role"]) == _engine(report, role)
        form = "the same form" if same else _engine(report, rival["role"])
        phrase = _times(rival["faster"], "faster", "slower") or "about as fast"
        text += f", {'but ' if phrase.endswith('slower') else ''}{phrase}"
        text += f" {'than' if phrase.endswith('er') else 'as'} the trimmed teacher in {form}"
        phrases.append(phrase)
    return text, phrases


def _times(ratio: float, more: str, less: str) -> str:
    """``3.4 times faster``, of a ratio below 1 ``1.2 times slower``; nothing where it rounds to 1."""
    times = f"{ratio if ratio >= 1 else 1 / ratio:.1f}"
    return "" if times == "1.0" else f"{times} times {more if ratio >= 1 else less}"


def _against(comparison: Mapping[str, Any], who: str) -> tuple[str, list[str]]:
    comparatives: list[tuple[str, bool]] = []
    same = []
    for key, more, less, noun in (
        ("smaller", "smaller", "bigger", "size"),
        ("faster", "faster", "slower", "speed"),
    ):
        if not (ratio := comparison.get(key)):
            continue
        if phrase := _times(ratio, more, less):
            comparatives.append((phrase, ratio >= 1))
        else:
            same.append(noun)
    phrases = [phrase for phrase, _ in comparatives]
    alike = f"about the same {' and '.join(same)}" if same else ""
    if not comparatives:
        return (f"{alike} as {who}" if same else ""), [alike] if same else []
    joint = " and " if len({better for _, better in comparatives}) == 1 else " but "
    text = f"{joint.join(phrases)} than {who}"
    return (f"{text} at {alike}" if same else text), phrases


def _outcome(task: Mapping[str, Any], languages: Sequence[str], role: str) -> tuple[str, str] | None:
    difference = change_over(task, languages, role)
    if difference is None:
        return None
    student, teacher = (fmean(scores_over(task, one, languages)) for one in (role, "teacher"))
    if task["metric"] == _PAIRS:
        found = task["comparisons"][languages[0]][role]["against_teacher"]
        return f"finds {student:.1f} % of pairs", f"the teacher {teacher:.1f}; {_interval(found)}"
    numbers = f"{formats.decimal(student)} against {formats.decimal(teacher)} {formats.metric(task['metric'])}"
    changes = {code: change(task, code, role) for code in languages if scores(task, role, code)}
    if len(changes) > 1:
        ranked = sorted(changes.items(), key=lambda item: item[1] or 0.0)
        shown = [*changes.items()] if len(changes) <= MOST_NAMED else [ranked[0], ranked[-1]]
        apart = (", " if len(changes) <= MOST_NAMED else " to ").join(
            f"{language_name(code)} {formats.signed(own)}" for code, own in shown
        )
        numbers = f"mean of {len(changes)} languages, {numbers}; {apart}"
    else:
        (code,) = changes
        if len(languages) > 1:
            numbers = f"{language_name(code)} alone was tested, {numbers}"
        if found := task.get("comparisons", {}).get(code):
            numbers += f"; {_interval(found[role]['against_teacher'])}"
    return points(difference) or "the same", numbers


def _interval(found: Mapping[str, Any]) -> str:
    ends = (formats.signed(found[f"difference_{end}"]) for end in ("low", "high"))
    return f"95 % interval of the difference {' to '.join(ends)}"


def points(difference: float) -> str:
    """A difference in words: ``0.8 points lower``; nothing where it rounds to none."""
    amount = f"{abs(difference):.1f}"
    if amount == "0.0":
        return ""
    return f"{amount} point{'' if amount == '1.0' else 's'} {'higher' if difference > 0 else 'lower'}"


def _problems(report: Mapping[str, Any]) -> tuple[str, ...]:
    """Which teachers learned nothing, and what could not be exported or put on a page, and why."""
    tasks, seeds = len(report.get("tasks", [])) > 1, len(report.get("seeds", [])) > 1
    found = [*report.get("doubts", [])]
    for problem in report.get("problems", []):
        who = "trimmed teacher" if problem["model"] == "trimmed" else _student(report, problem["model"])
        where = f" of {problem['task']}" if tasks else ""
        where += f" with seed {problem['seed']}" if seeds else ""
        found.append(f"The {who}{where} has no {problem['missing']} form: {problem['reason']}")
    if missing := report.get("web_problems"):
        if "web" in report:
            found += [f"{name} is not on the page for browsers: {reason}" for name, reason in missing.items()]
        else:
            found.append(f"There is no page for browsers: {next(iter(missing.values()))}")
    return tuple(found)


def _student(report: Mapping[str, Any], role: str) -> str:
    """A student in a sentence, with its name where there are several."""
    name = model(report, role).get("student")
    return f"student {name}" if name else "student"


def _remarks(report: Mapping[str, Any], role: str) -> tuple[str, ...]:
    source = language_name(report.get("source", ""))
    codes = targets(report)
    none = f"no labelled {formats.joined([*map(language_name, codes)], 'or')} ones"
    if len(codes) > MOST_NAMED:
        none = f"none in the {len(codes)} target languages"
    remarks = choice.remarks(report)
    tests = tested(report)
    for own, task in tests:
        goals = targets(own)
        prefix = f"{task['name']}: " if len(tests) > 1 else ""
        if count := task.get("train_examples"):
            examples = formats.counted(count, f"labelled {source} example")
            further = task.get("unlabelled_examples", {}).items()
            ones = formats.joined([f"{number:,} {language_name(code)}" for code, number in further])
            labelled = f"; the student also on {ones} ones that its teacher labelled" if ones else ""
            remarks.append(f"{prefix}Trained on {examples} and {none}{labelled}.")
        gain = change_over(task, goals, "student", "layer_drop")
        if gain is not None:
            without = formats.decimal(fmean(scores_over(task, "layer_drop", goals)))
            gained = points(-gain)
            remarks.append(
                f"{prefix}The same student without general distillation scores {without}, "
                f"{f'{gained} than this one' if gained else 'as much as this one'}"
                f"{'' if role == 'student' else ', both in PyTorch'}."
            )
    return tuple(remarks)


def _tiles(report: Mapping[str, Any], role: str) -> tuple[Tile, ...]:
    student, teacher = model(report, role), model(report, "teacher")
    tiles = []
    parameters = ("parameters", "Parameters", formats.millions)
    key, label, written = parameters if role == "student" else ("disk_bytes", "Size on disk", formats.size)
    if student.get(key) and teacher.get(key):
        part = student[key] / teacher[key]
        note = f"{100 * part:.1f} % of the teacher's {written(teacher[key])}"
        tiles.append(Tile(label, written(student[key]), note, _bars(part, 1)))
    if student.get("throughput") and teacher.get("throughput"):
        fast, slow = student["throughput"], teacher["throughput"]
        note = f"texts per second; the teacher {formats.significant(slow)}"
        tiles.append(Tile("Speed", f"{formats.significant(fast)}/s", note, _bars(fast, slow)))
    if tests := tested(report):
        own, task = tests[0]
        tiles += _score_tiles(task, targets(own), scored_as(report, role), len(tests) > 1)
    return tuple(tiles)


def _score_tiles(task: Mapping[str, Any], languages: Sequence[str], role: str, many: bool) -> list[Tile]:
    difference = change_over(task, languages, role)
    if difference is None:
        return []
    ours, theirs = (scores_over(task, who, languages) for who in (role, "teacher"))
    student, teacher = sum(ours) / len(ours), sum(theirs) / len(theirs)
    name = f"{task['name']}: " if many else ""
    scored = [code for code in languages if scores(task, role, code)]
    where = language_name(scored[0]) if len(scored) == 1 else f"Mean of {len(scored)} languages,"
    label = f"{'' if task['name'] in languages else name}{where} {formats.metric(task['metric'])}"
    against = f"the teacher {formats.decimal(teacher)}"
    note = f"mean of {len(ours)} seeds; {against}" if len(ours) > 1 else against
    spread = ""
    if len(ours) == len(theirs) > 1:
        spread = f", ± {stdev(one - other for one, other in zip(ours, theirs, strict=True)):.1f} over seeds"
    kept = formats.kept(student, teacher)
    share = "" if kept is None else f"; {kept:.1f} % of its score"
    bars = (("student", student / 100), ("teacher", teacher / 100)) if min(student, teacher) >= 0 else ()
    return [
        Tile(label, formats.decimal(student), note, bars),
        Tile(f"{name}Difference to the teacher", formats.signed(difference), f"points{spread}{share}"),
    ]


def _bars(student: float, teacher: float) -> tuple[tuple[str, float], ...]:
    longest = max(student, teacher)
    return (("student", student / longest), ("teacher", teacher / longest))
