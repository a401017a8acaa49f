"""Several students in one recipe: each is that of a recipe of its own, and the choice is what the report says."""

import io
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from transformers import AutoConfig
from typer.testing import CliRunner

import bistil
from bistil.cli import app
from bistil.errors import BistilError
from bistil.evaluation import efficiency
from bistil.evaluation.significance import compare
from bistil.pipeline.choice import Drop, chosen, judged, unfinished
from bistil.pipeline.runs import run, teach_tasks
from bistil.planning.planned import plan
from bistil.planning.walk import walk
from bistil.progress import Progress
from bistil.recipe.matrix import Matrix
from bistil.recipe.recipe import Recipe
from bistil.report.answer import answer
from bistil.report.markdown import markdown
from bistil.report.page import page

# of four layers; the cheapest is neither the first nor the last
STUDENTS = {
    "thin": {"layers": 4, "intermediate_size": 8},
    "quarter": {"layers": 1},
    "half": {"layer_reduction": 2},
}
ORDER = ["quarter", "half", "thin"]


@pytest.fixture(scope="module", autouse=True)
def _measured_briefly():
    with pytest.MonkeyPatch.context() as patch:
        for name, few in (("_ROUNDS", 2), ("_LATENCY_TEXTS", 4), ("_THROUGHPUT_TEXTS", 8)):
            patch.setattr(efficiency, name, few)
        yield


@pytest.fixture(scope="module")
def several(experiment, tmp_path_factory):
    return experiment | {
        "students": STUDENTS,
        "seeds": [0],
        "baselines": ["layer_drop", "trimmed"],
        "out": str(tmp_path_factory.mktemp("several") / "out"),
    }


def made(recipe):
    """The run of plain values, and the titles of the stages that it made."""
    stream = io.StringIO()
    result = run(Recipe.model_validate(recipe), Progress(stream))
    lines = [line.split(": done in")[0] for line in stream.getvalue().splitlines() if ": done in" in line]
    return result, [line for line in lines if line != "Fetching the teacher"]


@pytest.fixture(scope="module")
def tried(several):
    return made(several)


@pytest.fixture(scope="module")
def alone(several, tmp_path_factory):
    """Each student in a recipe and a folder of its own."""
    folder = tmp_path_factory.mktemp("alone")
    own = {key: value for key, value in several.items() if key != "students"}
    return {
        name: made(own | {"student": student, "out": str(folder / name)})[0] for name, student in STUDENTS.items()
    }


@pytest.fixture(scope="module")
def cheapest(several, tmp_path_factory):
    """A choice of the first that is made, in a folder of its own, and the titles of its stages."""
    out = str(tmp_path_factory.mktemp("cheapest") / "out")
    return made(several | {"choose": {"max_drop": 100.0}, "out": out})


def weights(folder):
    return (Path(folder) / "model.safetensors").read_bytes()


def role(name, report):
    return "student" if name == report["students"]["published"] else f"{name}:student"


def drops(report):
    """What the choice goes by, again, from the report's comparisons of the test files in the target language."""
    (task,) = report["tasks"]
    found = {name: task["comparisons"]["tr"][role(name, report)]["against_teacher"] for name in STUDENTS}
    return {name: (-one["difference"], -one["difference_low"]) for name, one in found.items()}


@pytest.mark.slow
def test_each_student_is_that_of_its_own_recipe(tried, alone, several):
    report = tried[0].report
    (task,) = report["tasks"]
    for name, single in alone.items():
        (own,) = single.report["tasks"]
        assert task["scores"][role(name, report)] == own["scores"]["student"]
        assert task["scores"]["teacher"] == own["scores"]["teacher"]
        assert (
            task["comparisons"]["tr"][role(name, report)]["against_teacher"]
            == (own["comparisons"]["tr"]["student"]["against_teacher"])
        )
        stages = {path.name for path in (single.output_dir / "stages").glob("[!.]*-*")}
        missing = stages - {path.name for path in (tried[0].output_dir / "stages").iterdir()}
        # the baseline is of the first one's shape, and sizes are measured together
        kinds = {one.rpartition("-")[0] for one in missing}
        assert (
            kinds <= {"efficiency"} if name == "thin" else kinds <= {"efficiency", "task-layer-drop", "evaluation"}
        )
    assert weights(tried[0].output_dir / "student") == weights(alone["thin"].output_dir / "student")
    assert weights(tried[0].output_dir / "tasks/food") == weights(alone["thin"].output_dir / "tasks/food")


