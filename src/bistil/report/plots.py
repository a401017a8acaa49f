"""Plots as SVG text that takes its colours from the page, so that they adapt to light and dark mode."""

import html
import re
import warnings
from collections.abc import Mapping, Sequence
from io import StringIO
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import offset_copy

from bistil.report import formats
from bistil.report.comparison import Group, learning_curves
from bistil.report.contents import scored_as, scores, scores_over, targets
from bistil.report.labels import FONT, in_words, list_below, rows_of, write_beside
from bistil.report.languages import language_name, language_names
from bistil.report.pareto import compared, cost
from bistil.report.tables import curve_languages, languages_of

# Stand-ins that no plot uses for anything else; `_svg` turns them into the page's own colours.
_TEXT, _RULE, _SERIES = "#fe0101", "#fe0102", tuple(f"#fe02{index:02x}" for index in range(9))
_MARKERS = ("o", "D", "s", "^", "v", "P", "X", "<", ">")
COSTS = {
    "size": "Size on disk, MB",
    "latency": "Latency p50 of one text, ms",
    "throughput": "Texts per second",
}
_MOST_LABELS = 4  # beside their marks; more are listed below
_ROLES = ("teacher", "student", "layer_drop")
_STYLE: Any = {  # not a dict of str: matplotlib's stubs list every key
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": FONT,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "axes.edgecolor": _RULE,
    "grid.color": _RULE,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def students_front(report: Mapping[str, Any], task: Mapping[str, Any], against: str) -> str | None:
    """`tradeoff` of the teacher and several students alone, the Pareto front drawn; None where there is one."""
    if "students" not in report:
        return None
    return tradeoff(compared(report), task, against, report["students"]["fronts"][task["name"]][against])


def tradeoff(
    report: Mapping[str, Any], task: Mapping[str, Any], against: str, front: Sequence[str] = ()
) -> str | None:
    """Score on the target language (the mean of several) against one of `COSTS`; None with fewer than two models.

    A mark is the mean over seeds; with several seeds the bar is one standard deviation each way and the dots
    beside it are the seeds. What scores far below the others is a hollow mark on the lower edge, so that these
    can be told apart. The roles of a ``front``, the cheapest first, are joined by steps.
    """
    points = [
        (entry, x, values)
        for entry in report.get("models", [])
        if (x := cost(entry, against))
        and (values := scores_over(task, scored_as(report, entry["role"]), targets(report)))
    ]
    if len(points) < 2:
        return None
    means = [fmean(values) for _, _, values in points]
    least = _least_shown(means)
    labels = [
        (entry["title"], f"{formats.score(values)}{' ↓' * (mean < least)}")
        for (entry, _, values), mean in zip(points, means, strict=True)
    ]
    with rc_context(_STYLE):
        crowded = len(points) > _MOST_LABELS or bool(front)  # labels would cover the front
        figure, axes = _figure(listed=rows_of(labels) if crowded else 0)
        looks = _looks([entry["role"] for entry, _, _ in points])
        widest = 1.12 * max(x for _, x, _ in points)
        lowest, highest = _limits([values for _, _, values in points if fmean(values) >= least])
        heights, handles = [], []
        for (entry, x, values), mean in zip(points, means, strict=True):
            colour, marker = looks[entry["role"]]
            below = mean < least
            heights.append(lowest if below else mean)
            if len(values) > 1 and not below:
                axes.errorbar(x, mean, stdev(values), color=colour, capsize=4, linewidth=1.4)
                beside = offset_copy(axes.transData, figure, x=9 if 2 * x > widest else -9, units="dots")
                axes.plot([x] * len(values), values, ".", color=colour, alpha=0.6, markersize=5, transform=beside)
            fill = "none" if below else "full"
            handles += axes.plot(x, heights[-1], marker, color=colour, markersize=8, fillstyle=fill, clip_on=False)
        places = {entry["role"]: (x, y) for (entry, x, _), y in zip(points, heights, strict=True)}
        if front:
            corners = [places[role] for role in front]
            axes.plot(*zip(*corners, strict=True), "--", color=_TEXT, alpha=0.5, drawstyle="steps-post", zorder=1)
        axes.set_xlim(0, widest)
        axes.set_ylim(lowest, highest)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=2))
        axes.set_xlabel(COSTS[against])
        codes = [code for code in languages_of(task, targets(report)) if code in targets(report)]
        where = language_names(codes) if len(codes) < 4 else f"Mean of {len(codes)} languages,"
        axes.set_title(f"{where} {formats.metric(task['metric'])}, %", loc="left", fontsize=FONT)
        sides = [-1 if 2 * x > widest else 1 for _, x, _ in points]
        if crowded:
            best = np.argsort([-mean for mean in means], kind="stable")
            list_below(figure, [handles[place] for place in best], [labels[place] for place in best])
        else:
            write_beside(
                figure, axes, [(x, y) for (_, x, _), y in zip(points, heights, strict=True)], labels, sides
            )
        place = "-".join([task["name"], *targets(report)])
        name = f"{'front' if front else 'tradeoff'}-{against}-{re.sub('[^A-Za-z0-9]+', '-', place)}"
        said = f"{task['name']}: score against {against}. " + in_words(labels) + "."
        titles = {entry["role"]: entry["title"] for entry, _, _ in points}
        joined = f" On the Pareto front: {'; '.join(titles[role] for role in front)}." if front else ""
        return _svg(figure, name, said + joined)


