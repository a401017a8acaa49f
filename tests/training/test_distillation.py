"""General distillation: it learns, resumes to the same bits, runs on two processes, stops where it must."""

import io
import json
import os
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    TrainerCallback,
)

from bistil.corpora.blocks import load_blocks, pack, save_blocks
from bistil.corpora.filters import Filter, Filters
from bistil.corpora.masking import Masking
from bistil.corpora.mixed import MixedBlocks
from bistil.corpora.streamed import StreamedBlocks
from bistil.errors import BistilError
from bistil.models.families import FAMILIES
from bistil.models.students import make_student
from bistil.pipeline.runs import distill
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.report.lossplot import loss_plot
from bistil.sparse.delta import SparseDelta
from bistil.sparse.switch import DeltaSwitch
from bistil.training import checkpoints, distillation, losscurve
from bistil.training import trainer as training
from bistil.training.distillation import DistillationTrainer, Objective, distill_encoder
from bistil.training.streamplace import STREAM

BATCH, BLOCK, STEPS = 8, 16, 24
FLOAT32 = {"bf16": False}  # where five digits are compared: bfloat16 is the default on machines that have it
# Attention does not change with it, so that its gradient is rounding noise, which Adam makes large.
KEY_BIAS = "attention.self.key.bias"


class Killed(Exception):
    """Stands for a SIGKILL: nothing is saved on the way out."""


@pytest.fixture
def blocks(tiny_tokenizer, tiny_lines, tmp_path):
    """The training and held-out blocks of both languages."""
    for language, lines in tiny_lines.items():
        save_blocks(tmp_path, language, pack(tiny_tokenizer, lines, BLOCK, language))
    return {language: load_blocks(tmp_path, language) for language in tiny_lines}


@pytest.fixture
def setting(blocks, tiny_teacher, tiny_tokenizer):
    """Teacher, student, alignment, data, held-out blocks and masking, all anew."""

    def made():
        masking = Masking.of(tiny_tokenizer)
        training_blocks = {language: ours for language, (ours, _) in blocks.items()}
        data = MixedBlocks(training_blocks, masking, batch=BATCH, batches=STEPS, seed=0)
        teacher = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False)
        student, alignment = make_student(teacher, (2, 4))
        return teacher, student, alignment, data, {name: held for name, (_, held) in blocks.items()}, masking

    return made


@pytest.fixture
def distilled(setting, tmp_path):
    """A function that distills in a folder, perhaps killed after a step, and returns the student and the curve."""

    def run(folder: str, kill_after: int | None = None, **settings):
        where = tmp_path / folder
        where.mkdir(exist_ok=True)

        def on_tokens(tokens: int, note: str) -> None:
            if kill_after is not None and note and tokens == kill_after * BATCH * BLOCK:
                raise Killed

        teacher, student, alignment, *others = setting()
        values = {"batch": BATCH, "learning_rate": 1e-3, "seed": 0, **settings}
        objective, callbacks = values.pop("objective", None), values.pop("callbacks", ())
        arguments = training.arguments(where, **values)
        curve = distill_encoder(
            teacher,
            student,
            alignment,
            *others,
            arguments,
            objective=objective,
            callbacks=callbacks,
            on_tokens=on_tokens,
        )
        return student, curve

    return run


def bits(model: torch.nn.Module) -> list[np.ndarray]:
    return [value.detach().numpy() for value in model.parameters()]


def test_held_out_loss_falls(distilled, monkeypatch):
    monkeypatch.setattr(losscurve, "_TOKENS_A_POINT", 512)
    _, curve = distilled("once")
    assert [row["tokens"] for row in curve] == [0, 512, 1024, 1536, 2048, 2560, 3072]
    assert curve[-1]["en"] < 0.7 * curve[0]["en"]
    assert curve[-1]["tr"] < 0.7 * curve[0]["tr"]


