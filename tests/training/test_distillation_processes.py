"""General distillation in processes of its own: two at once, terminated, killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

# Attention does not change with it, so that its gradient is rounding noise, which Adam makes large.
KEY_BIAS = "attention.self.key.bias"

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

pytestmark = pytest.mark.slow


def command(recipe: Path, out: Path, *launcher: str) -> subprocess.Popen[str]:
    """`bistil distill` in a process of its own."""
    arguments = [sys.executable, "-m", *(launcher or ("bistil",)), "distill", str(recipe), "--out", str(out)]
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT
    )


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "student" / "model.safetensors")


@pytest.mark.parametrize("objective", ["", "attention: relations, hidden_weight: 0, matched_layers: last, "])
def test_two_processes_give_what_one_gives(recipe_file, tmp_path, objective):
    settings = f"batch_size: 8, {objective}arguments: {{bf16: false}}}}"
    float32 = recipe_file.read_text().replace("batch_size: 8}", settings)
    recipe_file.write_text(float32)  # five digits are compared
    one = command(recipe_file, tmp_path / "one")
    assert one.wait(timeout=120) == 0, one.communicate()[0]
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "bistil")
    two = command(recipe_file, tmp_path / "two", *launcher)
    assert two.wait(timeout=180) == 0, two.communicate()[0]
    assert {path.name for path in (tmp_path / "two").iterdir()} >= {"student", "loss.svg", "distillation.json"}
    expected, found = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in expected:
        if not name.endswith(KEY_BIAS):
            assert torch.allclose(expected[name], found[name], atol=1e-5), name


def test_terminated_it_saves_and_leaves_and_goes_on_to_the_same_bits(recipe_file, tmp_path):
    whole = command(recipe_file, tmp_path / "whole")
    assert whole.wait(timeout=120) == 0, whole.communicate()[0]
    out = tmp_path / "cut"
    cut = command(recipe_file, out)
    for _ in range(600):
        time.sleep(0.1)
        if list(out.glob("stages/.distill-*/curve.json")):
            break
    cut.send_signal(signal.SIGTERM)
    assert cut.wait(timeout=60) == 128 + signal.SIGTERM
    assert list(out.glob("stages/.distill-*/checkpoint-*/trainer_state.json"))
    again = command(recipe_file, out)
    assert again.wait(timeout=120) == 0, again.communicate()[0]
    expected, found = weights(tmp_path / "whole"), weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


KILLABLE = """
import sys
from bistil.training import trainer as training
from bistil.cli import main

training._CHECKPOINT_SECONDS = 0.0
sys.exit(main(sys.argv[1:]))
"""


def test_killed_at_three_random_moments_it_goes_on_to_the_same_bits(recipe_file, tmp_path):
    whole = command(recipe_file, tmp_path / "whole")
    assert whole.wait(timeout=120) == 0, whole.communicate()[0]
    out, chance = tmp_path / "killed", random.Random(0)
    arguments = [sys.executable, "-c", KILLABLE, "distill", str(recipe_file), "--out", str(out)]
    seen = 0
    for _ in range(3):
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        for _ in range(6000):
            time.sleep(0.01)
            steps = [int(path.name.split("-")[1]) for path in out.glob("stages/.distill-*/checkpoint-*")]
            if max(steps, default=0) > seen + 5:
                break
        time.sleep(chance.random() / 2)
        process.kill()
        assert process.wait(timeout=60) == -signal.SIGKILL
        seen = max(int(path.name.split("-")[1]) for path in out.glob("stages/.distill-*/checkpoint-*"))
    subprocess.run(arguments, stdout=subprocess.DEVNULL, env=ENVIRONMENT, timeout=120, check=True)
    expected, found = weights(tmp_path / "whole"), weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