def distillation_curve(report: Mapping[str, Any]) -> str | None:
    """Held-out loss of each language against tokens read; None with fewer than two measurements."""
    curve = (report.get("distillation") or {}).get("curve") or []
    if len(curve) < 2:
        return None
    tokens = [point["tokens"] for point in curve]
    scale, unit = _scale(max(tokens))
    languages = curve_languages(report)
    labels = [(language_name(language), f"{curve[-1][language]:.3f}") for language in languages]
    with rc_context(_STYLE):
        figure, axes = _beside(labels)
        ends, handles = [], []
        for index, language in enumerate(languages):
            losses = [point[language] for point in curve]
            # The teacher's grey is not used here: the first line, the target, has the student's colour.
            colour, marker = _look(index, 1)
            x, line = [token / scale for token in tokens], "-" if index == 0 else "--"
            axes.plot(x, losses, line, color=colour, linewidth=1.8)
            handles += axes.plot(x, losses, marker, color=colour, markersize=5, clip_on=False)
            ends.append((x[-1], losses[-1]))
        axes.set_xlim(0, tokens[-1] / scale)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(f"Tokens of general distillation, {unit}")
        axes.set_title("Loss on held-out text", loc="left", fontsize=FONT)
        _name(figure, axes, handles, ends, labels)
        return _svg(
            figure, "distillation", f"Loss on held-out text against tokens. At the end: {in_words(labels)}"
        )


def learning_curve(group: Group) -> str | None:
    """Score against tokens of general distillation, and the teacher's; None where there is no line to draw."""
    curves = learning_curves(group)
    if not curves:
        return None
    scale, unit = _scale(max(points[-1][0] for points in curves.values()))
    teachers = {fmean(scores(task, "teacher", group.target)) for _, _, task in group.members}
    labels = [(name, formats.decimal(points[-1][1])) for name, points in curves.items()]
    if len(teachers) == 1:
        labels += [("Teacher", formats.decimal(teacher)) for teacher in teachers]
    with rc_context(_STYLE):
        figure, axes = _beside(labels)
        ends, handles = [], []
        for index, points in enumerate(curves.values()):
            colour, marker = _look(index, 1)
            x, y = [tokens / scale for tokens, _ in points], [score for _, score in points]
            axes.plot(x, y, color=colour, linewidth=1.8)
            handles += axes.plot(x, y, marker, color=colour, markersize=5, clip_on=False)
            ends.append((x[-1], y[-1]))
        furthest = max(x for x, _ in ends)
        if len(teachers) == 1:
            (teacher,) = teachers
            handles.append(axes.axhline(teacher, linestyle="--", color=_SERIES[0], linewidth=1.4))
            ends.append((furthest, teacher))
        axes.set_xlim(0, furthest)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=2))
        axes.set_xlabel(f"Tokens of general distillation, {unit}")
        axes.set_title(
            f"{language_name(group.target)} {formats.metric(group.metric)}, %", loc="left", fontsize=FONT
        )
        _name(figure, axes, handles, ends, labels)
        text = f"{group.title} against tokens of general distillation. At the end: {in_words(labels)}"
        return _svg(figure, f"learning-{re.sub('[^a-z0-9]+', '-', group.title.lower())}", text)


