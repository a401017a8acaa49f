"""Which arithmetic and which device is chosen, on machines that are made up."""

from types import SimpleNamespace

import pytest
import torch

from bistil.corpora.text import files
from bistil.pipeline.languagestages import LanguageStages
from bistil.pipeline.studentstages import StudentStages
from bistil.planning.known import GPUS
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.training import devices
from bistil.training.adaptation import Adaptation
from bistil.training.ticket import Length
from bistil.training.trainer import arguments

T4, A100 = ("Tesla T4", 7), ("NVIDIA A100", 8)


@pytest.fixture
def cards(monkeypatch):
    """A function that puts CUDA cards into the machine: torch itself then says what they can do."""

    def put(name, major, count=1):
        monkeypatch.setattr(torch.version, "hip", None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: name)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda *_: SimpleNamespace(major=major))
        monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda _: True)  # by emulation

    return put


def test_bfloat16_by_emulation_does_not_count(cards):
    cards(*T4)
    assert torch.cuda.is_bf16_supported()
    assert not devices.mixed_precision()
    assert devices.unused() == ["Tesla T4 has no native bfloat16 arithmetic: bistil trains in float32 on it."]
    cards(*A100)
    assert devices.mixed_precision()
    assert devices.unused() == []


@pytest.mark.parametrize(("gain", "mixed"), [(0.5, False), (1.1, False), (2.0, True)])
def test_a_cpu_that_is_slower_in_bfloat16_trains_in_float32(gain, mixed, monkeypatch):
    rates = {torch.float32: 3e11, torch.bfloat16: gain * 3e11}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(devices, "matrix_rate", lambda device, dtype, side: rates[dtype])
    devices._gain.cache_clear()
    assert devices.mixed_precision() == mixed
    devices._gain.cache_clear()


def test_a_cpu_without_bfloat16_is_not_measured(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    monkeypatch.setattr(devices, "_gain", lambda: pytest.fail("measured"))
    assert not devices.mixed_precision()


@pytest.mark.parametrize("native", [False, True])
def test_training_is_mixed_where_bfloat16_is_native(native, monkeypatch, tmp_path):
    monkeypatch.setattr("bistil.training.trainer.mixed_precision", lambda: native)
    made = arguments(tmp_path, batch=8, learning_rate=1e-3, seed=0)
    assert (made.bf16, made.fp16) == (native, False)


def test_cards_without_bfloat16_are_planned_in_float32():
    """Peak rates in float32 by NVIDIA's data sheets: T4 8.1, V100 SXM2 15.7 teraflops."""
    assert (GPUS["t4"], GPUS["v100"]) == (8.1e12, 15.7e12)


def test_further_cards_are_said_to_stay_unused(cards, monkeypatch):
    cards(*A100, count=2)
    (said,) = devices.unused()
    assert "One of 2 GPUs is used" in said
    assert "torchrun --nproc-per-node 2" in said
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert devices.unused() == []


MPS = "MPS is not used: bistil trains on CUDA devices and the CPU."


def test_an_apple_gpu_is_said_to_stay_unused(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("mps"))
    assert devices.unused() == [MPS]
    assert devices.device() == torch.device("cpu")


def test_what_stays_unused_is_said_once_before_a_run(recipe_file, monkeypatch, capsys):
    monkeypatch.setattr("bistil.pipeline.studentstages.unused", lambda: [MPS])
    made = StudentStages(Recipe.load(recipe_file), Progress())
    StudentStages(made.recipe, Progress(), further={"eu": made.recipe.source.text}, stages=made.stages)
    assert capsys.readouterr().out.splitlines().count(MPS) == 1


def test_what_stays_unused_is_said_before_a_language_is_learned(
    tiny_teacher, tiny_lines, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("bistil.pipeline.languagestages.unused", lambda: [MPS])
    (tmp_path / "tr.txt").write_text("\n".join(tiny_lines["tr"]), encoding="utf-8")
    adaptation = Adaptation((Length(1, max_steps=1), Length(1, max_steps=1)), 8, 1e-4, 0.08, 0)
    LanguageStages(tiny_teacher, files(tmp_path / "tr.txt"), 32, 1, adaptation).run(tmp_path / "out", Progress())
    assert capsys.readouterr().out.splitlines().count(MPS) == 1


def test_nothing_is_said_on_a_machine_without_accelerators():
    assert devices.unused() == []
