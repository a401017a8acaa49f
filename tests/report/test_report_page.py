import copy
import html
import json
import re
from html.parser import HTMLParser
from statistics import fmean, stdev

import numpy as np
import pytest

from bistil.report import write_report
from bistil.report.examples import shown_examples
from bistil.report.languages import NAMES
from bistil.report.markdown import markdown
from bistil.report.page import page
from bistil.report.plots import distillation_curve, tradeoff
from bistil.report.tables import differences_table

HOSTILE = "<script>alert('a')</script> & \"quoted\" `code` $x^2$ | {{ 7 * 7 }}"


class Reader(HTMLParser):
    """Tables as lists of rows, the text of everything else, and the tags and ids that occur."""

    void = frozenset({"meta", "link", "br", "path", "use", "rect"})

    def __init__(self, text):
        super().__init__()
        self.tables, self.text, self.open, self.tags, self.ids = [], [], [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.void:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"th", "td"}:
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] in {"th", "td"}:
            self.tables[-1][-1][-1] += data


def table(reader, *columns):
    found = [rows for rows in reader.tables if set(columns) <= set(rows[0])]
    assert len(found) >= 1, columns
    return [dict(zip(found[0][0], row, strict=True)) for row in found[0][1:]]


def test_scores_in_the_page_are_those_of_the_json(sample, tmp_path):
    write_report(sample(), tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    rows = table(Reader((tmp_path / "report.html").read_text()), "Turkish accuracy")
    scores = report["tasks"][0]["scores"]
    assert [row["Model"] for row in rows] == [model["title"] for model in report["models"]]
    for row, model in zip(rows, report["models"], strict=True):
        for code, name in (("tr", "Turkish"), ("en", "English")):
            values = np.array(scores[model["role"]][code])
            assert row[f"{name} accuracy"] == f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"
            drop = np.mean(scores["teacher"][code]) - values.mean()
            assert row[f"{name}, difference to teacher"] == ("–" if model["role"] == "teacher" else f"−{drop:.1f}")


def test_size_and_speed_labels_vocabulary_and_stages(sample):
    report = sample()
    reader = Reader(page(report))
    for row, model in zip(table(reader, "Parameters"), report["models"], strict=True):
        assert row["Parameters"] == f"{model['parameters'] / 1e6:.1f} M"
        assert row["of these embeddings"] == f"{100 * model['embedding_parameters'] / model['parameters']:.0f} %"
        assert float(row["Latency p50, ms"]) == pytest.approx(model["latency_ms"]["p50"], rel=5e-3)
        assert float(row["Latency p95, ms"]) == pytest.approx(model["latency_ms"]["p95"], rel=5e-3)
        assert float(row["Texts per second"]) == pytest.approx(model["throughput"], rel=5e-3)
        assert float(row["Disk"].removesuffix(" MB")) * 1e6 == pytest.approx(model["disk_bytes"], rel=5e-3)
    labels = report["tasks"][0]["per_label"]["tr"]
    for row in table(reader, "Student F1"):
        ours, theirs = labels["student"][row["Label"]], labels["teacher"][row["Label"]]
        assert row["Student F1"] == f"{ours['f1']:.1f}"
        assert row["Teacher F1"] == f"{theirs['f1']:.1f}"
        assert float(row["Difference"].replace("−", "-")) == pytest.approx(ours["f1"] - theirs["f1"], abs=0.051)
        assert int(row["Examples"]) == ours["support"]
    assert [row["Tokens kept"] for row in table(reader, "Tokens kept")] == ["99.99 %", "99.93 %"]
    stages = table(reader, "Stage")
    assert len(stages) == len(report["stages"]) + 1
    minutes, seconds = re.fullmatch(r"(\d+) min (\d+) s", stages[-1]["Time"]).groups()
    assert 60 * int(minutes) + int(seconds) == round(sum(stage["seconds"] for stage in report["stages"]))


def test_plots_name_every_model_with_its_score(sample):
    report = sample()
    for title, scores in (("Teacher", "teacher"), ("Student", "student")):
        values = report["tasks"][0]["scores"][scores]["tr"]
        label = f"{title} {fmean(values):.1f} ± {stdev(values):.1f}"
        assert page(report).count(f">{label}</text>") == 3


def test_engines_are_in_the_plots_and_tables(sample):
    report = sample(seeds=1)
    student = next(model for model in report["models"] if model["role"] == "student")
    (task,) = report["tasks"]
    forms = [
        {"role": "student_onnx", "scored_as": "student", "engine": "onnx", "title": "Student, ONNX"},
        {"role": "student_int8", "engine": "int8", "title": "Student, int8", "disk_bytes": 21_500_000},
        {"role": "trimmed_int8", "engine": "int8", "title": "Rival", "throughput": 80.0},
    ]
    report["models"] += [student | form for form in forms]
    task["scores"] |= {"student_int8": {"tr": [75.5]}, "trimmed_int8": {"tr": [78.1]}}
    reader = Reader(page(report))
    costs = {row["Model"]: row for row in table(reader, "Disk")}
    assert costs["Student, int8"]["Disk"] == "21.5 MB"
    assert costs["Rival"]["Texts per second"] == "80.0"
    assert [row["Model"] for row in table(reader, "Turkish accuracy")] == [
        *("Teacher", "Student", "Student without general distillation", "Student, int8", "Rival")
    ]
    plain = task["scores"]["student"]["tr"][0]
    shown = page(report)
    for label in (f"Student, ONNX {plain:.1f}", "Student, int8 75.5", "Rival 78.1"):
        assert shown.count(f">{label}</text>") == 3  # against size, latency and throughput
    for axis in ("Size on disk, MB", "Latency p50 of one text, ms", "Texts per second"):
        assert f">{axis}</text>" in shown
    report["problems"] = [
        {
            "task": "definitions",
            "model": "student",
            "seed": 0,
            "missing": "int8",
            "reason": "a & b <cost> too much.",
        }
    ]
    assert "The student has no int8 form: a &amp; b &lt;cost&gt; too much." in page(report)
    assert "The student has no int8 form: a \\& b \\<cost\\> too much." in markdown(report)


def test_more_models_than_fit_beside_their_marks_are_listed_below_best_first(sample):
    report = sample(seeds=1)
    (task,) = report["tasks"]
    student = next(model for model in report["models"] if model["role"] == "student")
    for number in range(6):
        report["models"].append({**student, "role": f"other-{number}", "title": f"_model {number}"})
        task["scores"][f"other-{number}"] = {"tr": [60.0 + number]}
    found = page(report)
    plot = found[found.index("<figure>") : found.index("</figure>")]
    listed = [plot.rindex(f"_model {number} {60 + number}.0") for number in range(6)]
    assert listed == sorted(listed, reverse=True)
    assert all(f"var(--series-{series})" in plot for series in range(9))


def test_a_model_far_below_the_others_is_on_the_lower_edge_of_the_plot(sample):
    report = sample(seeds=1)
    scores = report["tasks"][0]["scores"]
    teacher, student = scores["teacher"]["tr"][0], scores["student"]["tr"][0]
    assert "↓" not in page(report)
    model = next(model for model in report["models"] if model["role"] == "student")
    report["models"].append({**model, "role": "scratch", "title": "From scratch"})
    scores["scratch"] = {"tr": [20.0]}
    found = page(report)
    assert found.count(">From scratch 20.0 ↓</text>") == 3
    assert "A hollow mark on the lower edge" in found
    plot = found[found.index("<figure>") : found.index("</figure>")]
    ticks = [int(tick) for tick in re.findall(r"text-anchor: end[^>]*>(\d+)</text>", plot)]
    assert 20 < min(ticks) < student < teacher < max(ticks) + 2


def axis(svg):
    """The vertical places at which the axes end and begin."""
    ys = [float(y) for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", svg[svg.index('patch_2"') :].split('"/>')[0])]
    return max(ys), min(ys)


@pytest.mark.parametrize("scores", [(-1.8, -10.8, -14.6), (8.0, -12.3, -30.0), (1.0, 2.0, 30.0)])
def test_marks_of_scores_below_0_are_within_their_plot(sample, scores):
    report = sample(seeds=1)
    for role, score in zip(("teacher", "student", "layer_drop"), scores, strict=True):
        report["tasks"][0]["scores"][role] = {"tr": [score]}
    svg = tradeoff(report, report["tasks"][0], "size")
    bottom, top = axis(svg)
    marks = [float(y) for y in re.findall(r'y="([\d.]+)" style="fill: var', svg)]
    assert len(marks) == 3
    assert all(top <= y <= bottom for y in marks)


def test_bars_of_standard_deviations_are_within_their_plot(sample):
    report = sample(seeds=2)
    report["models"] = report["models"][:2]
    report["tasks"][0]["scores"] = {"teacher": {"tr": [78.0, 78.0]}, "student": {"tr": [70.0, 80.0]}}
    svg = tradeoff(report, report["tasks"][0], "size")
    bottom, top = axis(svg)
    bars = re.findall(r'LineCollection_\d+">\s*<path d="M [\d.-]+ ([\d.-]+)\s+L [\d.-]+ ([\d.-]+)', svg)
    assert len(bars) == 2
    assert all(top < float(end) < bottom for bar in bars for end in bar)


def test_labels_of_many_languages_are_listed_within_their_plot(sample):
    report = sample(seeds=1)
    codes = sorted(NAMES)[:30]
    report["targets"] = codes
    for point in report["distillation"]["curve"]:
        loss = point.pop("tr")
        del point["en"]
        point |= {code: loss * (1 + number / 60) for number, code in enumerate(codes)}
    svg = distillation_curve(report)
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
    places = re.findall(r'x="([\d.-]+)" y="([\d.-]+)" transform="[^"]*">[A-Z][^<]* 0\.\d{3}</text>', svg)
    assert len(set(places)) == 30
    assert all(0 <= float(x) < width - 60 and 0 <= float(y) <= height for x, y in places)


def test_the_row_of_what_is_deployed_is_strong_in_every_language(sample):
    report = sample(seeds=1)
    student = report["models"][1]
    report["models"].append(student | {"role": "student_int8", "engine": "int8", "title": "Student, int8"})
    report["comparison"]["deployed"] = {"role": "student_int8", "smaller": 22.0, "faster": 4.0}
    report["targets"] = ["tr", "en"]
    (task,) = report["tasks"]
    task["scores"]["student_int8"] = {"tr": [75.0], "en": [88.0]}
    facts = dict.fromkeys(("difference", "retention"), 1.0)
    facts |= {f"{key}_{end}": 1.0 for key in facts for end in ("low", "high")} | {"p": 0.5}
    sides = {"against_teacher": facts, "student_against": facts}
    task["comparisons"] = {code: dict.fromkeys(("student", "student_int8"), sides) for code in ("tr", "en")}
    found = differences_table(report, task)
    assert [found.rows[row][:2] for row in found.strong] == [
        ("Turkish", "Student, int8"),
        ("English", "Student, int8"),
    ]


def test_what_was_tested_is_counted_in_the_names_that_it_has(sample):
    report = sample(seeds=1)
    assert "Tested on 1,204 Turkish and 1,000 English examples." in page(report)
    (task,) = report["tasks"]
    task |= {"name": "XNLI", "tests": {"tr": {"examples": 1}}, "differing": 1}
    assert "Tested on 1 Turkish example." in page(report)
    assert "the only one on which teacher and student differ" in page(report)
    report["tasks"].append(task | {"name": "lines", "tests": {"lines": {"examples": 50}}})
    assert "XNLI: tested on 1 Turkish example. lines: tested on 50 examples." in page(report)


def test_examples_say_right_and_wrong_in_words(sample):
    text = " ".join(" ".join(Reader(page(sample())).text).split())
    assert "atların bağlandığı ve beslendiği, üstü kapalı yer Gold place Teacher ✓ right: place" in text
    assert "Student ✗ wrong: animal" in text
    assert text.count("✗ wrong:") == 5


def test_tagged_sentences_show_gold_tags_and_the_wrong_words(sample):
    report = sample()
    gold = ["NOUN", "VERB", "PUNCT"]
    report["tasks"][0]["examples"] = [
        {"text": ["Kedi", "uyudu", "."], "gold": gold, "teacher": gold, "student": ["PROPN", "VERB", "PUNCT"]}
    ]
    text = page(report)
    assert '<ruby>Kedi<rt lang="en">NOUN</rt></ruby>' in text
    assert "all 3 words" in text
    assert "1 of 3 words: Kedi PROPN" in text


def test_words_outside_entities_have_no_tag_above_them(sample):
    report = sample()
    gold = ["O", "B-PER", "I-PER"]
    tags = {"gold": gold, "teacher": ["O", "O", "I-PER"], "student": gold}
    report["tasks"][0]["examples"] = [{"text": ["Rais", "Barack", "Obama"], **tags}]
    assert '<rt lang="en">O</rt>' in page(report)  # which in other tasks may be a label as any
    report["tasks"][0]["unmarked"] = "O"
    text = page(report)
    assert 'Rais <ruby>Barack<rt lang="en">B-PER</rt></ruby>' in text
    assert "1 of 3 words: Barack O" in text
    assert "<dt>Gold</dt>" not in text
    (row,) = (line for line in markdown(report).splitlines() if "Rais" in line)
    assert row.split(" | ")[1] == "Barack B-PER, Obama I-PER"


def test_hostile_text_stays_text(sample):
    report = sample()
    report["name"] = report["teacher"]["name"] = report["tasks"][0]["metric"] = HOSTILE
    report["tasks"][0]["examples"][0] = dict.fromkeys(("text", "gold", "teacher", "student"), HOSTILE)
    report["models"][1]["title"] = report["stages"][0]["name"] = report["recipe"]["name"] = HOSTILE
    report["environment"] = {HOSTILE: HOSTILE}
    per_label = report["tasks"][0]["per_label"]["tr"]
    for role in per_label.values():
        role[HOSTILE] = role.pop("food")
    text = page(report)
    reader = Reader(text)
    assert "script" not in reader.tags
    assert "<script" not in text
    assert "{{ 7 * 7 }}" in html.unescape(text)
    assert reader.text.count(HOSTILE) >= 6


def test_ids_are_unique_and_every_reference_has_its_target(sample):
    report = sample()
    report["tasks"].append(copy.deepcopy(report["tasks"][0]) | {"name": "again"})
    text = page(report)
    ids = Reader(text).ids
    assert len(ids) == len(set(ids)) > 0
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= set(ids)


def test_the_same_report_gives_the_same_bytes(sample):
    assert page(sample()) == page(sample())


def test_the_page_is_small_and_asks_for_nothing(sample):
    text = page(sample())
    assert len(text.encode()) < 2_000_000
    assert not re.findall(r'(?:src|href)="(?!#|data:)', text)
    assert "@import" not in text


def without(*path):
    def cut(report):
        *above, last = path
        for key in above:
            report = report[key]
        del report[last]

    return cut


def no_latency(report):
    for model in report["models"]:
        model["latency_ms"] = None


def no_layer_drop(report):
    del report["models"][2], report["tasks"][0]["scores"]["layer_drop"]


def only_the_necessary(report):
    necessary = {"name", "bistil_version", "created", "target"}
    for key in set(report) - necessary:
        del report[key]


@pytest.mark.parametrize(
    ("cut", "gone"),
    [
        (no_layer_drop, "without general distillation"),
        (no_latency, "Latency"),
        (without("distillation", "curve"), "Held-out loss"),
        (without("distillation"), "Tokens read"),
        (without("vocabulary"), "Tokens kept"),
        (without("stages"), "all stages"),
        (without("comparison"), "times smaller"),
        (without("tasks", 0, "per_label"), "Scores by label"),
        (without("tasks", 0, "per_label", "tr", "teacher"), None),
        (without("tasks", 0, "examples"), "✓ right"),
        (without("tasks", 0, "scores", "student", "tr"), "scores"),
        (without("tasks", 0, "tests"), "Tested on"),
        (without("models"), "Size and speed"),
        (without("models", 1), None),
        (without("environment"), "Environment"),
        (without("recipe"), "Recipe"),
        (only_the_necessary, "<table>"),
    ],
)
def test_a_missing_piece_is_left_out(sample, tmp_path, cut, gone):
    report = sample()
    cut(report)
    text = write_report(report, tmp_path).read_text()
    body = text[text.index("<main>") :]
    reader = Reader(text)
    if gone == "scores":
        assert "scores" not in Reader(re.search("<h1>.*?</h1>", text)[0]).text[-1]
    elif gone:
        assert gone not in body
    assert not re.search(r"\b(None|nan|inf|Undefined)\b", " ".join(reader.text))


def test_one_seed_has_no_spread(sample):
    text = page(sample(seeds=1))
    assert "±" not in text
    assert "standard deviation" not in text


def test_files_are_whole_or_absent(sample, tmp_path):
    report = sample()
    folder = tmp_path / "new" / "folder"
    assert write_report(report, folder) == folder / "report.html"
    names = sorted(path.name for path in folder.iterdir())
    assert names == [".bistil.json", "report.html", "report.json", "report.md"]
    assert json.loads((folder / "report.json").read_text()) == report


def luminance(colour):
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_colours_have_the_contrast_of_wcag_aa(sample):
    schemes = re.findall(r":root \{(.*?)\}", page(sample()), re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
        for name in ("text", "muted", "accent", "good", "bad"):
            for back in ("back", "soft"):
                assert contrast(colours[name], colours[back]) >= 4.5, (name, back)
        for series in range(6):
            assert contrast(colours[f"series-{series}"], colours["back"]) >= 3, series


def test_an_answer_may_be_right_in_other_words_than_the_gold_one():
    example = {"text": "q", "gold": "Broncos", "teacher": "The Broncos", "student": "Denver", "right": ["teacher"]}
    (shown,) = shown_examples({"examples": [example]})
    assert [verdict.right for verdict in shown.verdicts] == [True, False]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({}, "hidden states and attention"),
        ({"attention": "none"}, "hidden states"),
        ({"hidden_weight": 0, "embeddings": False, "vector_weight": 1}, "attention"),
        (
            {"hidden_weight": 0, "attention": "none", "embeddings": True, "vector_weight": 1},
            "sentence embeddings",
        ),
    ],
)
def test_what_was_matched_is_what_counted(sample, weights, said):
    report = sample()
    report["recipe"]["distill"] = weights
    assert f"to match the teacher's {said} on" in page(report)
