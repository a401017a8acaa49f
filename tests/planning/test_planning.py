"""What a plan says beside what a run then does."""

import gzip
import io
import json
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from statistics import fmean

import pytest
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModel, AutoTokenizer
from typer.testing import CliRunner

from bistil.cli import app
from bistil.errors import BistilError
from bistil.models.shapes import Shape, StudentShape
from bistil.models.students import make_student
from bistil.pipeline.runs import run, teach_tasks, transfer_tasks
from bistil.pipeline.taskdata import TaskData
from bistil.planning import pace as pacing
from bistil.planning import plan
from bistil.planning.estimate import with_vocabulary
from bistil.planning.pace import Pace, measure
from bistil.planning.planned import seconds
from bistil.planning.work import Load, Work
from bistil.progress import Progress, Stage
from bistil.recipe.recipe import Recipe
from bistil.sparse.delta import SparseDelta
from bistil.tasks import Classification
from bistil.training import transfer

ROOT = Path(__file__).parents[2]
PACE = Pace(matrix=1e11, distilling=5e10, task_distilling=3e10, fine_tuning=4e10, evaluating=6e10, reading=1e6)


class Recorded(Progress):
    """Keeps the stages that were run."""

    def __init__(self, stream):
        super().__init__(stream)
        self.stages: list[Stage] = []

    @contextmanager
    def stage(self, *arguments, **options):
        with super().stage(*arguments, **options) as stage:
            self.stages.append(stage)
            yield stage


@pytest.fixture(scope="module", autouse=True)
def _pace():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bistil.planning.estimate.measure", lambda *_: PACE)
        yield


@pytest.fixture(scope="module")
def recipe(experiment):
    return Recipe.model_validate({**experiment, "seeds": [0], "baselines": ["trimmed", "scratch"]})


@pytest.fixture(scope="module")
def planned(recipe):
    """The plan before a run, what the run left, and the plan after it."""
    before = plan(recipe)
    assert not recipe.out.exists()
    result = run(recipe, Progress())
    return before, result, plan(recipe)


def test_the_stages_are_those_of_the_run(planned):
    before, result, after = planned
    done = list(dict.fromkeys(stage["name"] for stage in result.report["stages"]))
    assert [stage.title for stage in before.stages] == done
    assert not any(stage.reused for stage in before.stages)
    assert all(stage.reused for stage in after.stages)
    assert (after.seconds, after.flops, after.disk) == (0, 0, 0)


def test_counts_are_those_of_the_run(planned, recipe):
    before, _, after = planned
    works = {stage.title: stage.work for stage in before.stages}
    vocabulary = json.loads(next(recipe.out.glob("stages/vocabulary-*/vocabulary.json")).read_text())
    assert after.vocabulary == vocabulary["after"]
    assert before.vocabulary == vocabulary["after"]  # "closure" is one of the reasons
    assert vocabulary["reasons"]["closure"] > 0
    assert works["General distillation"].tokens == recipe.distill.tokens
    data = TaskData.read(recipe.tasks[0])
    tokenizer = AutoTokenizer.from_pretrained(recipe.teacher)
    train = data.task.features(data.train, tokenizer, data.max_length)
    length = sum(len(feature["input_ids"]) for feature in train)
    assert works["Fine-tuning: task teacher"].tokens == pytest.approx(2 * length)
    tests = chain(data.validation, *data.tests.values())
    tested = sum(len(f["input_ids"]) for f in data.task.features(list(tests), tokenizer, data.max_length))
    assert works["Evaluating: task teacher"].tokens == pytest.approx(tested, rel=0.02)
    for title, folder in (("Making the student", "undistilled"), ("General distillation", "distill")):
        (weights,) = recipe.out.glob(f"stages/{folder}-*/student/model.safetensors")
        with safe_open(weights, "pt") as file:
            kept = 4 * sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
        assert works[title].disk == pytest.approx(kept, rel=0.1)


def test_the_command_says_of_a_long_text_that_its_vocabulary_is_a_guess(planned, recipe, tmp_path, monkeypatch):
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(recipe.model_dump(mode="json")))
    new = ["plan", str(file), "--set", f"out={tmp_path / 'out'}"]
    short = CliRunner().invoke(app, new).output
    assert "Vocabulary: " in short
    assert "the first" not in short
    monkeypatch.setattr("bistil.planning.samples.LINES", 20)
    assert "tokens in the first" in CliRunner().invoke(app, new).output
    done = CliRunner().invoke(app, ["plan", str(file)]).output
    assert f"Vocabulary: {planned[2].vocabulary:,} tokens.\n" in done


