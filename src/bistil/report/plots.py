"""Plots as SVG text that takes its colours from the page, so that they adapt to light and dark mode."""

import html
import re
import textwrap
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
from bistil.report.answer import scored_as, scores, scores_over, targets
from bistil.report.comparison import Group, learning_curves
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
_FONT = 11.0
_STYLE: Any = {  # not a dict of str: matplotlib's stubs list every key
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": _FONT,
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
    with rc_context(_STYLE):
        crowded = len(points) > _MOST_LABELS or bool(front)  # labels would cover the front
        figure, axes = _figure(listed=len(points) if crowded else 0)
        roles = _series([entry["role"] for entry, _, _ in points])
        widest = 1.12 * max(x for _, x, _ in points)
        least = _least_shown([fmean(values) for _, _, values in points])
        shown = [value for _, _, values in points for value in values if fmean(values) >= least]
        room = max(0.2 * (max(shown) - min(shown)), 1.5)  # a difference of nothing must not look like much
        lowest = max(min(shown) - room, -1)
        heights, labels, handles = [], [], []
        for entry, x, values in points:
            colour, marker = _SERIES[roles[entry["role"]]], _MARKERS[roles[entry["role"]]]
            below = fmean(values) < least
            heights.append(lowest if below else fmean(values))
            labels.append(f"{entry['title']} {formats.score(values)}{' ↓' * below}")
            if len(values) > 1 and not below:
                axes.errorbar(x, fmean(values), stdev(values), color=colour, capsize=4, linewidth=1.4)
                beside = offset_copy(axes.transData, figure, x=9 if 2 * x > widest else -9, units="dots")
                axes.plot([x] * len(values), values, ".", color=colour, alpha=0.6, markersize=5, transform=beside)
            fill = "none" if below else "full"
            handles += axes.plot(x, heights[-1], marker, color=colour, markersize=8, fillstyle=fill, clip_on=False)
        places = {entry["role"]: (x, y) for (entry, x, _), y in zip(points, heights, strict=True)}
        if front:
            corners = [places[role] for role in front]
            axes.plot(*zip(*corners, strict=True), "--", color=_TEXT, alpha=0.5, drawstyle="steps-post", zorder=1)
        axes.set_xlim(0, widest)
        axes.set_ylim(lowest, min(max(shown) + room, 101))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=2))
        axes.set_xlabel(COSTS[against])
        codes = [code for code in languages_of(task, targets(report)) if code in targets(report)]
        where = language_names(codes) if len(codes) < 4 else f"Mean of {len(codes)} languages,"
        axes.set_title(f"{where} {formats.metric(task['metric'])}, %", loc="left", fontsize=_FONT)
        sides = [-1 if 2 * x > widest else 1 for _, x, _ in points]
        if crowded:
            best = np.argsort([-fmean(values) for _, _, values in points], kind="stable")
            figure.legend(
                [handles[place] for place in best],
                [textwrap.shorten(labels[place], 56, placeholder=" …") for place in best],
                loc="lower left", bbox_to_anchor=(0.0, 0.0), frameon=False, fontsize=_FONT, handlelength=1,
                labelspacing=0.35, borderaxespad=0.2,
            )  # fmt: skip
        else:
            _label(axes, [(x, y) for (_, x, _), y in zip(points, heights, strict=True)], labels, sides)
        place = "-".join([task["name"], *targets(report)])
        name = f"{'front' if front else 'tradeoff'}-{against}-{re.sub('[^A-Za-z0-9]+', '-', place)}"
        said = f"{task['name']}: score against {against}. " + "; ".join(labels) + "."
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
    with rc_context(_STYLE):
        figure, axes = _figure(0.63)  # the labels stand right of the lines
        ends, labels = [], []
        for index, language in enumerate(curve_languages(report)):
            losses = [point[language] for point in curve]
            # The teacher's grey is not used here: the first line, the target, has the student's colour.
            series = 1 + index % (len(_SERIES) - 1)
            line = "-" if index == 0 else "--"
            axes.plot([token / scale for token in tokens], losses, line, color=_SERIES[series], linewidth=1.8)
            axes.plot(
                [token / scale for token in tokens],
                losses,
                _MARKERS[series],
                color=_SERIES[series],
                markersize=5,
                clip_on=False,
            )
            ends.append((tokens[-1] / scale, losses[-1]))
            labels.append(f"{language_name(language)} {losses[-1]:.3f}")
        axes.set_xlim(0, tokens[-1] / scale)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(f"Tokens of general distillation, {unit}")
        axes.set_title("Loss on held-out text", loc="left", fontsize=_FONT)
        _label(axes, ends, labels, [1] * len(ends))
        return _svg(
            figure, "distillation", "Loss on held-out text against tokens. At the end: " + "; ".join(labels)
        )