def _least_shown(means: Sequence[float]) -> float:
    """What is further below the best than 20 points and three times the median is off the axis."""
    best = max(means)
    return best - max(20.0, 3 * (best - median(means)))


def _scale(tokens: float) -> tuple[float, str]:
    return (1e6, "millions") if tokens >= 2e6 else (1e3, "thousands")


def _limits(scores: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Of the axis: room for the seeds of each model and their standard deviation, little of it beyond 0 to 100."""
    spreads = [(fmean(seeds), stdev(seeds) if len(seeds) > 1 else 0.0) for seeds in scores]
    low = min(*(mean - spread for mean, spread in spreads), *(min(seeds) for seeds in scores))
    high = max(*(mean + spread for mean, spread in spreads), *(max(seeds) for seeds in scores))
    room = max(0.2 * (high - low), 1.5)  # a difference of nothing must not look like much
    return (
        max(low - room, -1) if low >= 0 else low - room,
        min(high + room, 101) if high <= 100 else high + room,
    )


def _look(index: int, first: int) -> tuple[str, str]:
    """Colour and marker of what has this number, from 0, the colours before ``first`` left to others.

    Each time that the colours are through, the markers are moved on by one: no two of the first fifty are alike.
    """
    turn, place = divmod(index, len(_SERIES) - first)
    return _SERIES[first + place], _MARKERS[(first + place + turn) % len(_MARKERS)]


def _looks(roles: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each: the known roles always look the same, further ones have the colours left."""
    others = [role for role in roles if role not in _ROLES]
    known = {role: _look(place, 0) for place, role in enumerate(_ROLES)}
    return known | {role: _look(index, len(_ROLES)) for index, role in enumerate(others)}


def _beside(labels: Sequence[tuple[str, str]]) -> tuple[Figure, Axes]:
    """A figure for lines with room for their labels: on the right of a few, else below."""
    return _figure(0.63) if len(labels) <= _MOST_LABELS else _figure(0.85, rows_of(labels))


def _figure(width: float = 0.88, listed: int = 0) -> tuple[Figure, Axes]:
    """Figure of 360 by 260 units: at a phone's width one unit is one pixel, so 11-unit text is readable.

    There is room below for a list of so many rows.
    """
    height = 3.6 + 0.22 * listed
    figure = Figure(figsize=(5.0, height), dpi=72)
    bottom = height - 3.6 * (1 - 0.155)
    axes = figure.add_axes((0.10, bottom / height, width, 0.75 * 3.6 / height))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    axes.tick_params(pad=5)
    return figure, axes


def _name(
    figure: Figure,
    axes: Axes,
    handles: Sequence[Any],
    ends: Sequence[tuple[float, float]],
    labels: Sequence[tuple[str, str]],
) -> None:
    """Label lines at their ends, or list them below, the highest first, as `_beside` has left room."""
    if len(labels) <= _MOST_LABELS:
        write_beside(figure, axes, ends, labels, [1] * len(ends))
        return
    order = sorted(range(len(ends)), key=lambda place: -ends[place][1])
    list_below(figure, [handles[place] for place in order], [labels[place] for place in order])


def _svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an `<svg>` element: reproducible, ids prefixed by `name`, colours of the page."""
    text = StringIO()
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": name}):
        warnings.simplefilter("ignore", UserWarning)  # glyphs that matplotlib's font lacks; the browser has them
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-")
    svg = svg.replace(_TEXT, "currentColor").replace(_RULE, "var(--rule)")
    for index, colour in enumerate(_SERIES):
        svg = svg.replace(colour, f"var(--series-{index})")
    described = f'<svg role="img" aria-label="{html.escape(description)}"'
    return re.sub(r'<svg(?: width="[^"]*"| height="[^"]*")*', lambda _: described, svg, count=1)
