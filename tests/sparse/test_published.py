"""Published deltas: encoded here by the authors' own formula, decoded by ours, and nothing else let through."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bistil.errors import BistilError
from bistil.sparse.published import FILE, import_published, load_restricted

SIZES = {"embedding.weight": (12, 5), "body.weight": (3, 5), "body.bias": (3,)}


def network(rows: int = 12) -> nn.ModuleDict:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.ModuleDict(
            {"embedding": nn.Embedding(rows, 5), "body": nn.Linear(5, 3), "head": nn.Linear(3, 2)}
        )


def encoded(tensor: torch.Tensor) -> dict:
    """As ``encode_sparse_tensor`` of composable-sft writes it: a numpy integer first, then plain ones."""
    sparse = tensor.to_sparse().coalesce()
    multipliers = np.cumprod([1, *list(tensor.size())[:-1]], dtype=np.int64)
    indices = np.matmul(multipliers, np.array(sparse.indices(), dtype=np.int64))
    perm = sorted(range(len(indices)), key=lambda x: indices[x])
    indices = indices[perm]
    steps = (indices[1:] - indices[:-1]).tolist()
    return {"size": tensor.size(), "index_steps": [indices[0], *steps], "values": sparse.values()[perm]}


@pytest.fixture
def differences() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(size, generator=generator) * (torch.rand(size, generator=generator) < 0.4)
        for name, size in SIZES.items()
    }


@pytest.fixture
def published(tmp_path, differences) -> Path:
    head = network()["head"]
    content = {
        "diffs": {name: encoded(value) for name, value in differences.items()},
        "abs": OrderedDict({"head.weight": nn.Parameter(head.weight * 2), "head.bias": head.bias.detach() + 1}),
    }
    torch.save(content, tmp_path / FILE)
    return tmp_path / FILE


def test_imported_delta_adds_the_differences(published, differences):
    model, base = network(), network()
    import_published(published, model).apply(model)
    for name, difference in differences.items():
        assert torch.equal(model.get_parameter(name), base.get_parameter(name) + difference)
    assert torch.equal(model["head"].weight, base["head"].weight * 2)
    assert torch.equal(model["head"].bias, base["head"].bias + 1)


def test_heads_can_stay_out(published):
    model = network()
    assert not import_published(published, model, heads=False).dense
    del model["head"]
    with pytest.raises(BistilError, match=r"changes head\.weight, which the model lacks"):
        import_published(published, model)
    import_published(published, model, heads=False).apply(model)


def test_remapped_to_a_trimmed_vocabulary(published, differences):
    kept = np.array([0, 2, 3, 7, 11])
    trimmed = network()
    trimmed["embedding"] = nn.Embedding.from_pretrained(network()["embedding"].weight[kept])
    import_published(published, trimmed, kept=kept).apply(trimmed)
    expected = (network()["embedding"].weight + differences["embedding.weight"])[kept]
    assert torch.equal(trimmed["embedding"].weight, expected)
    assert torch.equal(trimmed["body"].weight, network()["body"].weight + differences["body.weight"])


def test_other_vocabulary(published):
    with pytest.raises(BistilError, match=r"\[12, 5\] there and \[5, 5\] in the model\. Give the ids"):
        import_published(published, network(rows=5))
    with pytest.raises(BistilError, match="Give those of this model"):
        import_published(published, network(rows=5), kept=np.arange(4))
    with pytest.raises(BistilError, match="Give those of this model"):
        import_published(published, network(rows=2), kept=np.array([3, 12]))


class Malicious:
    def __reduce__(self):
        return (os.system, ("touch touched-by-a-pickle",))


@pytest.mark.parametrize("as_torch", [True, False])
def test_malicious_pickle_is_refused_by_name(tmp_path, monkeypatch, as_torch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / FILE
    if as_torch:
        torch.save({"diffs": {"a": Malicious()}, "abs": {}}, path)
    else:
        path.write_bytes(pickle.dumps({"diffs": Malicious()}))
    with pytest.raises(BistilError, match="system" if as_torch else "is not loaded"):
        import_published(path, network())
    assert not Path("touched-by-a-pickle").exists()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (np.float64(1.5), "is not loaded"),
        (np.array([1, 2]), "numpy._core.multiarray._reconstruct|is not loaded"),
        (1.5, "builtins.float"),
        (b"bytes", "builtins.bytes"),
        ({1, 2}, "builtins.set|is not loaded"),
        (torch.float32, r"torch\.dtype"),
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
)
def test_whatever_is_no_tensor_or_number_is_refused(tmp_path, value, name):
    torch.save({"diffs": {"a": value}}, tmp_path / FILE)
    with pytest.raises(BistilError, match=name):
        load_restricted(tmp_path / FILE)


@pytest.mark.parametrize("share", [0, 0.1, 0.6, 0.98])
def test_truncated(published, share):
    content = published.read_bytes()
    published.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BistilError, match="is not loaded"):
        import_published(published, network())


def test_damaged_encodings(tmp_path, differences):
    good = encoded(differences["body.weight"])
    for damage in (
        {"size": [3]},
        {"index_steps": [10**6]},
        {"values": good["values"][1:]},
        {"index_steps": [good["index_steps"][0], -1, *good["index_steps"][2:]]},
        {"size": "three"},
    ):
        torch.save({"diffs": {"body.weight": {**good, **damage}}}, tmp_path / FILE)
        with pytest.raises(BistilError, match=r"body\.weight is not encoded"):
            import_published(tmp_path / FILE, network())
    for content in ({"weights": {}}, [1, 2], {"diffs": [1]}):
        torch.save(content, tmp_path / FILE)
        with pytest.raises(BistilError, match="no published sparse delta"):
            import_published(tmp_path / FILE, network())