def learning_curve(group: Group) -> str | None:
    """Score against tokens of general distillation, and the teacher's; None where there is no line to draw."""
    curves = learning_curves(group)
    if not curves:
        return None
    scale, unit = _scale(max(points[-1][0] for points in curves.values()))
    with rc_context(_STYLE):
        figure, axes = _figure(0.63)
        ends, labels = [], []
        for series, (name, points) in enumerate(curves.items(), start=1):
            shown = 1 + (series - 1) % (len(_SERIES) - 1)
            x, y = [tokens / scale for tokens, _ in points], [score for _, score in points]
            axes.plot(x, y, color=_SERIES[shown], linewidth=1.8)
            axes.plot(x, y, _MARKERS[shown], color=_SERIES[shown], markersize=5, clip_on=False)
            ends.append((x[-1], y[-1]))
            labels.append(f"{name} {y[-1]:.1f}")
        furthest = max(x for x, _ in ends)
        teachers = {fmean(scores(task, "teacher", group.target)) for _, _, task in group.members}
        if len(teachers) == 1:
            (teacher,) = teachers
            axes.axhline(teacher, linestyle="--", color=_SERIES[0], linewidth=1.4)
            ends.append((furthest, teacher))
            labels.append(f"Teacher {teacher:.1f}")
        axes.set_xlim(0, furthest)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=2))
        axes.set_xlabel(f"Tokens of general distillation, {unit}")
        axes.set_title(
            f"{language_name(group.target)} {formats.metric(group.metric)}, %", loc="left", fontsize=_FONT
        )
        _label(axes, ends, labels, [1] * len(ends))
        text = f"{group.title} against tokens of general distillation. At the end: {'; '.join(labels)}"
        return _svg(figure, f"learning-{re.sub('[^a-z0-9]+', '-', group.title.lower())}", text)


def _least_shown(means: Sequence[float]) -> float:
    """What is further below the best than 20 points and three times the median is off the axis."""
    best = max(means)
    return best - max(20.0, 3 * (best - median(means)))


def _scale(tokens: float) -> tuple[float, str]:
    return (1e6, "millions") if tokens >= 2e6 else (1e3, "thousands")


def _series(roles: Sequence[str]) -> dict[str, int]:
    """The known roles always look the same; further ones share the colours that are left."""
    others = [role for role in roles if role not in _ROLES]
    free = range(len(_ROLES), len(_SERIES))
    return {role: _ROLES.index(role) for role in roles if role in _ROLES} | {
        role: free[index % len(free)] for index, role in enumerate(others)
    }


def _figure(width: float = 0.88, listed: int = 0) -> tuple[Figure, Axes]:
    """Figure of 360 by 260 units: at a phone's width one unit is one pixel, so 11-unit text is readable.

    There is room below for a list of so many names.
    """
    height = 3.6 + 0.22 * listed
    figure = Figure(figsize=(5.0, height), dpi=72)
    bottom = height - 3.6 * (1 - 0.155)
    axes = figure.add_axes((0.10, bottom / height, width, 0.75 * 3.6 / height))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(pad=5)
    return figure, axes


def _label(axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str], sides: Sequence[int]) -> None:
    """Write labels right (1) or left (-1) of their points, moved down until they cover no label or point."""
    axes.get_ylim()  # lets pending limits settle before positions are asked for
    marks = [axes.transData.transform(point) for point in points]
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in marks]
    for (x, y), label, side in sorted(zip(marks, labels, sides, strict=True), key=lambda row: -row[0][1]):
        lines = textwrap.wrap(label, 24)
        width, height = 0.56 * _FONT * max(map(len, lines)), 1.25 * _FONT * len(lines)
        start = x + 10 if side > 0 else x - 10 - width
        middle = y
        while clash := [
            box
            for box in taken
            if start < box[2] and box[0] < start + width
            and middle - height / 2 < box[3] and box[1] < middle + height / 2
        ]:  # fmt: skip
            middle = min(box[1] for box in clash) - height / 2 - 1
        taken.append((start, middle - height / 2, start + width, middle + height / 2))
        axes.annotate(
            "\n".join(lines),
            (x + 10 * side, middle),
            xycoords="figure pixels",
            ha="left" if side > 0 else "right",
            va="center",
            annotation_clip=False,
        )


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