@pytest.mark.parametrize(
    "objective",
    [
        Objective("kl"),
        Objective("relations"),
        Objective("none"),
        Objective("relations", hidden_weight=0, matched_layers="last"),
        Objective(hidden_weight=2, attention_weight=0),
    ],
    ids=repr,
)
def test_every_objective_learns(distilled, objective):
    _, curve = distilled("once", objective=objective)
    assert curve[-1]["tr"] < 0.9 * curve[0]["tr"]


def test_the_loss_is_that_of_eager_attention(setting, tmp_path):
    """Hidden and attention loss against transformers' own states."""
    teacher, student, _, data, *_ = setting()
    inputs = torch.stack([item["input_ids"] for item in data.__getitems__(range(4))])
    states = []
    for model in (teacher, student):
        eager = type(model)(model.config, add_pooling_layer=False).eval()
        eager.load_state_dict(model.state_dict())
        eager.set_attn_implementation("eager")
        with torch.no_grad():
            states.append(eager(inputs, output_hidden_states=True, output_attentions=True))
    theirs, mine = states
    hidden = [F.mse_loss(mine.hidden_states[j], theirs.hidden_states[a]) for j, a in enumerate((0, 2, 4))]
    attention = [F.mse_loss(mine.attentions[j], theirs.attentions[a]) for j, a in enumerate((1, 3))]
    trainer = _trainer(tmp_path, setting())
    found = trainer.compute_loss(
        trainer.model, {"input_ids": inputs, "language": torch.zeros(4, dtype=torch.long)}
    )
    assert float(found.detach()) == pytest.approx(float(sum(hidden) / 3 + sum(attention) / 2), rel=1e-4)


def test_each_language_finds_its_delta_on_the_teacher(setting, tmp_path):
    """With a delta for Turkish alone its loss is that against the changed teacher; the teacher stays as it was."""
    teacher, student, alignment, data, held_out, masking = setting()
    changed = AutoModel.from_pretrained(teacher.name_or_path, add_pooling_layer=False)
    with torch.no_grad():
        weight = changed.encoder.layer[1].output.dense.weight
        weight += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in teacher.named_parameters()}
    deltas = {"en": SparseDelta.diff(teacher, teacher), "tr": SparseDelta.diff(teacher, changed)}
    plain = _trainer(tmp_path, setting()).held_out(held_out, masking)
    against = (changed, student, alignment, data, held_out, masking)
    wanted = _trainer(tmp_path, against).held_out(held_out, masking)
    switch = DeltaSwitch(teacher, deltas)
    found = _trainer(tmp_path, (teacher, *against[1:]), switch=switch).held_out(held_out, masking)
    assert found == {"en": plain["en"], "tr": wanted["tr"]}
    assert wanted["tr"] > plain["tr"]
    switch.to(None)
    assert all(torch.equal(before[name], value) for name, value in teacher.named_parameters())


def test_on_several_processes_every_weight_has_a_gradient(setting, tmp_path, monkeypatch):
    """That of what comes after the last attention is 0: DDP breaks off where there is none."""
    objective = Objective("relations", hidden_weight=0, matched_layers="last")
    found = {}
    for processes in (1, 2):
        monkeypatch.setattr("bistil.training.distillation.processes", lambda count=processes: count)
        trainer = _trainer(tmp_path, setting(), objective=objective)
        inputs = torch.stack([item["input_ids"] for item in setting()[3].__getitems__(range(4))])
        trainer.compute_loss(trainer.model, {"input_ids": inputs}).backward()
        found[processes] = {name: value.grad for name, value in trainer.model.named_parameters()}
    assert None in found[1].values()
    for name, gradient in found[2].items():
        one = found[1][name]
        assert torch.equal(gradient, torch.zeros_like(gradient) if one is None else one), name


def test_similarities_need_two_texts_at_a_time(distilled):
    objective, further = Objective(similarity_weight=1), {"gradient_accumulation_steps": BATCH}
    with pytest.raises(BistilError, match=r"takes at a time, and that is one here\. Raise distill\.batch_size"):
        distilled("never", objective=objective, further=further)


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_bits(distilled, monkeypatch):
    whole, curve = distilled("whole")
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)  # a checkpoint wherever one may be
    for stop in (7, 9, 17):
        with pytest.raises(Killed):
            distilled("killed", kill_after=stop)
    resumed, resumed_curve = distilled("killed")
    assert resumed_curve == curve
    for one, other in zip(bits(whole), bits(resumed), strict=True):
        assert np.array_equal(one, other)


