"""One student for several target languages: its recipe, its run, its report, and what stays as it was for one."""

import io
import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

import bistil
from bistil.errors import BistilError
from bistil.pipeline.runs import run
from bistil.planning.planned import plan
from bistil.planning.walk import walk
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.report import markdown
from bistil.report.answer import answer
from bistil.report.comparison import compare_runs, groups, runs_table
from bistil.runtime.tokenizer import backend


@pytest.fixture(scope="module")
def several(experiment):
    """English to Turkish and to "Azerbaijani", which is the same words the other way round."""
    folder = Path(experiment["source"]["text"]).parent
    for name in ("tr.txt", "task.tr.jsonl"):
        lines = (folder / name).read_text("utf-8").splitlines()
        if name.endswith(".txt"):
            other = [" ".join(reversed(line.split())) for line in lines]
        else:
            rows = [json.loads(line) for line in lines]
            other = [json.dumps(row | {"text": " ".join(reversed(row["text"].split()))}) for row in rows]
        (folder / name.replace("tr", "az")).write_text("\n".join(other), "utf-8")
    (task,) = experiment["tasks"]
    targets = [{"language": code, "text": str(folder / f"{code}.txt")} for code in ("tr", "az")]
    test = {code: str(folder / f"task.{code}.jsonl") for code in ("en", "az", "tr")}
    return experiment | {
        "target": targets,
        "tasks": [task | {"test": test}],
        "seeds": [0],
        "out": str(folder / "several"),
    }


@pytest.fixture(scope="module")
def finished(several):
    return run(Recipe.model_validate(several), Progress(io.StringIO()))


def stage(out, name):
    (found,) = (Path(out) / "stages").glob(f"{name}-*")
    return found


@pytest.mark.slow
def test_the_student_reads_and_labels_text_of_each_language(finished, several):
    out = Path(several["out"])
    lines = {
        code: (Path(several["source"]["text"]).parent / f"{code}.txt").read_text("utf-8") for code in ("tr", "az")
    }
    kept = set(backend(out / "student").get_vocab())
    whole = backend(Path(several["teacher"]))
    for text in lines.values():
        assert set(whole.encode(text).tokens) <= kept
    assert {path.stem for path in stage(out, "blocks").glob("*.arrow")} == {"en", "tr", "az"}
    manifest = json.loads((stage(out, "task-student") / "manifest.json").read_text("utf-8"))
    assert set(manifest["inputs"]["target_text"]) == {"tr", "az"}
    curve = finished.report["distillation"]["curve"]
    assert all(curve[-1][code] < curve[0][code] for code in ("en", "tr", "az"))


@pytest.mark.slow
def test_training_is_on_pseudo_labels_of_each_target(several, tmp_path):
    """A target whose text is empty of what the task can label would be left out; here each adds as many steps."""
    from bistil.pipeline.pipeline import Pipeline
    from bistil.pipeline.taskdata import TaskData
    from bistil.training import transfer

    recipe = Recipe.model_validate(several | {"out": str(tmp_path), "baselines": []})
    seen = {}

    def noted(teacher, student, alignment, features, *rest, **more):
        seen.update({code: len(own) for code, own in features.items()})
        return original(teacher, student, alignment, features, *rest, **more)

    original, transfer.distill_task = transfer.distill_task, noted
    try:
        data = {task.name: TaskData.read(task) for task in recipe.tasks}
        Pipeline(recipe, Progress(io.StringIO()), data).transfer()
    finally:
        transfer.distill_task = original
    train = len(data["food"].train)
    assert seen == {"en": train, "tr": train, "az": train}


@pytest.mark.slow
def test_the_report_has_a_column_a_language_and_the_mean_in_its_sentence(finished):
    report = finished.report
    assert (report["target"], report["targets"]) == ("tr", ["tr", "az"])
    found = report["tasks"][0]["scores"]
    means = {role: (found[role]["tr"][0] + found[role]["az"][0]) / 2 for role in ("student", "teacher")}
    said = answer(report)
    assert said.sentence.startswith("Your Turkish and Azerbaijani classification model is")
    assert (
        f"mean of 2 languages, {means['student']:.1f} against {means['teacher']:.1f} accuracy; Turkish"
        in said.sentence
    )
    assert "no labelled Turkish or Azerbaijani ones" in " ".join(said.remarks)
    assert any(tile.value == f"{means['student']:.1f}" for tile in said.tiles)
    written = markdown.markdown(report)
    header = next(line for line in written.splitlines() if line.startswith("| Model | Turkish"))
    assert header.count("accuracy") == 3
    assert "| Azerbaijani | Student |" in written
    page = (finished.output_dir / "report.html").read_text("utf-8")
    assert "English → Turkish and Azerbaijani" in page
    assert "Turkish and Azerbaijani, in points" in page


