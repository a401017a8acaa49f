"""General distillation: it learns, it resumes to the same bits, it stops where the loss is no number."""

import numpy as np
import pytest
import torch
from transformers import AutoModel

from bistil import distillation, training
from bistil.corpora.blocks import load_blocks, pack, save_blocks
from bistil.corpora.masking import Masking
from bistil.distillation import distil
from bistil.errors import BistilError
from bistil.students import make_student


class Killed(Exception):
    """Stands for a SIGKILL: nothing is saved on the way out."""


@pytest.fixture
def distilled(tiny_teacher, tiny_tokenizer, tiny_lines, tmp_path):
    """A function that distils in a folder, perhaps killed after a step, and returns the student and the curve."""
    for language, lines in tiny_lines.items():
        save_blocks(tmp_path, language, pack(tiny_tokenizer, lines, 16, language))
    blocks = {language: load_blocks(tmp_path, language) for language in tiny_lines}

    def run(folder: str, kill_after: int | None = None, **settings):
        where = tmp_path / folder
        where.mkdir(exist_ok=True)
        teacher = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False)
        student, _ = make_student(teacher, (2, 4))

        def on_tokens(tokens: int, note: str) -> None:
            if kill_after is not None and note and tokens == kill_after * 8 * 16:
                raise Killed

        values = {"tokens": 24 * 8 * 16, "batch": 8, "learning_rate": 1e-3, "seed": 0, **settings}
        curve = distil(
            teacher,
            student,
            (2, 4),
            blocks,
            Masking.of(tiny_tokenizer),
            folder=where,
            on_tokens=on_tokens,
            **values,
        )
        return student, curve

    return run


def bits(model: torch.nn.Module) -> list[np.ndarray]:
    return [value.detach().numpy() for value in model.parameters()]


def test_held_out_loss_falls(distilled, monkeypatch):
    monkeypatch.setattr(distillation, "_TOKENS_A_POINT", 512)
    _, curve = distilled("once")
    assert [row["tokens"] for row in curve] == [0, 512, 1024, 1536, 2048, 2560, 3072]
    assert curve[-1]["en"] < 0.7 * curve[0]["en"]
    assert curve[-1]["tr"] < 0.7 * curve[0]["tr"]


def test_killed_and_resumed_gives_the_same_bits(distilled, monkeypatch):
    whole, curve = distilled("whole")
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)  # a checkpoint after every step
    for stop in (5, 6, 17):
        with pytest.raises(Killed):
            distilled("killed", kill_after=stop)
    resumed, resumed_curve = distilled("killed")
    assert resumed_curve == curve
    for one, other in zip(bits(whole), bits(resumed), strict=True):
        assert np.array_equal(one, other)


def test_half_written_checkpoint_is_passed_over(tmp_path):
    for step, whole in ((10, True), (20, False), (9, True)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if whole:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").touch()
    assert training.newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_a_loss_that_is_no_number_stops_the_run(distilled):
    with pytest.raises(BistilError, match=r"at step .* learning rate"):
        distilled("wild", learning_rate=1e20)


def test_checkpoints_are_gone_at_the_end(distilled, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    distilled("clean")
    assert [path.name for path in (tmp_path / "clean").iterdir()] == ["curve.json"]
