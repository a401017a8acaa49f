"""The report as Markdown: the same sentence and the same tables, for an issue, a model card or a terminal."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bistil.report import comparison as side_by_side
from bistil.report import formats, tables
from bistil.report.answer import answer
from bistil.report.contents import targets, tested
from bistil.report.examples import shown_examples
from bistil.report.languages import language_name
from bistil.report.tables import Table


def markdown(report: Mapping[str, Any]) -> str:
    """The report as GitHub-flavoured Markdown; texts from the report are never mark-up."""
    found = answer(report)
    blocks = [f"# {plain(report['name'])}", f"**{plain(found.sentence)}**", plain(" ".join(found.remarks))]
    blocks += map(plain, found.problems)
    if web := report.get("web"):
        blocks.append(
            f"[Try it in the browser]({web}/index.html), opened from a file server: `python -m http.server`."
        )
    blocks += section("Students", tables.students_table(report))
    blocks += section("Scores", tables.scores_table(report))
    if len(report.get("seeds", [])) > 1 and report.get("models"):
        blocks.append(f"Scores: mean ± standard deviation over {len(report['seeds'])} seeds.")
    blocks += section("Size and speed", tables.costs_table(report))
    for own, task in tested(report):
        blocks += section(
            f"{task['name']}: confidence intervals of the differences", tables.differences_table(own, task)
        )
        blocks += _examples(task)
        for code in tables.languages_of(task, targets(own)):
            blocks += section(f"{task['name']}: labels, {language_name(code)}", tables.labels_table(task, code))
    blocks += section("General distillation", tables.distillation_table(report))
    blocks += section("Vocabulary", tables.vocabulary_table(report))
    blocks += section("Stages", tables.stages_table(report))
    if recipe := formats.yaml_text(report.get("recipe")):
        blocks += ["## Recipe", _fenced(recipe)]
    blocks += section("Environment", tables.environment_table(report))
    return "\n\n".join(block for block in blocks if block) + "\n"


def comparison_markdown(comparison: Mapping[str, Any]) -> str:
    """Several runs side by side as GitHub-flavoured Markdown, of what `compare_runs` found."""
    said = side_by_side.sentence(comparison)
    blocks = [f"# {len(comparison['runs'])} runs side by side", f"**{plain(said)}**"]
    blocks += section("Side by side", side_by_side.runs_table(comparison))
    for group in side_by_side.groups(comparison):
        blocks += section(f"{group.title}: tokens", side_by_side.curves_table(group))
    blocks += section("Differences between the recipes", side_by_side.settings_table(comparison))
    return "\n\n".join(blocks) + "\n"


def section(title: str, table: Table | None) -> list[str]:
    """A heading and a table below it; nothing for no table."""
    return [f"## {plain(title)}", _rows(table.columns, table.rows, table.labels)] if table else []


def _examples(task: Mapping[str, Any]) -> list[str]:
    shown = shown_examples(task)
    if not shown:
        return []
    who = [verdict.who for verdict in shown[0].verdicts]
    rows = [
        (example.text, example.gold, *(f"{verdict.mark}: {verdict.prediction}" for verdict in example.verdicts))
        for example in shown
    ]
    return [f"## {plain(task['name'])}: examples", _rows(("Text", "Gold", *who), rows, labels=2 + len(who))]


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]], labels: int = 1) -> str:
    ruler = ["---" if index < labels else "---:" for index in range(len(columns))]
    lines = [[plain(name) for name in columns], ruler, *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    """A text on one line in which nothing is mark-up."""
    return re.sub(r"([\\`*_\[\]<>|~#&])", r"\\\1", " ".join(text.split()))


def _fenced(text: str) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}yaml\n{text}{fence}"
