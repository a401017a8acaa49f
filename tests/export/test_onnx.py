"""Models exported to ONNX give the outputs of torch, for any size of input."""

import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification

from bistil.errors import BistilError
from bistil.export import onnx
from bistil.export.onnx import OnnxModel
from bistil.models.families import FAMILIES


def inputs(rows: int, tokens: int) -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 60, (rows, tokens), generator=torch.Generator().manual_seed(tokens))
    mask = torch.ones_like(ids)
    mask[-1, tokens // 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize(
    "family", [name if name == "bert" else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)
def test_every_family(family, tiny_encoder, tmp_path):
    model = tiny_encoder(family, AutoModelForTokenClassification, num_labels=3).eval()
    exported = OnnxModel(model, inputs(2, 7), tmp_path / "model.onnx")
    for rows, tokens in ((3, 11), (1, 4), (5, 30)):
        batch = inputs(rows, tokens)
        with torch.no_grad():
            expected = model(**batch).logits
        real = batch["attention_mask"].bool()
        assert torch.allclose(exported(**batch).logits[real], expected[real], atol=1e-4)
    assert exported.config is model.config


def test_several_outputs(tiny_encoder, tmp_path):
    model = tiny_encoder("bert", AutoModelForQuestionAnswering).eval()
    exported, batch = OnnxModel(model, inputs(2, 7), tmp_path / "model.onnx"), inputs(3, 9)
    with torch.no_grad():
        expected = model(**batch)
    for name in ("start_logits", "end_logits"):
        assert torch.allclose(getattr(exported(**batch), name), expected[name], atol=1e-4)


def test_packages_that_are_not_there_are_named(monkeypatch):
    monkeypatch.setattr(onnx, "_PACKAGES", ("torch", "no_such_package"))
    with pytest.raises(BistilError, match=r"needs no_such_package.*pip install no_such_package"):
        onnx.check_onnx()