@pytest.mark.slow
def test_cheap_ones_are_made_first_and_what_they_share_once(tried):
    _, titles = tried
    assert [title for title in titles if title.startswith("General distillation")] == [
        f"General distillation ({name})" for name in ORDER
    ]
    assert len(titles) == len(set(titles))
    for shared in ("Trimming the vocabulary", "Packing the text", "Fine-tuning: task teacher"):
        assert titles.count(shared) == 1
    assert [title for title in titles if "without general" in title] == [
        "Distilling: Student without general distillation (thin)",
        "Evaluating: Student without general distillation (thin)",
    ]


@pytest.mark.slow
def test_the_report_has_a_row_for_each(tried):
    report = tried[0].report
    assert report["students"]["published"] == "thin"
    assert list(report["students"]["made"]) == ORDER
    assert "max_drop" not in report["students"]
    found = answer(report).sentence
    assert found.startswith("“thin”, the first of 3 students, is ")
    texts = {"page": page(report), "markdown": markdown(report)}
    for name in STUDENTS:
        assert all(f"Student {name}" in text for text in texts.values())
    assert "| thin |" in texts["markdown"]
    assert texts["page"].count("On the Pareto front: ") == 2
    assert 'id="front-size-food-tr' in texts["page"]


@pytest.mark.slow
def test_the_fronts_are_those_of_brute_force(tried):
    report = tried[0].report
    (task,) = report["tasks"]
    entries = {one["role"]: one for one in report["models"] if one["role"] == "teacher" or "student" in one}
    assert len(entries) == 4
    for against, cost in (
        ("size", lambda one: one["disk_bytes"]),
        ("latency", lambda one: one["latency_ms"]["p50"]),
    ):
        points = {name: (cost(one), np.mean(task["scores"][name]["tr"])) for name, one in entries.items()}
        best = {
            name
            for name, (x, y) in points.items()
            if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in points.values())
        }
        front = report["students"]["fronts"]["food"][against]
        assert set(front) == best
        assert front == sorted(front, key=lambda name: points[name][0])


@pytest.mark.slow
def test_larger_ones_are_never_made(cheapest):
    result, titles = cheapest
    assert result.report["students"]["published"] == "quarter"
    assert result.report["students"]["not_made"] == ["thin", "half"]
    assert not [title for title in titles if "thin" in title or "half" in title]
    assert len(list(result.output_dir.glob("stages/undistilled-*"))) == 1
    remarks = " ".join(answer(result.report).remarks)
    assert "“thin” and “half” were not made, because a smaller student is good enough." in remarks
    assert "a fresh one gives an unbiased score" in remarks


@pytest.mark.slow
def test_the_smallest_within_the_tolerance_is_published(tried, several):
    """With any tolerance that one of the students just meets."""
    known = drops(tried[0].report)
    tolerances = [100.0, *(most for _, most in known.values() if most >= 0)]
    for tolerance in tolerances:
        right = next(name for name in ORDER if known[name][1] <= tolerance)
        result, _ = made(several | {"choose": {"max_drop": tolerance}})
        found = result.report["students"]
        assert found["published"] == right
        assert sorted(found["not_made"]) == sorted(ORDER[ORDER.index(right) + 1 :])
        assert (found["made"][right]["drop"], found["made"][right]["drop_high"]) == known[right]
        sentence = answer(result.report).sentence
        assert sentence.startswith(f"Of 3 students, “{right}” is the smallest within {tolerance} points of the")
        layers = {"quarter": 1, "half": 2, "thin": 4}[right]
        for place in ("student", "tasks/food"):
            assert AutoConfig.from_pretrained(result.output_dir / place).num_hidden_layers == layers
        assert result.report["tasks"][0]["scores"]["layer_drop"]["tr"]