def test_the_vocabulary_follows_its_threshold(recipe):
    sizes = [plan(recipe.override([f"vocabulary.min_probability={p}"])).vocabulary for p in (0, 1e-6, 0.01)]
    assert sizes[0] == len(AutoTokenizer.from_pretrained(recipe.teacher))
    assert sizes[0] > sizes[1] > sizes[2] > 0


def test_of_lines_that_are_counted_alone_the_time_is_planned(recipe, tmp_path):
    fresh = recipe.override([f"out={tmp_path}/out"])
    whole, half, more = (
        {stage.title: stage.work.text for stage in plan(one).stages}
        for one in (fresh, *(fresh.override([f"vocabulary.sample_lines={n}"]) for n in (100, 1000)))
    )
    assert half["Trimming the vocabulary"] == pytest.approx(whole["Trimming the vocabulary"] / 2, rel=0.01)
    assert half["Packing the text"] == whole["Packing the text"]
    assert more == whole


def test_of_packed_text_a_note_says_that_it_takes_longer(recipe, tmp_path):
    packed = tmp_path / "tr.txt.gz"
    packed.write_bytes(gzip.compress(Path(recipe.targets[0].text[0]).read_bytes()))
    found = plan(recipe.override([f"target.text={packed}", f"out={tmp_path}/out"]))
    (note,) = (note for note in found.notes if "packed" in note)
    assert note == "target.text is packed: what reads it is planned by its packed bytes, and takes longer."


@pytest.mark.slow
def test_inputs_are_no_longer_than_the_model_takes(recipe, tmp_path):
    rows = [json.dumps({"text": "ekmek " * (1 + 999 * (n == 3)), "label": "ab"[n % 2]}) for n in range(20)]
    (tmp_path / "train.jsonl").write_text("\n".join(rows))
    long = recipe.override(
        ["tasks.0.max_length=2000", f"tasks.0.train={tmp_path}/train.jsonl", f"out={tmp_path}/out"]
    )
    long = long.override([f"tasks.0.test={{tr: {tmp_path}/train.jsonl}}"])
    cut = long.override(["tasks.0.max_length=128"])
    assert [stage.work for stage in plan(long).stages] == [stage.work for stage in plan(cut).stages]
    assert teach_tasks(long, Progress(io.StringIO())) == teach_tasks(cut, Progress(io.StringIO()))