def test_accumulated_batches_are_one_batch(distilled):
    whole, _ = distilled("whole", further=FLOAT32)
    parts, _ = distilled("parts", further={"gradient_accumulation_steps": 4, **FLOAT32})
    for (name, one), other in zip(whole.named_parameters(), parts.parameters(), strict=True):
        if not name.endswith(KEY_BIAS):
            assert torch.allclose(one, other, atol=1e-5), name


@pytest.mark.parametrize(
    ("further", "said"),
    [
        ({"gradient_accumulation_steps": 3}, "cannot be cut into 3"),
        ({"max_steps": 5}, "bistil sets it itself"),
        ({"weight_dekay": 0.1}, "no such field"),
        ({"gradient_checkpointing": True}, "not computed again alike. Leave it out, or use gradient_accumulation"),
        ({"gradient_checkpointing_kwargs": {}}, "not computed again alike"),
        ({"gradient_accumulation_steps": "abc"}, "whole number from 1"),
        ({"lr_scheduler_type": "foo"}, "foo is not a valid SchedulerType.*Correct the value"),
        ({"report_to": "nowhere"}, "nowhere is not supported.*Correct the value"),
    ],
)
def test_arguments_that_cannot_be(distilled, further, said):
    with pytest.raises(BistilError, match=said):
        distilled("never", further=further)