@pytest.mark.slow
def test_a_choice_looks_at_every_task_and_target_and_a_budget_has_its_place_in_the_order(several, tmp_path):
    text, (task,) = Path(several["target"]["text"]), several["tasks"]
    (tmp_path / "az.txt").write_text("\n".join(text.read_text("utf-8").splitlines()[::-1]), "utf-8")
    values = several | {
        "students": {"most": {"budget": 0.9, "budget_of": "parameters"}, "quarter": {"layers": 1}},
        "target": [several["target"], {"language": "az", "text": str(tmp_path / "az.txt")}],
        "tasks": [
            {**task, "name": name, "test": {**task["test"], "az": task["test"]["tr"]}} for name in ("a", "b")
        ],
        "baselines": [],
        "out": str(tmp_path / "out"),
    }
    report = made(values)[0].report
    assert list(report["students"]["made"]) == ["quarter", "most"]
    known = {
        name: max(
            -task["comparisons"][code][role(name, report)]["against_teacher"]["difference_low"]
            for task in report["tasks"]
            for code in ("tr", "az")
        )
        for name in ("quarter", "most")
    }
    for tolerance in {0.0, *(max(most, 0.0) for most in known.values())}:
        right = [name for name, most in known.items() if most <= tolerance]
        found = made(values | {"choose": {"max_drop": tolerance}})[0].report["students"]
        assert found["within"] == bool(right)
        if right:
            assert found["published"] == right[0]


@pytest.mark.slow
def test_where_none_is_good_enough_the_one_that_loses_least_is_published(several, monkeypatch):
    """Better than the teacher by 100 points is none."""
    from bistil.pipeline import pipeline

    monkeypatch.setattr(pipeline.Drop, "of", classmethod(lambda cls, found: worse(list(found))))
    result, _ = made(several | {"choose": {"max_drop": 0.5}})
    known = {name: drop for name, (drop, _) in drops(result.report).items()}
    best = min(ORDER, key=known.get)
    assert result.report["students"]["published"] == best
    assert not result.report["students"]["not_made"]
    sentence = answer(result.report).sentence
    assert sentence.startswith(
        f"None of 3 students is within 0.5 points of the teacher; “{best}”, which loses least,"
    )
    assert sentence in markdown(result.report)


def worse(comparisons):
    """The drop of a student that is far below, wherever the true one is."""
    return Drop(max(-one.difference for one in comparisons), 0.0, 99.0)


def two_tasks(several, tmp_path):
    (task,) = several["tasks"]
    return several | {
        "tasks": [{**task, "name": name, "density": density} for name, density in (("a", 0.1), ("b", 0.2))],
        "baselines": [],
        "choose": {"max_drop": 1.0},
        "out": str(tmp_path / "out"),
    }


def judging(monkeypatch, *found):
    """The drops of the students in the order in which they are asked for; the last one for all after that."""
    from bistil.pipeline import pipeline

    left = list(found)
    monkeypatch.setattr(
        pipeline.Drop, "of", classmethod(lambda cls, comparisons: left.pop(0) if len(left) > 1 else left[0])
    )


@pytest.mark.slow
def test_what_cannot_be_good_enough_is_given_up(several, tmp_path, monkeypatch):
    judging(monkeypatch, Drop(5.0, 4.0, 6.0), Drop(0.5, 0.1, 0.9))
    result, titles = made(two_tasks(several, tmp_path))
    assert "Distilling: task student (quarter, a)" in titles
    assert "Distilling: task student (quarter, b)" not in titles
    report = result.report
    assert report["students"]["published"] == "half"
    assert report["students"]["given_up"] == {"quarter": {"drop": 5.0, "drop_low": 4.0}}
    assert report["students"]["not_made"] == ["thin"]
    found = answer(report)
    assert found.sentence.startswith("Of 3 students, “half” is the smallest within 1.0 point of the teacher:")
    given_up = "“quarter” was given up early: it loses 5.0 points, and no less than 4.0 by the 95 % interval."
    assert given_up in found.remarks
    assert "| quarter | – | −5.0 | – | given up early |" in markdown(report)
    with walk(Recipe.model_validate(two_tasks(several, tmp_path))) as planned:
        assert set(titles) < {step.title for step in planned.steps}


