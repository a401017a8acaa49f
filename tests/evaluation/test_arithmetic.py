"""Scores are taken in the arithmetic of training, and say then what they say in float32."""

import numpy as np
import pytest
import torch
from torch import nn

from bistil.evaluation.scores import evaluate
from bistil.tasks.classification import Classification, Example
from bistil.training import devices


@pytest.mark.parametrize(("native", "alike"), [(False, 1.0), (True, 0.9)])
def test_models_are_scored_as_they_are_trained(
    native, alike, tiny_teacher, tiny_tokenizer, tiny_lines, monkeypatch
):
    monkeypatch.setattr(devices, "mixed_precision", lambda: native)
    task = Classification(("a", "b", "c"))
    model = task.new_model(tiny_teacher)
    examples = [Example((line,), "a") for line in tiny_lines["tr"][:90]]
    expected = [one.labels for one in task.predict(model, tiny_tokenizer, examples)]
    seen = set()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _, inputs, output: seen.add(output.dtype))
    found = evaluate(model, tiny_tokenizer, task, {"tr": examples})["tr"]["predictions"]
    assert seen == {torch.bfloat16 if native else torch.float32}
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert np.mean([one == other for one, other in zip(found, expected, strict=True)]) >= alike