def test_half_written_checkpoint_is_passed_over(tmp_path):
    for step, state in ((10, "{}"), (20, None), (9, "{}"), (30, '{"half":')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert checkpoints.newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(distilled, monkeypatch, tmp_path):
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    step = DistillationTrainer.compute_loss

    def failing(self, model, inputs, *others, **named):
        loss = step(self, model, inputs, *others, **named)
        return loss * float("nan") if self.state.global_step == 10 else loss

    monkeypatch.setattr(DistillationTrainer, "compute_loss", failing)
    with pytest.raises(BistilError, match=r"nan at step 11\. The checkpoint of step 8 is kept.*learning rate"):
        distilled("wild")
    kept = load_file(tmp_path / "wild" / "checkpoint-8" / "model.safetensors")
    assert all(bool(value.isfinite().all()) for value in kept.values())


def test_the_forward_pass_reads_no_loss_back(distilled, monkeypatch):
    """A GPU would finish all that was asked of it before the backward pass is."""
    step = DistillationTrainer.compute_loss

    def watched(self, model, inputs, *others, **named):
        with monkeypatch.context() as patch:
            for name in ("__float__", "item", "tolist"):
                patch.setattr(torch.Tensor, name, lambda *_: pytest.fail("read back"))
            return step(self, model, inputs, *others, **named)

    monkeypatch.setattr(DistillationTrainer, "compute_loss", watched)
    distilled("watched")


def test_weights_that_are_no_numbers_are_not_kept(distilled, monkeypatch):
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(BistilError, match=r"at step .* learning rate"):
        distilled("wild", learning_rate=1e30)


def test_a_full_disk_leaves_the_last_checkpoint(distilled, monkeypatch, tmp_path):
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    save = DistillationTrainer._save_optimizer_and_scheduler

    def full(self, folder):
        save(self, folder)
        if self.state.global_step == 16:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(DistillationTrainer, "_save_optimizer_and_scheduler", full)
    with pytest.raises(BistilError, match=r"checkpoint of step 16 .* step 12 is kept\. Fix that"):
        distilled("small")
    assert [path.name for path in sorted((tmp_path / "small").glob("checkpoint-*"))] == ["checkpoint-12"]
    monkeypatch.undo()
    whole, _ = distilled("whole")
    resumed, _ = distilled("small")
    assert all(np.array_equal(*pair) for pair in zip(bits(whole), bits(resumed), strict=True))


def test_the_last_checkpoint_stays_until_the_outcome_is_saved(distilled, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    distilled("clean")
    (kept,) = (tmp_path / "clean").glob("checkpoint-*")
    assert checkpoints.newest_checkpoint(tmp_path / "clean") == kept
    checkpoints.remove_checkpoints(tmp_path / "clean")
    assert [path.name for path in (tmp_path / "clean").iterdir()] == ["curve.json"]


@pytest.mark.slow
def test_the_older_checkpoint_goes_when_the_newer_is_on_the_disk_whatever_the_clock_says(
    distilled, tmp_path, monkeypatch
):
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    flushed, flush = [], checkpoints.flush

    def seen(path):
        flush(path)
        if path.name == "model.safetensors":
            flushed.append(sorted(path.name for path in path.parents[1].glob("checkpoint-*")))

    monkeypatch.setattr(checkpoints, "flush", seen)
    with pytest.raises(Killed):
        distilled("late", kill_after=10)
    (checkpoint,) = (tmp_path / "late").glob("checkpoint-*")
    later = checkpoint.stat().st_mtime + 7_200
    os.utime(checkpoint, (later, later))  # the clock was two hours ahead
    distilled("late")
    assert ["checkpoint-12", "checkpoint-8"] in flushed  # sorted as text
    whole, _ = distilled("whole")
    again, _ = distilled("late")
    assert all(np.array_equal(*pair) for pair in zip(bits(whole), bits(again), strict=True))


@pytest.mark.parametrize("remove", [checkpoints.remove_checkpoints, checkpoints.remove_training])
def test_what_is_left_of_a_checkpoint_that_was_being_removed_is_none(distilled, tmp_path, monkeypatch, remove):
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Killed):
        distilled("cut", kill_after=10)
    assert checkpoints.newest_checkpoint(tmp_path / "cut") is not None

    def killed(folder):
        next(path for path in folder.rglob("*") if path.name == "sizes.json").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove(tmp_path / "cut")
    assert checkpoints.newest_checkpoint(tmp_path / "cut") is None


def test_a_truncated_checkpoint_is_passed_over_and_the_weights_are_the_same(distilled, tmp_path, monkeypatch):
    whole, _ = distilled("whole")
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Killed):
        distilled("cut", kill_after=10)
    (checkpoint,) = (tmp_path / "cut").glob("checkpoint-*")
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert checkpoints.newest_checkpoint(tmp_path / "cut") is None
    again, _ = distilled("cut")
    assert all(np.array_equal(*pair) for pair in zip(bits(whole), bits(again), strict=True))


def test_plot_of_the_losses(tmp_path):
    rows = [{"tokens": 0, "en": 0.08, "tr": 0.09}, {"tokens": 4096, "en": 0.02, "tr": 0.03}]
    loss_plot(rows).savefig(tmp_path / "loss.svg")
    text = (tmp_path / "loss.svg").read_text()
    assert text.startswith("<?xml")
    assert len(text) > 5_000


def _trainer(folder: Path, made, further=None, **settings) -> DistillationTrainer:
    teacher, student, alignment, data, *_ = made
    return DistillationTrainer(
        model=student,
        teacher=teacher,
        alignment=alignment,
        languages=data.languages,
        args=training.arguments(
            folder, batch=BATCH, learning_rate=1e-3, seed=0, further={**FLOAT32, **(further or {})}
        ),
        train_dataset=data,
        on_step=lambda step, loss: None,
        **settings,
    )


