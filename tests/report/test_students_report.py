"""What a report says and draws of several students, on made-up numbers."""

import html
import random
import re

import pytest

from bistil.exporting.card import card
from bistil.report.answer import answer
from bistil.report.markdown import markdown
from bistil.report.page import page
from bistil.report.pareto import front, fronts
from bistil.report.tables import distillation_table, students_table


@pytest.fixture
def several(sample):
    """Three students of which the second was good enough, and a fourth, <b>, that was not made."""
    report = sample()
    teacher, student, dropped = report["models"]
    student |= {"student": "half", "title": "Student half"}
    thin = student | {"role": "thin:student", "student": "thin", "title": "Student thin", "disk_bytes": 40_000_000}
    thin["latency_ms"] = {"p50": 9.9, "p95": 11.0}
    report["models"] = [teacher, student, thin, dropped]
    report["tasks"][0]["scores"]["thin:student"] = {"tr": [72.0] * 3, "en": [80.0] * 3}
    made = {
        "thin": {"role": "thin:student", "layers": [12], "drop": 6.4, "drop_high": 8.1},
        "half": {"role": "student", "layers": [2, 4, 6, 8, 10, 12], "drop": 2.5, "drop_high": 3.3},
    }
    report["students"] = {"published": "half", "max_drop": 4.0, "within": True, "made": made, "not_made": ["wide"]}
    report["students"]["fronts"] = fronts(report)
    return report


def on_the_front(points):
    """By the definition."""
    return {
        name
        for name, (cost, score) in points.items()
        if not any(a <= cost and b >= score and (a, b) != (cost, score) for a, b in points.values())
    }


def test_a_front_is_that_of_brute_force_also_with_ties():
    chance = random.Random(0)
    for _ in range(500):
        points = {
            str(number): (chance.randint(1, 5), chance.randint(1, 5)) for number in range(chance.randint(1, 8))
        }
        found = front(points)
        assert set(found) == on_the_front(points)
        assert [points[name][0] for name in found] == sorted(points[name][0] for name in found)


def test_the_sentence_names_the_student_and_its_rank(several):
    said = answer(several)
    assert said.sentence.startswith(
        "Of 3 students, “half” is the smallest within 4.0 points of the teacher: 5.5 times smaller and 2.1 times "
        "faster than the teacher, and scores "
    )
    assert said.remarks[0] == "“wide” was not made, because a smaller student is good enough."
    several["students"] |= {"within": False, "not_made": []}
    assert answer(several).sentence.startswith(
        "None of 2 students is within 4.0 points of the teacher; “half”, which loses least, is 5.5 times smaller"
    )
    several["students"] |= {"max_drop": 1.0, "within": True}
    assert " within 1.0 point of the teacher: " in answer(several).sentence
    del several["students"]["max_drop"]
    assert answer(several).sentence.startswith("“half”, the first of 2 students, is 5.5 times smaller")
    assert "fresh" not in " ".join(answer(several).remarks)
    del several["students"]["made"]["thin"]
    assert answer(several).sentence.startswith("Your Turkish classification model is")


def test_several_tasks_have_a_sentence_each(several):
    several["tasks"] = [several["tasks"][0], several["tasks"][0] | {"name": "topics"}]
    several["students"]["fronts"] = fronts(several)
    sentence = answer(several).sentence
    assert "within 4.0 points of the teacher: 5.5 times smaller and 2.1 times faster than the teacher." in sentence
    assert "topics: 2." in sentence
    assert "<h3>topics</h3>" in page(several)
    assert students_table(several).rows[0][-1].startswith("definitions: size")


def test_page_and_markdown_have_the_same_table(several):
    written, shown = markdown(several), html.unescape(page(several))
    table = students_table(several)
    assert table.rows == (
        ("thin", "1", "−6.4", "−8.1", "size"),
        ("half", "6", "−2.5", "−3.3", "size and latency"),
        ("wide", "–", "–", "–", "not made"),
    )
    assert table.strong == (1,)
    for row in table.rows:
        assert f"| {' | '.join(row)} |" in written
        assert row[0] in shown
    assert "which may be at most 4.0 below 0" in shown


def test_the_figures_draw_the_front_and_say_it(several):
    plots = re.findall(r'<svg role="img" aria-label="([^"]*)".*?</svg>', page(several), re.DOTALL)
    size, latency = (html.unescape(label) for label in plots if "Pareto" in label)
    assert size.endswith("On the Pareto front: Student thin; Student half; Teacher.")
    assert latency.endswith("On the Pareto front: Student half; Teacher.")
    assert "layer_drop" not in size
    assert "Pareto" not in page({key: value for key, value in several.items() if key != "students"})


def test_a_card_is_of_the_published_student_alone(several):
    several["recipe"] |= {"students": {"half": {"hidden_size": 256}, "thin": {"hidden_size": 128}}}
    several["models"].append(
        several["models"][2] | {"role": "thin:student_int8", "title": "Student thin, int8", "engine": "int8"}
    )
    text = card(several, "definitions")
    assert "This Turkish classification model is 5.5 times smaller" in text
    assert "of the teacher's 12, with hidden size 256." in text
    assert "chosen among several students by these test files" in text
    assert "thin" not in text


def test_tables_and_cards_say_how_narrow_a_student_is(several):
    """What a budget chose stands in no recipe."""
    chosen = {"layers": [1, 4, 8, 12], "intermediate_size": 1024, "hidden_size": 256}
    several["recipe"] |= {"students": {"half": {"budget": 0.3}, "thin": {"budget": 0.2}}}
    several["student"] = chosen
    several["students"]["made"]["half"] |= chosen
    several["students"]["made"]["thin"] |= {"intermediate_size": 384, "hidden_size": None}
    rows = {row[0]: row[1] for row in students_table(several).rows}
    assert rows == {
        "thin": "1, feed-forward size 384",
        "half": "4, hidden size 256, feed-forward size 1,024",
        "wide": "–",
    }
    kept = dict(distillation_table(several).rows)["Teacher layers kept"]
    assert kept == "1, 4, 8, 12 of 12; hidden size 256; feed-forward size 1,024"
    words = "layers 1, 4, 8, 12 of the teacher's 12, with hidden size 256 and feed-forward size 1,024."
    assert words in card(several, "definitions")
    # a report of an earlier release has what its recipe gives
    several["recipe"]["students"]["thin"] = {"layers": 1, "intermediate_size": 8}
    del several["students"]["made"]["thin"]["intermediate_size"]
    assert students_table(several).rows[0][1] == "1, feed-forward size 8"


def test_names_are_never_mark_up(several):
    hostile = "a_b.c-d"
    several["students"] |= {"published": hostile}
    several["students"]["made"] = {hostile: several["students"]["made"]["half"]}
    assert hostile in page(several)
    assert r"a\_b.c-d" in markdown(several)
