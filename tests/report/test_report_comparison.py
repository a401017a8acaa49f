import copy
import json
import re
from statistics import fmean

import pytest
from test_report_page import Reader, table

from bistil.report import write_comparison
from bistil.report.comparison import compare_runs, groups, learning_curves, runs_table, sentence, settings_table
from bistil.report.page import comparison_page
from bistil.report.plots import tradeoff

HOSTILE = "<script>alert('a')</script> | {{ 7 * 7 }}"


@pytest.fixture
def reports(sample):
    """Three runs that differ in tokens, the last in layers as well."""

    def changed(tokens, points, layers):
        report = copy.deepcopy(sample())
        report["distillation"]["tokens"] = tokens
        report["student"]["layers"] = layers
        report["recipe"] |= {"distill": {"tokens": tokens}, "student": {"layers": layers}, "name": f"run-{tokens}"}
        scores = report["tasks"][0]["scores"]["student"]
        scores["tr"] = [score + points for score in scores["tr"]]
        return report

    halves, thirds = [2, 4, 6, 8, 10, 12], [3, 6, 9, 12]
    made = {"short": changed(100_000, -3, halves), "long": changed(900_000, 1, halves)}
    made["small"] = changed(900_000, -1, thirds)
    made["small"]["models"][1] |= {"parameters": 15_000_000, "latency_ms": {"p50": 4.0, "p95": 5.0}}
    return made


def student(report):
    return fmean(report["tasks"][0]["scores"]["student"]["tr"])


def test_sentence_names_the_best_and_the_smallest(reports):
    said = sentence(compare_runs(reports))
    assert said.startswith("Of 3 Turkish classification models long scores best: 7")
    assert "; small is the smallest: 15.0 M parameters, " in said
    teacher = fmean(reports["small"]["tasks"][0]["scores"]["teacher"]["tr"])
    assert said.endswith(f"{teacher - student(reports['small']):.1f} points lower than its teacher.")


def test_runs_that_score_the_same_have_no_winner(reports):
    score = f"{student(reports['long']):.1f}"
    teacher = fmean(reports["long"]["tasks"][0]["scores"]["teacher"]["tr"])
    lower = f"{teacher - student(reports['long']):.1f} points lower than their teachers."
    same = {"a": reports["long"], "b": reports["long"]}
    assert sentence(compare_runs(same)) == (
        f"2 Turkish classification models score the same: {score} accuracy, {lower}"
    )
    three = compare_runs({"short": reports["short"], **same})
    assert sentence(three) == f"Of 3 Turkish classification models a and b score best: {score} accuracy, {lower}"


def test_a_score_below_0_is_no_share_of_the_teachers(reports):
    reports["short"]["tasks"][0]["scores"]["student"]["tr"] = [-20.0] * 3
    found = runs_table(compare_runs(reports))
    row = dict(zip(found.columns, found.rows[0], strict=True))
    assert (row["Student"], row["Retained"]) == ("−20.0 ± 0.0", "–")


def test_two_dozen_runs_look_different_and_keep_their_scores(sample):
    runs = {}
    for number in range(24):
        report = sample(seeds=1)
        report["tasks"][0]["scores"]["student"] = {"tr": [50.0 + number]}
        runs[f"{'verylong' * 12} {number}"] = report
    (group,) = groups(compare_runs(runs))
    found = tradeoff(group.report, group.report["tasks"][0], "size")
    listed = re.findall(r">verylong[^<]*… (\d+\.0)</text>", found)
    assert listed == [f"{50.0 + number}" for number in reversed(range(24))]
    shapes = dict(re.findall(r'<path id="[^"]*?(m[0-9a-f]{10})" d="([^"]*)"', found))
    uses = re.findall(r'xlink:href="#[^"]*?(m[0-9a-f]{10})" [^>]*style="fill: (var\(--series-\d\))', found)
    looks = {(shapes[name], colour) for name, colour in uses}
    assert len(looks) == 25  # with the teacher


def test_sentence_of_runs_that_have_little_in_common(reports):
    reports["small"]["target"] = "en"
    said = sentence(compare_runs(reports))
    kept = [
        100 * fmean(scores["student"][code]) / fmean(scores["teacher"][code])
        for code, scores in ((one["target"], one["tasks"][0]["scores"]) for one in reports.values())
    ]
    assert said == f"3 runs side by side: {min(kept):.1f} to {max(kept):.1f} % of the teacher scores retained."
    reports["small"]["tasks"][0]["scores"]["student"]["en"] = [0.0]
    assert sentence(compare_runs(reports)).startswith("3 runs side by side: 0.0 to ")
    reports["small"]["tasks"] = []
    assert len(groups(compare_runs(reports))) == 1
    assert sentence(compare_runs(dict.fromkeys(("a", "b"), reports["small"]))) == "2 runs side by side."