@pytest.mark.parametrize(("parts", "deltas"), [(1, False), (1, True), (2, True)])
def test_the_teacher_reads_the_batches_of_four_steps_at_once(setting, tmp_path, monkeypatch, parts, deltas):
    """A pass, or one for each language where that has a delta; and the same student as with a pass a step."""
    students, passes = [], []
    for together in (1, 4):
        monkeypatch.setattr(distillation, "_TOGETHER_STEPS", together)
        made = setting()
        teacher, student, *_ = made
        changes = {}
        for number, language in enumerate(("en", "tr")):
            changed = AutoModel.from_pretrained(teacher.config._name_or_path, add_pooling_layer=False)
            with torch.no_grad():
                changed.encoder.layer[number].output.dense.weight *= 2
            changes[language] = SparseDelta.diff(teacher, changed)
        read = []
        teacher.register_forward_pre_hook(lambda *_, seen=read, **__: seen.append(1))
        switch = DeltaSwitch(teacher, changes) if deltas else None
        _trainer(tmp_path / str(together), made, {"gradient_accumulation_steps": parts}, switch=switch).run()
        students.append(student)
        passes.append(len(read))
    assert passes == [STEPS, STEPS // 4 * (2 if deltas else 1)]
    for (name, one), other in zip(students[0].named_parameters(), students[1].parameters(), strict=True):
        if not name.endswith(KEY_BIAS):
            assert torch.allclose(one, other, atol=1e-5), name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", [AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification])
def test_a_teacher_held_in_bfloat16_says_what_mixed_precision_says(tiny_encoder, family, kind):
    """To the bit, in every family."""
    model, ids = tiny_encoder(family, kind), torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 15, 16]])
    seen = []
    for _ in range(2):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            seen.append(model(input_ids=ids, attention_mask=torch.ones_like(ids))[0])
        distillation._hold_in_bfloat16(model)
    assert torch.equal(*seen)


def test_a_frozen_teacher_is_held_in_bfloat16_where_training_is_in_it(setting, tmp_path):
    """But not under deltas, which are added to float32 weights; all else of it stays as it is."""
    for half, deltas in ((True, False), (True, True), (False, False)):
        made = setting()
        switch = DeltaSwitch(made[0], {}) if deltas else None
        _trainer(tmp_path, made, {"bf16": half}, switch=switch)
        linear = {
            id(value) for one in made[0].modules() if isinstance(one, nn.Linear) for value in one.parameters()
        }
        wanted = torch.bfloat16 if half and not deltas else torch.float32
        for value in made[0].parameters():
            assert value.dtype == (wanted if id(value) in linear else torch.float32)
        assert {value.dtype for value in made[1].parameters()} == {torch.float32}


def test_callbacks_are_told_of_the_loss(distilled):
    logged = []

    class Listener(TrainerCallback):
        def on_log(self, args, state, control, logs, **_):
            logged.append(logs)

    further = {"logging_strategy": "steps", "logging_steps": 8}
    distilled("logged", further=further, callbacks=[Listener()])
    assert [set(logs) >= {"loss", "learning_rate"} for logs in logged[:3]] == [True] * 3


def made_by(recipe: Recipe) -> tuple[Path, dict[str, torch.Tensor]]:
    """The stage of general distillation, and the student."""
    folder = distill(recipe, Progress(io.StringIO())).path
    return folder, load_file(folder / "student" / "model.safetensors")


def test_other_arguments_are_another_stage(recipe_file):
    recipe = Recipe.load(recipe_file, ["distill.tokens=512"])
    folder, _ = made_by(recipe)
    assert made_by(recipe)[0] == folder
    assert made_by(recipe.override(["distill.arguments.adam_beta2=0.9"]))[0] != folder


