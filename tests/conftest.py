"""Tiny models and texts made on the spot; the real data folder where it exists."""

import os
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import tiny

# Tiny models are compared with references that stay on the CPU; CUDA_VISIBLE_DEVICES=0 tries them on a card.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# Also for the processes that tests start: beside another, threads that wait for each other at barriers make
# a step many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests import onnxruntime themselves; as in bistil, it sends nothing to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

ROOT = Path(__file__).parents[1]
QUIET = (
    "--no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny tensors are slower on two threads, and much slower beside another process."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_process_for_memory() -> Iterator[None]:
    """Every run would start one for every model; what they measure has a test of its own."""
    from bistil.evaluation import efficiency

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficiency, "peak_memory", lambda *_, **__: 300_000_000)
        yield


@pytest.fixture(scope="session")
def realdata() -> Path:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["bistil-dev"]
    folder = ROOT / (os.environ.get("BISTIL_REALDATA") or settings["realdata"])
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set BISTIL_REALDATA to the folder that holds ud/ and text/")
    return folder


@pytest.fixture(scope="session")
def tiny_lines() -> dict[str, list[str]]:
    return tiny.lines()


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_lines):
    return tiny.tokenizer(tiny_lines)


@pytest.fixture(scope="session")
def tiny_teacher(tiny_tokenizer, tmp_path_factory) -> Path:
    return tiny.teacher(tmp_path_factory.mktemp("tiny") / "teacher", tiny_tokenizer)


@pytest.fixture(scope="session")
def tiny_encoder():
    """A function that makes a random encoder of a family: 5 layers, width 16, 4 heads, 60 tokens, 0 is padding."""
    import torch
    from transformers import AutoConfig, AutoModel

    sizes = {
        "vocab_size": 60,
        "hidden_size": 16,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "intermediate_size": 24,
        "max_position_embeddings": 64,
        "initializer_range": 0.3,  # so that every layer matters
        "pad_token_id": 0,
    }
    own = {
        "deberta-v2": {
            "relative_attention": True,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "conv_kernel_size": 3,
        },
        "distilbert": {"hidden_dim": 24, "seq_classif_dropout": 0.2},
        "modernbert": {"local_attention": 4, "mlp_dropout": 0.1, "attention_dropout": 0.1},
        "eurobert": {"num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "mask_token_id": 3},
    }

    def make(model_type: str, kind=AutoModel, **changes):
        config = AutoConfig.for_model(model_type, **sizes | own.get(model_type, {}) | changes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = kind.from_config(config)
            for name, value in model.named_parameters():
                if value.dim() == 1:  # norms and biases start as ones and zeros, which hides what is not copied
                    torch.nn.init.normal_(
                        value, 1.0 if "norm" in name.lower() and "bias" not in name else 0.0, 0.3
                    )
        return model.eval()

    return make


@pytest.fixture
def recipe_file(tiny_teacher, tiny_lines, tmp_path) -> Path:
    for language, lines in tiny_lines.items():
        (tmp_path / f"{language}.txt").write_text("\n".join(lines))
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"""
name: tiny
teacher: {tiny_teacher}
source: {{language: en, text: {tmp_path}/en.txt}}
target: {{language: tr, text: {tmp_path}/tr.txt}}
distill: {{tokens: 20480, sequence_length: 16, batch_size: 8}}
out: {tmp_path}/out
"""
    )
    return path


@pytest.fixture
def untimed(monkeypatch):
    """Plans are of a machine of some pace, which is otherwise measured for ten seconds."""
    from bistil.planning.pace import Pace

    pace = Pace(matrix=1e11, distilling=5e10, task_distilling=3e10, fine_tuning=4e10, evaluating=6e10, reading=1e6)
    monkeypatch.setattr("bistil.planning.estimate.measure", lambda *_: pace)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, tiny_lines, tiny_teacher):
    return tiny.experiment(tmp_path_factory.mktemp("experiment"), tiny_lines, tiny_teacher)


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Iterator[list[str]]:
    """The paths that a registry of npm's packages on this machine was asked for."""
    from tests import npm

    with npm.registry(tmp_path, monkeypatch) as asked:
        yield asked


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the Python package playwright is not installed"
    )
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no chromium on the PATH (Debian and Ubuntu: apt install chromium)")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=found, args=QUIET.split())
        yield launched
        launched.close()