@pytest.mark.slow
def test_one_that_was_given_up_is_finished_where_no_other_loses_less(several, tmp_path, monkeypatch):
    others = [Drop(8.0, 7.0, 9.0), Drop(9.0, 7.0, 9.0)]
    judging(monkeypatch, Drop(5.0, 4.0, 6.0), *others, Drop(5.0, 4.0, 6.0), Drop(6.0, 5.0, 7.0))
    result, titles = made(two_tasks(several, tmp_path))
    assert [title for title in titles if title.startswith("Distilling")] == [
        "Distilling: task student (quarter, a)",
        "Distilling: task student (half, a)",
        "Distilling: task student (thin, a)",
        "Distilling: task student (quarter, b)",
    ]
    students = result.report["students"]
    assert students["published"] == "quarter"
    assert not students["within"]
    assert list(students["given_up"]) == ["half", "thin"]
    assert answer(result.report).sentence.startswith(
        "None of 3 students is within 1.0 point of the teacher; “quarter”"
    )


@pytest.mark.slow
def test_one_that_was_given_up_is_finished_where_another_seed_may_make_it_the_best(several, tmp_path, monkeypatch):
    """By its first seed "quarter" loses more than "half", by both less; "thin" cannot come down that far."""
    quarter, half, thin = Drop(3.0, 1.2, 4.8), Drop(2.0, 0.5, 3.5), Drop(9.0, 7.0, 11.0)
    judging(monkeypatch, quarter, half, half, thin, quarter, Drop(1.5, 0.5, 2.5))
    changes = {"seeds": [0, 1], "baselines": [], "choose": {"max_drop": 1.0}, "out": str(tmp_path / "out")}
    result, titles = made(several | changes)
    assert [title for title in titles if title.startswith("Distilling")] == [
        "Distilling: task student (quarter, seed 0)",
        "Distilling: task student (half, seed 0)",
        "Distilling: task student (half, seed 1)",
        "Distilling: task student (thin, seed 0)",
        "Distilling: task student (quarter, seed 1)",
    ]
    assert result.report["students"]["published"] == "quarter"
    assert list(result.report["students"]["given_up"]) == ["thin"]


@pytest.mark.slow
def test_the_same_command_makes_nothing_anew(several, cheapest):
    first, _ = cheapest
    again, titles = made(several | {"choose": {"max_drop": 100.0}, "out": str(first.output_dir)})
    assert titles == []
    assert again.report | {"created": ""} == first.report | {"created": ""}
    assert "Of 3 students, “quarter” is the smallest" in repr(again)


@pytest.mark.slow
def test_a_plan_lists_the_stages_of_all_and_a_run_makes_them(several, tried, tmp_path):
    _, titles = tried
    with walk(Recipe.model_validate(several | {"out": str(tmp_path)})) as found:
        assert [step.title for step in found.steps] == titles
        assert not found.notes
    with walk(Recipe.model_validate(several)) as found:
        assert all(step.reused for step in found.steps if step.name != "efficiency")


def test_a_plan_counts_each_student_by_its_shape(several, tmp_path, untimed):
    choice = {"choose": {"max_drop": 1.0}}
    all_of = plan(Recipe.model_validate(several | choice | {"out": str(tmp_path / "all")}))
    assert any("this is the plan of all" in note for note in all_of.notes)
    works = {stage.title: stage.work for stage in all_of.stages}
    own = {key: value for key, value in several.items() if key != "students"}
    for name, student in STUDENTS.items():
        single = plan(Recipe.model_validate(own | {"student": student, "out": str(tmp_path / name)}))
        for stage in single.stages:
            if stage.title in ("Making the student", "General distillation", "Distilling: task student"):
                assert works[f"{stage.title} ({name})"] == stage.work