@pytest.mark.slow
def test_the_cards_name_all_languages(finished):
    for place in ("student", "tasks/food"):
        made = ModelCard.load(finished.output_dir / place / "README.md")
        assert made.data.language == ["en", "tr", "az"]
        assert "English (source); Turkish and Azerbaijani (targets)" in made.text
        assert "| unlabelled text | Azerbaijani | az.txt |" in made.text
    assert {one.dataset_config for one in made.data.eval_results} == {"en", "tr", "az"}


@pytest.mark.slow
def test_side_by_side_with_a_bilingual_run_by_language(finished):
    bilingual = json.loads(json.dumps(finished.report))
    bilingual["target"] = "az"
    del bilingual["targets"]  # as in a report of before there could be several
    compared = compare_runs({"many": finished.report, "one": bilingual})
    assert {group.target: len(group.members) for group in groups(compared)} == {"tr": 1, "az": 2}
    assert [row[:2] for row in runs_table(compared).rows] == [
        ("many", "English → Turkish"),
        ("many", "English → Azerbaijani"),
        ("one", "English → Azerbaijani"),
    ]


@pytest.mark.slow
def test_the_plan_has_the_stages_of_the_run_and_all_texts(finished, several, tmp_path, untimed):
    recipe = Recipe.model_validate(several)
    with walk(recipe) as found:
        assert all(step.reused for step in found.steps if step.name != "efficiency")
    absent = recipe.override([f"target.1.text={tmp_path / 'none.txt'}", f"out={tmp_path / 'out'}"])
    assert "target.1.text is not there yet." in plan(absent).notes
    planned = plan(recipe.override([f"out={tmp_path / 'out'}"]))
    (task,) = several["tasks"]
    one = {"target": several["target"][0], "tasks": [task | {"test": {"tr": task["test"]["tr"]}}]}
    two = plan(Recipe.model_validate(several | one | {"out": str(tmp_path / "two")}))
    tokens = {
        name: next(stage.work.tokens for stage in own.stages if "Distilling: task student" in stage.title)
        for name, own in (("three", planned), ("two", two))
    }
    assert 1.3 < tokens["three"] / tokens["two"] < 1.7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": []}, r"'target' List|'target' .*at least 1"),
        ({"target": [{"language": "tr", "text": "tr.txt"}, {"language": "TR", "text": "x.txt"}]},
         "TR is in source and target more than once"),
        ({"target": [{"language": "tr"}]}, "'target.0.text' is missing"),
        ({"target": [{"language": "tr", "text": "tr.txt", "txt": "x"}]}, "unknown key 'target.0.txt'. Did you"),
        ({"target": {"language": "tr", "txt": "x"}}, "unknown key 'target.txt'. Did you mean 'target.text'"),
        ({"target": "tr"}, "'target'"),
        ({"baselines": ["target_only"]}, "target_only is for one target; leave it out"),
    ],
)  # fmt: skip
def test_wrong_targets_are_one_sentence(several, changes, message):
    with pytest.raises(BistilError, match=message) as error:
        Recipe.checked(several | changes)
    assert "<" not in str(error.value)
    assert "\n" not in str(error.value)


def test_wrong_targets_across_keys(several):
    deltas = [part | {"delta": "deltas"} for part in several["target"]]
    with pytest.raises(BistilError, match="language deltas are for one target"):
        Recipe.checked(several | {"target": deltas})
    (task,) = several["tasks"]
    with pytest.raises(BistilError, match="the student only knows en, tr and az"):
        Recipe.checked(several | {"tasks": [task | {"test": {"de": "de.jsonl"}}]})
    absent = Recipe.checked(
        several | {"target": [several["target"][0], {"language": "az", "text": "nowhere.txt"}]}
    )
    with pytest.raises(BistilError, match=r"target\.1\.text: .*nowhere"):
        absent.check_files()


def test_a_recipe_of_several_is_read_as_it_was_written(several, tmp_path):
    recipe = Recipe.model_validate(several)
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    assert isinstance(recipe.model_dump(mode="json")["target"], list)
    changed = Recipe.load(tmp_path / "recipe.yaml", ["target.1.language=ku", "tasks.0.test={}"])
    assert [part.language for part in changed.languages] == ["en", "tr", "ku"]


def test_distill_takes_text_of_several_languages(several, tiny_lines, tmp_path):
    student = bistil.distill(
        several["teacher"],
        text={"en": tiny_lines["en"], "tr": tiny_lines["tr"], "az": tiny_lines["tr"][::-1]},
        output_dir=tmp_path / "student",
        tokens=2048,
        sequence_length=16,
        progress=False,
    )
    assert student.languages == ("en", "tr", "az")
    assert set(student.losses) == {"en", "tr", "az"}