@pytest.mark.slow
def test_streamed_text_distils_and_resumes_to_the_same_bits(recipe_file, tmp_path, monkeypatch):
    """From the place of the stream; or, where a checkpoint has none, by reading again what was seen."""
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    recipe = Recipe.load(recipe_file, ["distill.tokens=1536", "distill.stream=true"])
    _, whole = made_by(recipe)
    compute, steps, firsts = DistillationTrainer.compute_loss, StreamedBlocks._steps, []

    def killed(self, *positional, **named):
        if self.state.global_step == 9:
            raise KeyboardInterrupt
        return compute(self, *positional, **named)

    for name, workers, place in (("again", 0, True), ("worker", 1, True), ("earlier", 0, False)):
        shutil.copytree(recipe.out, tmp_path / name, ignore=shutil.ignore_patterns("distill-*"))
        again = recipe.override([f"out={tmp_path / name}", f"distill.arguments.dataloader_num_workers={workers}"])
        with monkeypatch.context() as patched:
            patched.setattr(DistillationTrainer, "compute_loss", killed)
            with pytest.raises(KeyboardInterrupt):
                made_by(again)
        (checkpoint,) = again.out.glob("stages/**/checkpoint-8")
        assert (checkpoint / STREAM).stat().st_size < 100_000
        if not place:
            (checkpoint / STREAM).unlink()
            (checkpoint / "sizes.json").unlink()
        with monkeypatch.context() as patched:
            patched.setattr(StreamedBlocks, "_steps", lambda self: firsts.append(steps(self)) or firsts[-1])
            _, resumed = made_by(again)
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert [first[0] for first in firsts] == [8, 0]  # the worker's list is its own


def test_text_in_a_store_is_filtered_wherever_it_is_read(recipe_file, tiny_lines):
    pytest.importorskip("datasketch")
    store = fsspec.filesystem("memory")
    lines = [*tiny_lines["tr"], *tiny_lines["tr"][:9]]
    store.pipe("/texts/tr.jsonl", "".join(f"{json.dumps({'text': line})}\n" for line in lines).encode())
    recipe = Recipe.load(recipe_file, ["distill.tokens=256", "target.text=memory://texts/*.jsonl"])
    recipe.check_files()
    filtered = ["filters.near_duplicates=0.9", "distill.stream=true"]
    said = []
    for settings in ([], filtered):
        stream = io.StringIO()
        distill(recipe.override(settings), Progress(stream))
        said.append([line for line in stream.getvalue().splitlines() if "dropped" in line])
    store.rm("/texts", recursive=True)
    assert said[0] == []
    vocabulary, distilled = said[1]
    expected = Filter(Filters(near_duplicates=0.9))
    assert sum(expected.keeps(line) for line in lines) == len(lines) - expected.tally.near_duplicates
    assert f"tr lines dropped: {expected.tally}" in vocabulary
    assert "Trimming the vocabulary" in vocabulary
    assert "General distillation" in distilled
    assert len(list(recipe.out.glob("stages/vocabulary-*"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("embeddings", [False, True])
def test_a_recipes_language_deltas_are_on_the_trimmed_teacher(embeddings, recipe_file, tmp_path):
    plain = Recipe.load(recipe_file, ["distill.tokens=512", f"distill.embeddings={str(embeddings).lower()}"])
    _, without = made_by(plain)
    (trimmed,) = plain.out.glob("stages/vocabulary-*/model")
    teacher, changed = (AutoModel.from_pretrained(trimmed, add_pooling_layer=False) for _ in range(2))
    with torch.no_grad():
        changed.encoder.layer[1].output.dense.weight *= 2
    for name, delta in (
        ("none", SparseDelta.diff(teacher, teacher)),
        ("changed", SparseDelta.diff(teacher, changed)),
    ):
        (tmp_path / name).mkdir()
        delta.save(tmp_path / name)
    folders = [f"source.delta={tmp_path}/none", f"target.delta={tmp_path}/changed"]
    _, found = made_by(plain.override(folders))
    _, same = made_by(plain.override([*folders[:1], f"target.delta={tmp_path}/none"]))
    assert any(not torch.equal(same[name], found[name]) for name in found)
    if not embeddings:  # whose batches mix languages where there are no deltas
        assert all(torch.equal(without[name], same[name]) for name in same)


def test_a_delta_that_is_not_there_is_said_before_anything_runs(recipe_file, tmp_path):
    recipe = Recipe.load(recipe_file, [f"source.delta={tmp_path}", f"target.delta={tmp_path}"])
    with pytest.raises(BistilError, match=r"source\.delta: .* holds no sparse delta"):
        made_by(recipe)
    assert not recipe.out.exists()