@pytest.mark.slow
def test_exports_and_cards_are_of_each_and_of_the_published(several, tried):
    result, titles = made(several | {"export": {"tolerance": 100}, "choose": {"max_drop": 100.0}, "tasks": [
        several["tasks"][0] | {"test": {"tr": several["tasks"][0]["test"]["tr"]}}]})  # fmt: skip
    assert "Exporting: task student (quarter)" in titles
    report = result.report
    assert answer(report).sentence.startswith(
        "Of 3 students, “quarter” in int8 is the smallest that in PyTorch is within 100.0 points"
    )
    titled = [one["title"] for one in report["models"] if "student" in one]
    assert titled == ["Student quarter, PyTorch", "Student quarter, ONNX", "Student quarter, int8"]
    all_of, _ = made(several | {"export": {"tolerance": 100}})
    titled = {one["title"]: one for one in all_of.report["models"]}
    for name in STUDENTS:
        assert titled[f"Student {name}, int8"]["engine"] == "int8"
    assert titled["Student half, ONNX"]["scored_as"] == "half:student"
    assert all_of.report["comparison"]["deployed"]["role"] == "student_int8"
    text = ModelCard.load(all_of.output_dir / "tasks/food/README.md").text
    assert "the student keeps layers 1, 2, 3, 4 of the teacher's 4, with feed-forward size 8." in text
    assert "Student thin, int8" in text
    assert "half" not in text


@pytest.mark.slow
def test_training_of_a_task_starts_at_the_published_student(several, cheapest, tmp_path):
    result, _ = cheapest
    task = several["tasks"][0]
    trained = bistil.train(
        result.output_dir / "student",
        teacher=several["teacher"],
        task="classification",
        train=task["train"],
        test={"tr": task["test"]["tr"]},
        output_dir=tmp_path / "trained",
        progress=False,
    )
    assert AutoConfig.from_pretrained(trained.output_dir).num_hidden_layers == 1
    assert trained.teacher_scores
    (result.output_dir / "report.json").unlink()
    with pytest.raises(BistilError, match=r"report\.json does not say which of several students"):
        bistil.train(
            result.output_dir / "student",
            teacher=several["teacher"],
            task="classification",
            train=task["train"],
            output_dir=tmp_path / "again",
            progress=False,
        )


def test_commands_that_make_one_student(several, tmp_path):
    file = tmp_path / "recipe.yaml"
    Recipe.model_validate(several | {"out": str(tmp_path / "out")}).save(file)
    for command in ("distill", "transfer"):
        result = CliRunner().invoke(app, [command, str(file)])
        assert result.exit_code != 0
        assert "has several students, which `bistil run` makes" in f"{result.output}{result.exception}"
        assert not (tmp_path / "out").exists()
    scores = teach_tasks(Recipe.load(file), Progress(io.StringIO()))
    assert scores["food"]["tr"]
    assert not list((tmp_path / "out/stages").glob("distill-*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"student": {"layers": 3}}, "student and students are both given; leave out student"),
        ({"students": {"half": {}, "Half": {"layers": 1}}}, "names of students must differ from each other"),
        ({"students": {"a/b": {}, "c": {}}}, r"'students\.a/b\.\[key\]' must be a name"),
        ({"students": {"half": {"layer": 2}}}, r"unknown key 'students\.half\.layer'\. Did you mean"),
        ({"students": {}, "choose": {"max_drop": 1}}, "choose is for several students; list two or more"),
        ({"students": {"half": {}}, "choose": {"max_drop": 1}}, "choose is for several students; list two"),
        ({"choose": {"max_drop": -1}}, r"'choose\.max_drop' must be greater than or equal to 0"),
        ({"choose": {}}, r"'choose\.max_drop' is missing"),
    ],
)  # fmt: skip
def test_wrong_recipes_are_one_sentence(several, changes, message):
    with pytest.raises(BistilError, match=message) as error:
        Recipe.checked(several | changes)
    assert "\n" not in str(error.value)