def test_table_leaves_out_what_all_runs_share(reports):
    found = runs_table(compare_runs(reports))
    assert found.columns[:4] == ("Run", "Teacher", "Student", "Difference")
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    assert [row["Tokens distilled"] for row in rows] == ["100,000", "900,000", "900,000"]
    assert [row["Layers"] for row in rows] == ["6", "6", "4"]
    assert rows[0]["Student"].startswith(f"{student(reports['short']):.1f} ± ")
    reports["small"]["source"] = "de"
    assert runs_table(compare_runs(reports)).columns[:2] == ("Run", "Languages")


def test_settings_are_those_that_differ(reports):
    found = settings_table(compare_runs(reports))
    assert found.columns == ("Setting", "short", "long", "small")
    assert {row[0]: row[1:] for row in found.rows} == {
        "distill.tokens": ("100000", "900000", "900000"),
        "student.layers": ("[2, 4, 6, 8, 10, 12]", "[2, 4, 6, 8, 10, 12]", "[3, 6, 9, 12]"),
    }
    assert settings_table(compare_runs({"a": reports["long"], "b": reports["long"]})) is None


def test_runs_that_differ_in_tokens_alone_are_one_line(reports):
    (group,) = groups(compare_runs(reports))
    without = fmean(reports["long"]["tasks"][0]["scores"]["layer_drop"]["tr"])
    assert learning_curves(group) == {
        "6 layers": [(0, without), (100_000, student(reports["short"])), (900_000, student(reports["long"]))],
        "4 layers": [(0, without), (900_000, student(reports["small"]))],
    }
    for report in reports.values():
        del report["tasks"][0]["scores"]["layer_drop"]
    (group,) = groups(compare_runs(reports))
    assert list(learning_curves(group)) == ["6 layers"]


def test_students_of_other_shapes_are_other_lines_also_of_one_recipe(reports):
    """What a budget measured, or which of several was chosen, stands in no recipe."""
    for report in reports.values():
        report["recipe"]["student"] = {"budget": 0.5}
        report["student"] = {"layers": [1, 6, 12], "intermediate_size": None, "hidden_size": None}
    first, second = (fmean(reports[run]["tasks"][0]["scores"]["layer_drop"]["tr"]) for run in ("short", "small"))
    long, short, small = (student(reports[run]) for run in ("long", "short", "small"))
    reports["small"]["distillation"]["tokens"] = 500_000

    def found():
        comparison = compare_runs(reports)
        (group,) = groups(comparison)
        table = runs_table(comparison)
        layers = table.columns.index("Layers") if "Layers" in table.columns else None
        return learning_curves(group), layers and [row[layers] for row in table.rows]

    one = [(0, first), (100_000, short), (500_000, small), (900_000, long)]
    assert found() == ({"3 layers": one}, None)
    reports["small"]["student"]["intermediate_size"] = 1024
    two, alone = [(0, first), (100_000, short), (900_000, long)], [(0, second), (500_000, small)]
    shapes = {"3 layers": two, "3 layers, feed-forward size 1,024": alone}
    assert found() == (shapes, ["3", "3", "3, feed-forward size 1,024"])
    reports["small"]["student"] |= {"layers": [1, 8, 12], "intermediate_size": None}
    assert found() == ({"long": two, "small": alone}, None)


def test_numbers_of_the_page_are_those_of_the_json(reports, tmp_path):
    page = write_comparison(reports, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".bistil.json",
        "comparison.html",
        "comparison.json",
        "comparison.md",
    ]
    kept = json.loads((tmp_path / "comparison.json").read_text())["runs"]
    reader = Reader(page.read_text())
    assert len(set(reader.ids)) == len(reader.ids)
    assert page.stat().st_size < 2_000_000
    for run, row in zip(kept, table(reader, "Run", "Retained"), strict=True):
        ours, theirs = (fmean(run["tasks"][0]["scores"][role]["tr"]) for role in ("student", "teacher"))
        assert row["Retained"] == f"{100 * ours / theirs:.1f} %"
        assert row["Times smaller"] == f"{run['comparison']['smaller']:.2f}"
    assert reader.tags.count("svg") == 4  # size, latency, throughput, tokens
    assert "6 layers" in page.read_text()


def test_labels_are_text(reports):
    text = comparison_page(compare_runs({HOSTILE: reports["long"], "b": reports["short"]}))
    assert "<script" not in text
    assert "{{ 7 * 7 }}" in "".join(Reader(text).text)
