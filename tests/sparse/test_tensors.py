"""Whoever the umask lets read can read what bistil writes, folders included."""

import os
import stat

import pytest
import torch
from safetensors.torch import load_file

from bistil.models.students import Alignment
from bistil.packages import whole_folder
from bistil.sparse import files
from bistil.sparse.tensors import save_tensors
from bistil.training import trainer as training


@pytest.fixture(params=[0o022, 0o027, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_tensors_deltas_and_projections(umask, tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T}
    save_tensors(tensors, tmp_path / "own.safetensors", {"format": "pt"})
    assert torch.equal(load_file(tmp_path / "own.safetensors")["a"], tensors["a"])
    files.write(tmp_path, {"a": torch.tensor([1])}, {"a": torch.ones(1)}, {}, {})
    Alignment((1,), None, torch.eye(2)).save(tmp_path)
    names = {"own.safetensors", files.TENSORS, files.DESCRIPTION, "alignment.json", "alignment.safetensors"}
    assert modes(tmp_path) == dict.fromkeys(names, 0o666 & ~umask)


def test_folders(umask, tmp_path):
    with whole_folder(tmp_path / "above" / "folder") as temporary:
        (temporary / "file").touch()
    assert modes(tmp_path) | modes(tmp_path / "above") == dict.fromkeys(("above", "folder"), 0o777 & ~umask)
    assert modes(tmp_path / "above" / "folder") == {"file": 0o666 & ~umask}


def test_checkpoints(umask, tmp_path, monkeypatch):
    class Line(torch.nn.Linear):
        def forward(self, x):
            return {"loss": super().forward(x).sum()}

    def on_step(step, loss):
        if step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)  # after every step
    made = training.arguments(tmp_path, batch=1, learning_rate=0.1, seed=0)
    trainer = training.ResumableTrainer(
        model=Line(1, 1), args=made, train_dataset=[{"x": torch.ones(1)}] * 4, on_step=on_step
    )
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    found = modes(tmp_path / "checkpoint-1")
    assert "model.safetensors" in found
    assert found == dict.fromkeys(found, 0o666 & ~umask)
