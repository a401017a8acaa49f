"""A run of sentence embeddings on a tiny teacher: its scores, what it publishes, its report, what is refused."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from transformers import AutoTokenizer

import bistil
from bistil.cli import main
from bistil.errors import BistilError
from bistil.exporting.card import card, write_cards
from bistil.models.e5 import POOLING
from bistil.pipeline.runs import Run, run
from bistil.planning.estimate import estimate
from bistil.planning.samples import Samples
from bistil.planning.walk import walk
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.report.markdown import markdown
from bistil.report.page import page

PAIRS = 50


@pytest.fixture(scope="module")
def recipe(experiment, tiny_lines, tmp_path_factory):
    made = tmp_path_factory.mktemp("embeddings")
    shutil.copytree(experiment["teacher"], made / "teacher")
    POOLING.save(made / "teacher", 32)
    for code, lines in tiny_lines.items():
        (made / f"pairs.{code}").write_text("\n".join(lines[:PAIRS]), encoding="utf-8")
    rows = zip(tiny_lines["en"][:40], tiny_lines["en"][40:80], strict=True)
    (made / "alike.tsv").write_text("".join(f"{a}\t{b}\t{n % 7}\n" for n, (a, b) in enumerate(rows)))
    return {
        **{key: experiment[key] for key in ("source", "target")},
        "name": "tiny",
        "teacher": str(made / "teacher"),
        "distill": {"embeddings": True, "tokens": 2048, "sequence_length": 16},
        "embeddings": {
            "test": {
                "lines": [str(made / f"pairs.{code}") for code in tiny_lines],
                "alike": str(made / "alike.tsv"),
            }
        },
        "export": {"tolerance": 5.0},
        "out": str(made / "out"),
    }


@pytest.fixture(scope="module")
def finished(recipe) -> Run:
    return run(Recipe.model_validate(recipe), Progress(io.StringIO()))


def scores(report, test: str, role: str) -> list[float]:
    (found,) = (one for one in report["embeddings"] if one["name"] == test)
    return found["scores"][role][test]


def test_scores_are_those_of_the_models_left_behind(finished, recipe, tiny_lines):
    student = finished.output_dir / "student"
    rows = Path(recipe["embeddings"]["test"]["alike"]).read_text(encoding="utf-8").splitlines()
    gold = [float(row.split("\t")[2]) for row in rows]
    models = {
        "teacher": bistil.load(recipe["teacher"]),
        "student": bistil.load(student, engine="torch"),
        "student_int8": bistil.load(student, engine="int8"),
    }
    for role, model in models.items():
        ones, others = (model.encode(tiny_lines[code][:PAIRS], "query") for code in ("en", "tr"))
        cosines = ones @ others.T
        found = [(cosines.argmax(axis) == np.arange(PAIRS)).mean() for axis in (0, 1)]
        assert scores(finished.report, "lines", role) == pytest.approx([100 * np.mean(found)]), role
        first, second = (model.encode([row.split("\t")[side] for row in rows], "query") for side in (0, 1))
        rho = stats.spearmanr(gold, (first * second).sum(1)).statistic
        assert scores(finished.report, "alike", role) == pytest.approx([100 * rho], abs=0.5), role


def test_the_plan_is_of_the_stages_that_a_run_makes(finished, recipe, tiny_lines, tmp_path):
    with walk(Recipe.model_validate(recipe)) as found:
        assert all(step.reused for step in found.steps)
        names = [step.title for step in found.steps]
    assert names == [stage["name"] for stage in finished.report["stages"]]
    with walk(Recipe.model_validate({**recipe, "out": str(tmp_path)})) as found:
        works = [(step, work) for step, work in estimate(found, Samples()).works if not step.reused]
        texts = found.texts
    assert len(works) == len(names)
    alike = [text for pair in zip(tiny_lines["en"][:40], tiny_lines["en"][40:80], strict=True) for text in pair]
    assert sorted(texts) == sorted([*tiny_lines["en"][:PAIRS], *tiny_lines["tr"][:PAIRS], *alike])
    tokens = {step.title: work.tokens for step, work in works}
    tokenizer = AutoTokenizer.from_pretrained(recipe["teacher"])
    assert tokens["Evaluating: student"] == pytest.approx(
        sum(map(len, tokenizer(list(texts))["input_ids"])), rel=0.1
    )
    flops = {step.title: work.flops for step, work in works}
    assert flops["Evaluating: teacher"] > flops["Evaluating: student"] > 0
    assert flops["General distillation"] > 0


def test_a_run_is_planned_before_its_tests_are_there(recipe, tmp_path):
    (tmp_path / "topics.tsv").write_text("text\tlabel\nkedi\tcat\n", encoding="utf-8")
    tests = {
        **recipe["embeddings"]["test"],
        "more": [recipe["embeddings"]["test"]["lines"][0], str(tmp_path / "none.tr")],
        "topics": str(tmp_path / "topics.tsv"),
    }
    own = {"test": tests, "train": {"topics": str(tmp_path / "none.tsv")}}
    with walk(Recipe.model_validate({**recipe, "embeddings": own, "out": str(tmp_path / "out")})) as found:
        works = {step.name: work for step, work in estimate(found, Samples()).works}
        with walk(Recipe.model_validate({**recipe, "out": str(tmp_path / "out")})) as whole:
            assert [step.title for step in found.steps] == [step.title for step in whole.steps]
    assert found.notes == (
        "embeddings.test.more, embeddings.train.topics not there yet; what scoring costs is not known.",
    )
    assert works["embeddings-evaluation"].flops is works["embeddings-export"].flops is None
    assert works["distill"].flops > 0


def test_differences_are_those_of_compare(finished, recipe):
    files = recipe["embeddings"]["test"]["lines"]
    found = bistil.compare(
        bistil.load(finished.output_dir / "student", engine="torch"), recipe["teacher"], test=files, progress=False
    )
    own = finished.report["embeddings"][0]["comparisons"]["lines"]["student"]["against_teacher"]
    assert own == pytest.approx(vars(found.differences["test"]))


def test_counts_are_of_the_models_that_are_named(finished, recipe):
    by_role = {entry["role"]: entry for entry in finished.report["models"]}
    assert [*by_role] == ["teacher", "student", "layer_drop", "student_onnx", "student_int8", "trimmed_int8"]
    assert by_role["teacher"]["parameters"] == bistil.load(recipe["teacher"]).network.num_parameters()
    student = bistil.load(finished.output_dir / "student", engine="torch").network
    assert by_role["student_int8"]["parameters"] == student.num_parameters()
    assert [by_role[role]["layers"] for role in ("student", "trimmed_int8")] == [2, 4]
    assert by_role["layer_drop"]["title"] == "Student without general distillation"
    assert by_role["trimmed_int8"]["title"] == "Teacher, trimmed, int8"


def test_the_student_is_published_for_sentence_transformers(finished):
    folder = finished.output_dir / "student"
    assert {"modules.json", "1_Pooling/config.json", "onnx/model.onnx", "onnx/model_quantized.onnx"} <= {
        path.relative_to(folder).as_posix() for path in folder.rglob("*")
    }
    sentence_transformers = pytest.importorskip("sentence_transformers", reason="sentence-transformers is missing")
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(["Komşum okuyor."])
    assert bistil.load(folder, engine="torch").encode(["Komşum okuyor."]) == pytest.approx(theirs, abs=1e-5)


def test_the_report_says_it_in_words_and_tables(finished):
    report = json.loads((finished.output_dir / "report.json").read_text(encoding="utf-8"))
    own = scores(report, "lines", "student_int8")[0]
    found = f"lines: finds {own:.1f} % of pairs (the teacher {scores(report, 'lines', 'teacher')[0]:.1f};"
    for text in (repr(finished), markdown(report).replace("\\", "")):
        assert "Your English–Turkish embedding model in int8 is " in text
        assert found in text
    html = page(report)
    assert html == (finished.output_dir / "report.html").read_text(encoding="utf-8")
    assert "lines: score and cost" in html
    assert "to match the teacher's hidden states, attention and sentence embeddings on" in html
    assert "Task teacher" not in html
    assert f"Tested on {PAIRS}" not in html  # of several tests each has its name
    assert f"lines: tested on {PAIRS} examples." in html


def test_the_card_has_the_scores_and_can_be_written_again(finished):
    report, place = finished.report, finished.output_dir / "student/README.md"
    before = place.read_text(encoding="utf-8")
    assert "| lines, accuracy at 1 | pairs.en, pairs.tr | 50 |" in before
    assert "task" not in before.split("## Scores")[1].split("##")[0].lower()
    assert "cosine" in before
    assert "match the teacher's hidden states, attention and sentence embeddings on" in before
    write_cards(report, finished.output_dir)
    assert place.read_text(encoding="utf-8") == before
    assert card(report) != before  # without what the export found


def test_runs_side_by_side(finished, tmp_path, capsys):
    other = shutil.copytree(finished.output_dir, tmp_path / "other", ignore=shutil.ignore_patterns("stages"))
    report = json.loads((other / "report.json").read_text(encoding="utf-8"))
    report["distillation"]["tokens"] = report["recipe"]["distill"]["tokens"] = 4096
    (other / "report.json").write_text(json.dumps(report), encoding="utf-8")
    with pytest.raises(SystemExit, match="0"):
        main(["report", str(finished.output_dir), str(other), "--out", str(tmp_path / "compared")])
    told = (tmp_path / "compared/comparison.md").read_text(encoding="utf-8")
    kept = [
        100 * scores(report, test, "student")[0] / scores(report, test, "teacher")[0]
        for test in ("lines", "alike")
        if min(scores(report, test, role)[0] for role in ("student", "teacher")) > 0  # a correlation may be below
    ]
    ends = " to ".join(dict.fromkeys(f"{end:.1f}" for end in (min(kept), max(kept))))
    assert f"2 runs side by side: {ends} % of the teacher scores retained." in told
    rows = [line for line in told.splitlines() if line.startswith("| other | alike, Spearman's ρ | ")]
    assert len(rows) == 1
    assert f" {scores(report, 'alike', 'student')[0]:.1f} ".replace("-", "−") in rows[0]
    html = (tmp_path / "compared/comparison.html").read_text(encoding="utf-8")
    assert "<h2>lines, accuracy at 1</h2>" in html
    report["embeddings"] = report["embeddings"][:1]  # of one test alone the sentence says which run is best
    for number in (0, 1):
        (other / f"{number}.json").write_text(json.dumps(report), encoding="utf-8")
    with pytest.raises(SystemExit, match="0"):
        main(["report", str(other / "0.json"), str(other / "1.json"), "--out", str(tmp_path / "one")])
    told = (tmp_path / "one/comparison.md").read_text(encoding="utf-8")
    assert "2 English–Turkish embedding models score the same: " in told.replace("\\", "")
    with pytest.raises(SystemExit, match="0"):
        main(["report", str(other)])  # writes the pages of one again


def test_a_run_of_embeddings_has_no_tasks_to_teach(recipe, tmp_path, capsys):
    own = tmp_path / "recipe.yaml"
    own.write_text(json.dumps(recipe), encoding="utf-8")
    assert main(["teach", str(own)]) == 2
    assert "has no tasks" in capsys.readouterr().err


def test_a_second_run_computes_nothing(finished, recipe):
    stream = io.StringIO()
    again = run(Recipe.model_validate(recipe), Progress(stream))
    done = [line for line in stream.getvalue().splitlines() if "done in" in line]
    assert [line.split(":")[0] for line in done] == ["Fetching the teacher"]
    assert again.report["embeddings"] == finished.report["embeddings"]


def test_scores_alone_are_made_anew_for_another_test(finished, recipe, tmp_path):
    stream = io.StringIO()
    own = recipe["embeddings"]["test"]["lines"]
    alone = {**recipe, "embeddings": {"test": {"back": own[::-1]}}, "export": None, "baselines": []}
    report = run(Recipe.model_validate(alone), Progress(stream)).report
    done = [line.split(":")[0] for line in stream.getvalue().splitlines() if "done in" in line]
    assert done == ["Fetching the teacher", *["Evaluating"] * 2, "Measuring size and speed"]
    assert [entry["role"] for entry in report["models"]] == ["teacher", "student"]
    assert scores(report, "back", "student") == scores(finished.report, "lines", "student")


def test_scores_are_made_anew_for_each_file_of_a_test_and_for_their_order(recipe, tmp_path):
    def made(*files):
        with walk(Recipe.model_validate({**recipe, "embeddings": {"test": {"lines": files}}})) as found:
            names = ("embeddings-evaluation", "embeddings-export")
            return {step.folder.fingerprint for step in found.steps if step.name in names}

    one, other = recipe["embeddings"]["test"]["lines"]
    third = tmp_path / "pairs.de"
    third.write_bytes(Path(other).read_bytes() + b"\n")
    kinds = [made(one, other), made(other, one), made(str(third), other), made(one, str(third))]
    assert [len(own) for own in kinds] == [5] * 4
    assert len(set[str]().union(*kinds)) == 20


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"distill": {"tokens": 64}}, "set distill.embeddings to true"),
        ({"students": {"one": {"layers": 1}, "two": {"layers": 2}}}, "embeddings is for one"),
        ({"baselines": ["scratch"]}, "the baseline scratch is for tasks"),
        ({"export": {"web": True}}, "export.web is a page for tasks"),
        ({"embeddings": {"test": {}}}, "embeddings.test"),
        ({"embeddings": {"test": {"a": "a.tsv"}, "train": {"b": "b.tsv"}}}, "train has b, which is no test"),
        ({"embeddings": {"test": {"a": "a.tsv", "A": "b.tsv"}}}, "names of tests must differ"),
    ],
)
def test_recipes_that_cannot_be(recipe, changes, told):
    with pytest.raises(BistilError) as error:
        Recipe.checked({**recipe, **changes})
    assert told in str(error.value)


def test_tasks_and_embeddings_are_two_recipes(recipe, experiment):
    with pytest.raises(BistilError, match="put them into two recipes"):
        Recipe.checked({**recipe, "tasks": experiment["tasks"]})


def test_what_is_wrong_with_a_test_is_said_before_anything_runs(recipe, tmp_path):
    (tmp_path / "short.txt").write_text("one line\n")
    longer = recipe["embeddings"]["test"]["lines"][0]
    for files, told in (
        ([longer, str(tmp_path / "none.txt")], "embeddings.test.lines: there is no file"),
        ([longer, str(tmp_path / "short.txt")], "50 lines and"),
    ):
        own = {**recipe, "embeddings": {"test": {"lines": files}}, "out": str(tmp_path / "out")}
        with pytest.raises(BistilError, match=told):
            run(Recipe.checked(own), Progress(io.StringIO()))
        assert not [*(tmp_path / "out").glob("stages/[a-z]*")]
