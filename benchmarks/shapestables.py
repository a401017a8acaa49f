"""The tables of shapes: how long each takes, and what it keeps of a task."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from bistil.report import formats

_METRICS = ("las", "f1", "accuracy")


def shapes(result: Mapping[str, Any]) -> str:
    """What each shape takes, and what it keeps of the tasks it was tried on."""
    parts = ([_times(result["speed"])] if "speed" in result else []) + [_scores(result["rows"])]
    return "\n\n".join("\n".join(part) for part in parts)


def _times(speed: Mapping[str, Any]) -> list[str]:
    """Operations and time as shares of the trimmed teacher's."""
    whole, *names = speed["operations"]
    lengths = [*speed["operations"][whole]]
    machine = speed["environment"]
    columns = [("operations", speed["operations"], True)]
    columns += [
        (f"{engine}, {tokens} tokens", seconds[tokens], False)
        for engine, seconds in speed["seconds"].items()
        for tokens in lengths
    ]
    rows = [
        "Shares of the trimmed teacher; encoder alone, eight texts a batch; "
        f"{machine['date']}, {machine['cores']} cores of an {machine['processor']}, "
        "`python -m benchmarks.shapes speed`:",
        "",
        f"| shape | {' | '.join(title for title, *_ in columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name in names:
        shares = [
            own[name][lengths[-1]] / own[whole][lengths[-1]] if counted else own[name] / own[whole]
            for _, own, counted in columns
        ]
        rows.append(f"| {name} | {' | '.join(f'{share:.2f}' for share in shares)} |")
    return rows


def _scores(runs: Mapping[str, Any]) -> list[str]:
    rows = [
        "| | shape | teacher | student | difference | English: teacher | student | held-out loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, facts in runs.items():
        setting, shape = name.split(": ")
        target = setting.split(",")[0].split("-")[1]
        scores = {
            (role, language): fmean(one[next(key for key in _METRICS if key in one)] for one in own[language])
            for role, own in facts["scores"].items()
            for language in (target, "validation")
        }
        pairs = [(scores["teacher", of], scores["student", of]) for of in (target, "validation")]
        cells = [setting, shape, *(f"{score:.1f}" for score in pairs[0])]
        cells += [formats.signed(pairs[0][1] - pairs[0][0]), *(f"{score:.1f}" for score in pairs[1])]
        rows.append(f"| {' | '.join(cells)} | {facts['held_out_loss'][target]:.4f} |")
    return rows


def questions(result: Mapping[str, Any]) -> str:
    """What brings a student nearer to its teacher in answering questions."""
    rows = ["| 12 layers, feed-forward 384 | teacher | student | difference | English |", "|---|---|---|---|---|"]
    for name, facts in result["rows"].items():
        target = name.split(",")[0].split("-")[1]
        teacher, student = (facts["scores"][role] for role in ("teacher", "student"))
        lost = [formats.signed(student[code] - teacher[code]) for code in (target, "validation")]
        rows.append(f"| {name} | {teacher[target]:.1f} | {student[target]:.1f} | {' | '.join(lost)} |")
    return "\n".join(rows)


def inference(result: Mapping[str, Any]) -> str:
    """What a teacher learns of inference from how many pairs, and from hypotheses alone."""
    rows = ["| accuracy | English | Turkish | German | Swahili | Basque |", "|---|---|---|---|---|---|"]
    for name, facts in result["rows"].items():
        scores = [f"{fmean(facts[code]):.1f}" for code in ("en", "tr", "de", "sw", "eu")]
        rows.append(f"| {name} | {' | '.join(scores)} |")
    return "\n".join(rows)