@pytest.mark.slow
def test_few_examples_are_learned_for_the_least_steps_and_planned_so(recipe, tmp_path):
    few = recipe.override(["tasks.0.min_steps=20", f"out={tmp_path}/out"])
    works = {stage.title: stage.work for stage in plan(few).stages}
    progress = Recorded(io.StringIO())
    teach_tasks(few, progress)
    (tuning,) = [stage for stage in progress.stages if stage.name.startswith("Fine-tuning")]
    assert (tuning.total, tuning.done) == (40, 40)
    data = TaskData.read(few.tasks[0])
    tokenizer = AutoTokenizer.from_pretrained(few.teacher)
    lengths = [len(row["input_ids"]) for row in data.task.features(data.train, tokenizer, data.max_length)]
    assert len(lengths) < 20 * 32
    passes = 40 / -(-len(lengths) // 32)
    assert works["Fine-tuning: task teacher"].tokens == pytest.approx(passes * sum(lengths))


@pytest.mark.slow
def test_a_student_has_its_own_passes_and_density_and_is_planned_so(recipe, tmp_path):
    totals, tokens, extra = [], [], []
    for number, (own, density) in enumerate((("null", "null"), ("[2, 3]", "0.5"))):
        settings = [f"tasks.0.student_epochs={own}", f"tasks.0.student_density={density}"]
        chosen = recipe.override([*settings, "baselines=[]", f"out={tmp_path}/{number}"])
        works = {stage.title: stage.work for stage in plan(chosen).stages}
        progress = Recorded(io.StringIO())
        transfer_tasks(chosen, progress)
        made = {stage.name: stage.total for stage in progress.stages}
        names = ("Fine-tuning: task teacher", "Distilling: task student")
        totals.append([made[name] for name in names])
        tokens.append([works[name].tokens for name in names])
        roles = ("teacher", "student")
        folders = [next((chosen.out / "stages").glob(f"task-{role}-*/sparse_delta.json")) for role in roles]
        shares = [SparseDelta.load(file.parent).density for file in folders]
        assert shares == pytest.approx([0.08, 0.5 if number else 0.08], abs=1e-3)
        extra.append([works[name].disk for name in names])
    (teacher, student), (teacher_again, longer) = totals
    assert (teacher_again, longer) == (teacher, student / 2 * 5)
    assert tokens[1] == pytest.approx([tokens[0][0], tokens[0][1] / 2 * 5])
    assert extra[1] == pytest.approx([extra[0][0], extra[0][1] * (1 + 0.5 * 5.1 / 4) / (1 + 0.08 * 5.1 / 4)])


@pytest.mark.slow
def test_of_lines_that_are_looked_at_those_that_are_wanted_are_learned_and_planned(recipe, tmp_path, monkeypatch):
    seen: list[list[str]] = []
    learned: list[int] = []
    read_lines, distill = Classification.for_student, transfer.distill_task

    def for_student(task, lines, *rest):
        seen.append(list(lines))
        return read_lines(task, lines, *rest)

    def distill_task(teacher, student, alignment, features, *rest):
        learned.append(len(features["tr"]))
        return distill(teacher, student, alignment, features, *rest)

    monkeypatch.setattr(Classification, "for_student", for_student)
    monkeypatch.setattr(transfer, "distill_task", distill_task)
    flops, tokens = [], []
    for read in (1, 4):
        monkeypatch.setattr(Classification, "lines_read", read)
        chosen = recipe.override(["baselines=[]", "tasks.0.pseudo_labels=30", f"out={tmp_path}/{read}"])
        (work,) = [stage.work for stage in plan(chosen).stages if stage.title == "Distilling: task student"]
        flops.append(work.flops)
        tokens.append(work.tokens)
        transfer_tasks(chosen, Progress(io.StringIO()))
    assert [len(set(lines)) for lines in seen] == [30, 120]
    assert learned == [30, 30]
    assert tokens[0] == tokens[1]
    length = fmean(len(row) for row in AutoTokenizer.from_pretrained(recipe.teacher)(seen[1])["input_ids"])
    config = with_vocabulary(AutoConfig.from_pretrained(recipe.teacher), 100)
    assert flops[1] - flops[0] == pytest.approx(120 * length * Shape(config).forward(length), rel=0.1)

    everything = recipe.override(["baselines=[]", "tasks.0.pseudo_labels=1000"])
    (work,) = [stage.work for stage in plan(everything).stages if stage.title == "Distilling: task student"]
    there = tokens[0] * (1 + 200 / 200) / (1 + 30 / 200)  # 200 examples, and all 200 lines of the text
    assert work.tokens == pytest.approx(there, rel=0.1)


def test_times_follow_from_work_and_pace(planned):
    before, _, _ = planned
    assert before.seconds == pytest.approx(sum(stage.seconds for stage in before.stages))
    for stage in before.stages:
        assert stage.seconds == seconds(stage.work, before.pace)
    assert seconds(Work("fine-tuning", flops=2e12, disk=2e8), PACE) == pytest.approx(2e12 / 4e10 + 1)
    assert seconds(Work("reading", text=3e6), PACE) == pytest.approx(3)
    assert seconds(Work("fine-tuning", flops=None), PACE) is None
    assert seconds(Work("reading"), PACE) is None  # text that is not there yet


def test_a_student_that_is_planned_is_as_big_as_the_one_that_is_made(tiny_teacher, tiny_encoder, recipe):
    teacher = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False)
    ids = {"input_ids": teacher.dummy_inputs["input_ids"]}
    for widths in ({}, {"hidden_size": 16, "intermediate_size": 24}):
        made, _ = make_student(teacher, (2, 4), **widths, batches=[ids])
        shape = Shape(StudentShape((2, 4), **widths).config(teacher.config))
        assert shape.encoder.num_parameters() == made.num_parameters()
    modern = tiny_encoder("modernbert")
    made, _ = make_student(modern, (1, 3, 5))
    assert Shape(StudentShape((1, 3, 5)).config(modern.config)).encoder.num_parameters() == made.num_parameters()


def test_what_is_not_there_is_noted(recipe, experiment, monkeypatch, tmp_path):
    def no_hub(name, *_):
        raise BistilError(f"The hub has no {name}.")

    monkeypatch.setattr("bistil.models.sources._from_hub", no_hub)
    (task,) = experiment["tasks"]
    absent = Recipe.model_validate(
        {
            **experiment,
            "teacher": "FacebookAI/xlm-roberta-base",
            "source": {**experiment["source"], "delta": "none/en"},
            "target": {"language": "tr", "text": "none/*.txt", "delta": "none/tr"},
            "tasks": [{**task, "train": "none.jsonl"}],
            "baselines": ["layer_drop", "distilbert/distilbert-base-multilingual-cased"],
            "out": str(tmp_path / "out"),
        }
    )
    found = plan(absent, gpu="A100")
    for words in ("none/en", "distilbert", "xlm-roberta-base", "target.text", "food: train"):
        assert any(words in note for note in found.notes)
    times = {stage.title: stage.seconds for stage in found.stages}
    assert times["Fine-tuning: task teacher (seed 0)"] is None
    assert times["General distillation (seed 0)"] > 0
    assert 0 < found.gpu_seconds < found.seconds
    assert not (tmp_path / "out").exists()
    with pytest.raises(BistilError, match="The hub has no some/other"):
        plan(absent.override(["teacher=some/other"]))
    with pytest.raises(BistilError, match="no GPU 'b52'"):
        plan(absent, gpu="b52")
    with pytest.raises(BistilError, match="no tasks"):
        plan(absent.override(["tasks=[]"]))


