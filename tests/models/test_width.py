"""Narrower students against numpy, brute force, and teachers that are narrower than they look."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bistil.errors import BistilError
from bistil.models import families
from bistil.models.states import StateReader
from bistil.models.students import describe, make_student
from bistil.models.width import check_width, principal_directions
from bistil.training.losses import attention_loss, hidden_loss

ALL = (1, 2, 3, 4, 5)


def batches(count: int = 6) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(4, 12, dtype=torch.long)
    mask[3, 7:] = 0
    return [
        {"input_ids": torch.randint(5, 60, (4, 12), generator=generator), "attention_mask": mask}
        for _ in range(count)
    ]


def real_states(model: torch.nn.Module, layers: tuple[int, ...]) -> list[torch.Tensor]:
    """Hidden states of real tokens, [tokens, width] for the embeddings and each layer."""
    with torch.no_grad():
        runs = [model(**one, output_hidden_states=True).hidden_states for one in batches()]
    real = [one["attention_mask"].bool() for one in batches()]
    return [torch.cat([run[k][mask] for run, mask in zip(runs, real, strict=True)]) for k in (0, *layers)]


def real_inputs(model: torch.nn.Module, module: torch.nn.Module) -> torch.Tensor:
    """What a module of the model reads of real tokens, [tokens, width]."""
    seen: list[torch.Tensor] = []
    hook = module.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.no_grad():
        for one in batches():
            model(**one)
    hook.remove()
    real = [one["attention_mask"].bool() for one in batches()]
    return torch.cat([values[mask] for values, mask in zip(seen, real, strict=True)])


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_principal_directions_equal_those_of_numpy(size):
    """Beside (1, …, 1) they are the right singular vectors of states from which it was taken out."""
    random = np.random.default_rng(0)
    states = random.normal(size=(300, 8)) * np.arange(1, 9) + 2.0
    directions = principal_directions(torch.from_numpy(states.T @ states), size).numpy()
    np.testing.assert_allclose(directions.T @ directions, np.eye(size), atol=1e-12)
    ones = np.full(8, 8**-0.5)
    singular = np.linalg.svd(states - states.mean(1, keepdims=True), full_matrices=False)[2][: size - 1]
    expected = np.outer(ones, ones) + singular.T @ singular
    np.testing.assert_allclose(directions @ directions.T, expected, atol=1e-9)
    # layer norm takes the mean over dimensions, before and after
    np.testing.assert_allclose(directions @ np.full(size, size**-0.5), ones, atol=1e-12)


@pytest.mark.parametrize("family", sorted(families.FAMILIES))
def test_dropping_dead_neurons_changes_nothing(tiny_encoder, family):
    teacher = tiny_encoder(family)
    dead, size = torch.tensor([0, 3, 4, 9, 17, 23]), families.feed_forward_size(teacher.config)
    for layer in families.layers(teacher):
        for name in families.FAMILIES[family].reads:
            read = layer.get_submodule(name)  # what remains is a constant, which is no neuron's work
            read.weight.data.unflatten(0, (-1, size))[:, dead] = 0
    student, alignment = make_student(teacher, ALL, intermediate_size=size - 6, batches=batches())
    assert families.feed_forward_size(student.config) == size - 6
    assert alignment.projection is alignment.heads is None
    for mine, theirs in zip(real_states(student, ALL), real_states(teacher, ALL), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4)


@pytest.mark.parametrize("family", sorted(families.FAMILIES))
def test_neurons_that_lose_least_are_dropped(tiny_encoder, family):
    """Brute force in one layer: each neuron is replaced by its mean, or nothing without a bias for the mean."""
    teacher, parts = tiny_encoder(family), families.FAMILIES[family]
    layers, size = (1, len(families.layers(teacher))), families.feed_forward_size(teacher.config)
    layer = families.layers(teacher)[0]
    writes, reads = layer.get_submodule(parts.writes), layer.get_submodule(parts.reads[0])
    activations = real_inputs(teacher, writes)
    lost = []
    for neuron in range(size):
        without = activations.clone()
        without[:, neuron] = 0 if writes.bias is None else activations[:, neuron].mean()
        lost.append(F.linear(activations - without, writes.weight).square().sum().item())
    student, _ = make_student(teacher, layers, intermediate_size=10, batches=batches())
    kept = sorted(np.argsort(lost)[-10:])
    mine = families.layers(student)[0]
    fitted = mine.get_submodule(parts.writes)
    x, y = (values.detach().double().numpy() for values in (activations, F.linear(activations, writes.weight)))
    x, old = x[:, kept], writes.weight[:, kept].detach().double().numpy()
    if writes.bias is not None:
        middle = x.mean(0), y.mean(0)
        x, y = x - middle[0], y - middle[1]
    # ridge regression of what is missing, as numpy solves it: rows that hold the change to nothing stand below
    ridge = np.sqrt(0.01 * np.square(x).mean() * len(x)) * np.eye(10)
    change = np.linalg.lstsq(np.vstack((x, ridge)), np.vstack((y - x @ old.T, np.zeros((10, y.shape[1])))))[0]
    np.testing.assert_allclose(fitted.weight.detach(), old + change.T, atol=1e-4)
    if writes.bias is not None:
        expected = writes.bias.detach().numpy() + middle[1] - (old + change.T) @ middle[0]
        np.testing.assert_allclose(fitted.bias.detach(), expected, atol=1e-4)
    halves = reads.weight.unflatten(0, (-1, size))[:, kept].flatten(0, 1)
    assert torch.equal(mine.get_submodule(parts.reads[0]).weight, halves)


def doubled(small: torch.nn.Module, tiny_encoder) -> torch.nn.Module:
    """A teacher of twice the width and heads which holds every state of the small one twice.

    Its states fill half of the space. The second half of its heads sees nothing and gives nothing.
    """
    big = tiny_encoder("bert", hidden_size=16, num_attention_heads=4)
    big.pooler = None
    weights = small.state_dict()
    with torch.no_grad():
        for name, value in big.named_parameters():
            source = weights[name]
            if name.endswith("embeddings.weight") or "LayerNorm" in name:
                value.copy_(torch.cat((source, source), -1))
            elif ".self." in name:
                half = torch.cat((source, source), -1) / 2 if source.dim() == 2 else source
                value.copy_(torch.cat((half, torch.zeros_like(half)), 0))
            elif "intermediate" in name:
                value.copy_(torch.cat((source, source), -1) / 2 if source.dim() == 2 else source)
            else:
                twice = torch.cat((source, source), 0)
                value.copy_(F.pad(twice, (0, 8)) if "attention" in name and source.dim() == 2 else twice)
    return big


@pytest.fixture
def doubled_teacher(tiny_encoder):
    small = tiny_encoder("bert", hidden_size=8, num_attention_heads=2)
    for name, value in small.named_parameters():
        if "LayerNorm.weight" in name:
            value.data.fill_(1.3)  # equal in all dimensions: layer norm then commutes with a projection
        if "LayerNorm.bias" in name:
            value.data.fill_(0.0)
    teacher = doubled(small, tiny_encoder)
    for mine, theirs in zip(real_states(small, ALL), real_states(teacher, ALL), strict=True):
        assert torch.allclose(torch.cat((mine, mine), -1), theirs, atol=1e-4)
    return teacher


@pytest.mark.parametrize("layers", [ALL, (1,)])
def test_projection_of_states_that_fill_half_of_the_space_is_exact(doubled_teacher, layers):
    student, alignment = make_student(doubled_teacher, layers, hidden_size=8, batches=batches())
    assert alignment.heads == ((0, 1),) * len(layers)
    assert alignment.projection.shape == (16, 8)
    mine = real_states(student, tuple(range(1, len(layers) + 1)))
    for own, theirs in zip(mine, real_states(doubled_teacher, layers), strict=True):
        assert torch.allclose(own, theirs @ alignment.projection, atol=2e-3)
        assert torch.allclose(own @ alignment.projection.T, theirs, atol=2e-3)  # nothing is lost


def test_attention_of_kept_heads_is_that_of_the_teacher(doubled_teacher):
    student, alignment = make_student(doubled_teacher, ALL, hidden_size=8, batches=batches())
    mask = batches()[0]["attention_mask"].bool()
    with torch.no_grad():
        theirs = StateReader(doubled_teacher, ALL, attention=ALL)(batches()[0])
        ours = StateReader(student, ALL, attention=ALL)(batches()[0])
    kept = [layer[:, list(heads)] for layer, heads in zip(theirs.attention, alignment.heads, strict=True)]
    assert hidden_loss(ours.hidden, theirs.hidden, mask, alignment.projection) < 1e-6
    assert attention_loss(ours.attention, kept, mask) < 1e-6


def test_heads_that_give_most_are_kept(tiny_encoder):
    teacher = tiny_encoder("xlm-roberta")
    for number, layer in enumerate(families.layers(teacher)):
        layer.attention.output.dense.weight.data[:, 4 * (number % 4) : 4 * (number % 4) + 4] *= 1e-3
    student, alignment = make_student(teacher, ALL, hidden_size=12, batches=batches())
    assert alignment.heads == ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2), (1, 2, 3))
    assert student.config.num_attention_heads == 3
    assert "heads 0, 2, 3 of 4" in describe(teacher, student, alignment)
    assert "hidden size: 16 → 12" in describe(teacher, student, alignment)


def test_fitted_norms_follow_the_teacher_better_than_projected_ones(tiny_encoder):
    teacher = tiny_encoder("bert")
    student, alignment = make_student(teacher, (1, 3, 5), hidden_size=12, intermediate_size=20, batches=batches())
    wanted = [states @ alignment.projection for states in real_states(teacher, (1, 3, 5))]

    def distance() -> torch.Tensor:
        mine = real_states(student, (1, 2, 3))
        return torch.stack([(m - w).square().mean() for m, w in zip(mine, wanted, strict=True)])

    fitted = distance()
    assert fitted[3] < torch.stack([w.var() for w in wanted])[3]
    for layer, source in (
        (student.embeddings, teacher.embeddings),
        *zip(
            [x.output for x in families.layers(student)],
            [families.layers(teacher)[k].output for k in (0, 2, 4)],
            strict=True,
        ),
    ):
        scale, bias = source.LayerNorm.weight.data, source.LayerNorm.bias.data
        layer.LayerNorm.weight.data = torch.diag(alignment.projection.T @ torch.diag(scale) @ alignment.projection)
        layer.LayerNorm.bias.data = bias @ alignment.projection
    assert (fitted < distance()).all()


def test_a_narrow_student_is_a_plain_model(tiny_encoder, tmp_path):
    from transformers import AutoModel

    student, _ = make_student(
        tiny_encoder("roberta"), (2, 5), hidden_size=8, intermediate_size=7, batches=batches()
    )
    student.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    one = batches()[0]
    assert torch.allclose(loaded(**one).last_hidden_state[0], student(**one).last_hidden_state[0], atol=1e-6)
    assert loaded.config.hidden_size == 8
    assert loaded.config.num_attention_heads == 2


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hidden_size": 10}, "multiple of the teacher's head width 4, .* 8 is the nearest"),
        ({"hidden_size": 20}, "16 is the nearest"),
        ({"hidden_size": 1}, "4 is the nearest"),
        ({"intermediate_size": 25}, "from 1 to the teacher's 24"),
        ({"intermediate_size": 12}, "Give batches"),
    ],
)
def test_impossible_widths(tiny_encoder, sizes, message):
    with pytest.raises(BistilError, match=message):
        make_student(tiny_encoder("bert"), ALL, **sizes)


def test_families_that_cannot_be_narrowed(tiny_encoder):
    with pytest.raises(BistilError, match=r"for teachers of type bert, roberta, xlm-roberta, but .* modernbert"):
        check_width(tiny_encoder("modernbert").config, 12, 16)
