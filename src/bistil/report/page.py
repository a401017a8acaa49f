"""The HTML page: one file, no script, nothing fetched."""

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from bistil.report import comparison as side_by_side
from bistil.report import fleet, formats, plots, tables
from bistil.report.answer import answer
from bistil.report.contents import targets, tested
from bistil.report.examples import shown_examples
from bistil.report.languages import language_name, language_names, many_languages
from bistil.report.pareto import FRONTS


def page(report: Mapping[str, Any]) -> str:
    """The report as one HTML document. Everything that comes from the report is escaped."""
    found = answer(report)
    return _template("page.html.jinja").render(
        report=report,
        targets=targets(report),
        seeds=len(report.get("seeds", [])),
        answer=found,
        sentence=_emphasised(found.sentence, found.phrases),
        students=tables.students_table(report),
        scores=tables.scores_table(report),
        costs=tables.costs_table(report),
        tasks=[_task(own, task) for own, task in tested(report)],
        distillation=tables.distillation_table(report),
        matched=tables.matched(report),
        curve=_inline(plots.distillation_curve(report)),
        vocabulary=tables.vocabulary_table(report),
        stages=tables.stages_table(report),
        environment=tables.environment_table(report),
        recipe=formats.yaml_text(report.get("recipe")),
    )


def comparison_page(comparison: Mapping[str, Any]) -> str:
    """Several runs side by side as one HTML document, of what `compare_runs` found."""
    return _template("comparison.html.jinja").render(
        comparison=comparison,
        sentence=side_by_side.sentence(comparison),
        runs=side_by_side.runs_table(comparison),
        groups=[_group(group) for group in side_by_side.groups(comparison)],
        settings=side_by_side.settings_table(comparison),
    )


def fleet_page(summary: Mapping[str, Any]) -> str:
    """Many recipes as one HTML document, of what `summarise` found."""
    return _template("fleet.html.jinja").render(
        summary=summary,
        sentence=fleet.sentence(summary),
        columns=fleet.columns_of(summary),
        rows=fleet.heat_table(summary),
        scores=fleet.scores_table(summary),
        costs=fleet.costs_table(summary),
        work=fleet.work_table(summary),
    )


def _template(name: str) -> Template:
    jinja = Environment(
        loader=PackageLoader("bistil.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    named = (language_name, language_names, many_languages, formats.signed)
    jinja.filters |= {one.__name__: one for one in named}
    return jinja.get_template(name)


def _group(group: side_by_side.Group) -> dict[str, Any]:
    report = group.report
    costs = [plots.tradeoff(report, report["tasks"][0], against) for against in plots.COSTS]
    drawn = [*costs, plots.learning_curve(group)] if len(group.members) > 1 else []
    return {"title": group.title, "costs": any(costs), "plots": [_inline(plot) for plot in drawn if plot]}


def _task(report: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    drawn = [_inline(plots.tradeoff(report, task, against)) for against in plots.COSTS]
    fronts = [_inline(plots.students_front(report, task, against)) for against in FRONTS]
    labels = [(code, tables.labels_table(task, code)) for code in tables.languages_of(task, targets(report))]
    return {
        "name": task["name"],
        "plots": [plot for plot in drawn if plot],
        "fronts": [plot for plot in fronts if plot],
        "labels": [(code, table) for code, table in labels if table],
        "differences": tables.differences_table(report, task),
        "examples": shown_examples(task),
        "tests": _tests(task),
        "language": task.get("shown", report["target"]),
        "differing": task.get("differing"),
    }


def _tests(task: Mapping[str, Any]) -> str:
    """What a task was tested on: ``1,204 Turkish and 1,000 English examples``."""
    counts = {code: test["examples"] for code, test in task.get("tests", {}).items()}
    # a test of embeddings is of no one language
    names = {code: "" if code == task["name"] else f" {language_name(code)}" for code in counts}
    tested_on = formats.joined([f"{count:,}{names[code]}" for code, count in counts.items()])
    return f"{tested_on} example{'' if [*counts.values()] == [1] else 's'}" if counts else ""


def _inline(svg: str | None) -> Markup | None:
    return Markup(svg) if svg else None  # matplotlib has escaped every text in it


def _emphasised(sentence: str, phrases: tuple[str, ...]) -> Markup:
    longest_first = sorted((re.escape(str(escape(phrase))) for phrase in phrases), key=len, reverse=True)
    if not longest_first:
        return escape(sentence)
    return Markup(re.sub("|".join(longest_first), r"<em>\g<0></em>", str(escape(sentence))))