def test_what_depends_on_a_text_that_is_not_there_is_not_known(recipe, tmp_path):
    absent = recipe.override([f"target.text={tmp_path}/none.txt", f"out={tmp_path}/out"])
    found = plan(absent)
    assert found.vocabulary is None
    works = {stage.title: stage.work for stage in found.stages if stage.seconds is None}
    student = "Distilling: task student"
    assert {"Trimming the vocabulary", "Packing the text", student} <= works.keys()
    assert (works[student].tokens, works["Packing the text"].disk) == (None, 0)
    alone = plan(absent.override(["tasks.0.pseudo_labels=0"]))  # the student learns from labelled text only
    assert next(stage for stage in alone.stages if stage.title == student).work.tokens > 0
    assert plan(absent.override(["vocabulary.min_probability=0"])).vocabulary


@pytest.mark.parametrize("name", ["ner", "nli", "parsing", "qa"])
def test_the_papers_recipes_are_planned_without_hub_and_files(name, monkeypatch):
    def no_hub(name, *_):
        raise BistilError("There is no hub.")

    monkeypatch.setattr("bistil.models.sources._from_hub", no_hub)
    found = plan(Recipe.load(ROOT / f"recipes/paper/{name}.yaml"))
    distilled = [stage for stage in found.stages if stage.title.startswith("General distillation")]
    assert [stage.work.tokens for stage in distilled] == [409_600_000] * 3
    # teacher forward, student forward and backward: 2 · 12 and 6 · 6 layers of 7.1 million weights, and attention
    assert all(409_600_000 * 60 * 7.1e6 < stage.work.flops < 409_600_000 * 90 * 7.1e6 for stage in distilled)


def test_on_the_screen(recipe, tmp_path):
    file = tmp_path / "recipe.yaml"
    recipe.override([f"out={tmp_path / 'new'}", "seeds=[0, 1]"]).save(file)
    result = CliRunner().invoke(app, ["plan", str(file), "--gpu", "t4"])
    lines = result.stdout.splitlines()
    assert lines[0].split()[-3:] == ["time", "here", "t4"]
    (tuning,) = [line for line in lines if line.startswith("Fine-tuning: task teacher")]
    assert "2 times" in tuning
    assert any("100 billion operations" in line for line in lines)
    result = CliRunner().invoke(app, ["plan", str(file), "--set", f"out={recipe.out}", "--set", "seeds=[0]"])
    assert "General distillation" in result.stdout


def test_the_pace_is_measured_with_real_steps(tiny_teacher, tiny_tokenizer, tiny_lines, recipe, monkeypatch):
    monkeypatch.setattr(pacing, "_PART_SECONDS", 0.05)
    config = AutoConfig.from_pretrained(tiny_teacher)
    for overrides in ([], ["student.hidden_size=16"], ["distill.attention=relations"]):
        chosen = recipe.override(overrides)
        student = StudentShape((2, 4), hidden_size=chosen.student.hidden_size).config(config)
        found = measure(
            config, student, (2, 4), chosen.distill, Load(4, 20), tiny_tokenizer, tiny_lines["en"][:50]
        )
        assert 0 < found.distilling < found.matrix
        assert 0 < found.task_distilling < found.matrix
        assert 0 < found.fine_tuning < found.matrix
        assert found.reading > 1000
    # of a teacher whose shape alone is known, there is no tokenizer
    lines = tiny_lines["en"][:50]
    assert measure(config, student, (2, 4), recipe.distill, Load(4, 20), None, lines).reading is None


def test_the_pace_is_that_of_float32(tiny_teacher):
    """In which runs train, whatever precision a teacher's file names."""
    config = AutoConfig.from_pretrained(tiny_teacher)
    config.dtype = torch.bfloat16
    assert pacing._random(config, torch.device("cpu")).dtype == torch.float32