def test_an_impossible_shape_is_said_of_its_name(several, tmp_path):
    wrong = {"students": STUDENTS | {"deep": {"layers": 13}}, "out": str(tmp_path)}
    with pytest.raises(BistilError, match=r"^students\.deep\.layers is 13, but the teacher has 4 layers"):
        run(Recipe.model_validate(several | wrong), Progress(io.StringIO()))


def test_a_matrix_has_no_choice(several):
    with pytest.raises(BistilError, match="unknown key 'choose'"):
        Matrix.checked(
            {
                "name": "many",
                "source": several["source"],
                "languages": {"tr": "tr.txt"},
                "students": STUDENTS,
                "choose": {"max_drop": 1.0},
                "tasks": [{"kind": "pos", "train": "en.conllu", "test": "{language}.conllu"}],
                "out": "runs",
            }
        )


def test_a_recipe_is_read_as_it_was_written(several, tmp_path):
    recipe = Recipe.model_validate(several | {"choose": {"max_drop": 1}})
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    assert list(recipe.each()) == list(STUDENTS)
    assert recipe.override(["students.half.layers=1"]).each()["half"].student.layers == 1


def test_what_a_choice_goes_by():
    assert judged(["en", "tr", "az"], "en") == ["tr", "az"]
    assert judged(["en"], "en") == ["en"]
    known = {"a": Drop(0.4, -0.6, 1.4), "b": Drop(0.6, 0.3, 0.9), "c": Drop(0.1, -0.3, 0.5)}
    assert chosen(known, 1.0) == "b"
    assert chosen(known, 0.5) == "c"
    assert chosen(known, 0.4) == "c"
    assert chosen({"a": Drop(0.4, -0.6, 1.4), "b": Drop(0.6, 0.3, 0.9)}, 0.4) == "a"
    given_up = {"a": Drop(0.2, 0.2, 0.2, whole=False), "b": Drop(0.3, 0.3, 0.3)}
    assert chosen(given_up, 0.4) == "b"
    assert chosen(given_up, 0.1) == "a"


def test_none_that_may_lose_least_stays_given_up():
    """Whatever the rest would show, within the interval of what is known, the published one loses least of all."""
    chance = np.random.default_rng(0)
    for seeds in (1, 2):
        for _ in range(200):
            points = {name: float(chance.integers(1, 10)) for name in "abcd"}
            drops = {
                name: Drop(known, known - 2, known + 2, whole=chance.random() < 0.5)
                for name, known in points.items()
            }
            in_all = {
                name: known if drops[name].whole else known + chance.uniform(-2 if seeds > 1 else 0, 2)
                for name, known in points.items()
            }
            given_up = {name for name, drop in drops.items() if not drop.whole}
            while (name := unfinished(drops, 0.5, seeds)) is not None:
                assert name in given_up
                given_up.remove(name)
                drops[name] = Drop(in_all[name], in_all[name] - 1, in_all[name] + 1)
            best = chosen(drops, 0.5)
            assert drops[best].whole
            assert drops[best].within(0.5) or in_all[best] == min(in_all.values())


def test_what_cannot_lose_least_stays_given_up():
    whole, far = Drop(2.0, 0.5, 3.5), Drop(9.0, 7.0, 11.0, whole=False)
    near = Drop(3.0, 1.2, 4.8, whole=False)
    assert unfinished({"a": far, "b": near, "c": whole}, 1.0, 2) == "b"
    assert unfinished({"a": far, "b": near, "c": whole}, 1.0, 1) is None  # of one seed, further tasks only add
    assert unfinished({"a": far, "b": near}, 1.0, 1) == "b"
    assert unfinished({"a": far, "c": whole}, 1.0, 2) is None
    assert unfinished({"b": near, "c": whole}, 3.5, 2) is None  # one is within


def test_a_drop_is_that_where_most_is_lost():
    near, far = compare([[(3, 4)] * 50 + [(1, 4)] * 50], [[(4, 4)] * 100]), compare([[(9, 9)]], [[(9, 9)]])
    assert Drop.of([near, far]) == Drop(-near.difference, -near.difference_high, -near.difference_low)
    assert near.difference == -50
    assert 35 < Drop.of([near, far]).least < 50 < Drop.of([near, far]).most < 65
