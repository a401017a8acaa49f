"""Students with a smaller hidden size: which directions, heads and neurons they keep, as measured on text."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel

from bistil.errors import BistilError
from bistil.models import families
from bistil.models.refit import refitted
from bistil.models.states import StateReader
from bistil.models.units import Units, real_tokens, seeing

NARROWED = ("bert", "roberta", "xlm-roberta")
Batches = Sequence[Mapping[str, Tensor]]
Heads = tuple[tuple[int, ...], ...]


def check_width(config: PreTrainedConfig, intermediate_size: int | None, hidden_size: int | None) -> None:
    """Raise BistilError unless a teacher of this configuration has narrower students of these sizes.

    Heads keep their width, so that attention compares like with like: a hidden size is a multiple of it. Example:
    multilingual-E5-small, 12 heads of 32, can be narrowed to 256 but not to 250.
    """
    inner = families.feed_forward_size(config)
    if intermediate_size is not None and not 1 <= intermediate_size <= inner:
        raise BistilError(
            f"student.intermediate_size is {intermediate_size}. Give a number from 1 to the teacher's {inner}."
        )
    if hidden_size is None:
        return
    if config.model_type not in NARROWED:
        raise BistilError(
            f"student.hidden_size is for teachers of type {', '.join(NARROWED)}, but this one is of type "
            f"{config.model_type}. Leave it out (student.intermediate_size may stay), or choose another teacher."
        )
    head = config.hidden_size // config.num_attention_heads
    if hidden_size % head or not head <= hidden_size <= config.hidden_size:
        nearest = min(max(round(hidden_size / head), 1), config.num_attention_heads) * head
        raise BistilError(
            f"student.hidden_size is {hidden_size}. Give a multiple of the teacher's head width {head}, at most "
            f"its hidden size {config.hidden_size}: {nearest} is the nearest."
        )


@torch.no_grad()
def narrowed(
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    layers: Sequence[int],
    *,
    intermediate_size: int | None,
    hidden_size: int,
    batches: Batches,
) -> tuple[PreTrainedModel, Heads, Tensor]:
    """A narrower copy of ``student``, which holds the teacher's ``layers`` (counted from 1) as they are.

    Also returns the teacher heads that each layer keeps, and the projection [teacher width, student width] of
    hidden states. Kept are the neurons and heads that vary most in what they give to the residual stream, and
    their outgoing weights make up for the others (`bistil.models.refit`); of the teacher's hidden states the
    principal directions, kept layers pooled, and as many heads as fit at their own width. Weights are projected;
    layer norms do not commute with that and are fitted one by one.
    ``batches`` are model inputs made of the corpora, some 16,000 tokens; (2 · layers + 1) · hidden_size numbers a
    token are held meanwhile. Example: multilingual-E5-small at a hidden size of 256 keeps 8 of its 12 heads.
    """
    config = copy.deepcopy(student.config)
    config.intermediate_size = intermediate_size or config.intermediate_size
    config.hidden_size = hidden_size
    config.num_attention_heads = config.num_attention_heads * config.hidden_size // teacher.config.hidden_size
    whole = [families.layers(teacher)[layer - 1] for layer in layers]
    outputs = [layer.attention.output.dense for layer in whole] + [layer.output.dense for layer in whole]
    heads, neurons, moment = _measure(teacher, layers, outputs, batches)
    projection = principal_directions(moment, hidden_size).float()

    narrow = type(student)(config, add_pooling_layer=False).eval()
    for name, table in student.embeddings.named_children():
        if isinstance(table, nn.Embedding):
            getattr(narrow.embeddings, name).weight.copy_(table.weight @ projection)
    kept_heads = [head.largest(config.num_attention_heads) for head in heads]
    kept = [head.places(chosen) for head, chosen in zip(heads, kept_heads, strict=True)]
    kept += [own.largest(config.intermediate_size) for own in neurons]
    fitted = refitted(teacher, outputs, kept, batches)
    for number, (source, target) in enumerate(zip(whole, families.layers(narrow), strict=True)):
        inner = len(layers) + number
        for name in ("query", "key", "value"):
            read = getattr(source.attention.self, name)
            _read(read, getattr(target.attention.self, name), kept[number], projection)
        _read(source.intermediate.dense, target.intermediate.dense, kept[inner], projection)
        _write(target.attention.output.dense, *fitted[number], projection)
        _write(target.output.dense, *fitted[inner], projection)
    _fit_norms(teacher, narrow, layers, projection, batches)
    return narrow, tuple(tuple(chosen.tolist()) for chosen in kept_heads), projection


def principal_directions(moment: Tensor, size: int) -> Tensor:
    """Orthonormal columns [width, size] along which states have most of their square.

    ``moment`` [width, width] is the sum of h·hᵀ over the states; not centred, because a student has no place for
    the mean of what is left out (as in SliceGPT, Ashkboos et al. 2024). Layer norm takes the direction (1, …, 1)
    out of a state; it is always among those kept, and is (1, …, 1) in the narrower space too, so that the
    student's layer norm takes out the same. The others are principal directions at right angles to it. Example:
    for states in four dimensions that vary along (1, −1, 0, 0) alone, two columns span that and (1, 1, 1, 1).
    """
    width = len(moment)
    across = _reflection(width)[:, 1:]
    largest = torch.linalg.eigh(across.T @ moment.double() @ across).eigenvectors[:, width - size :]
    ones = torch.full((width, 1), width**-0.5, dtype=torch.float64)
    return torch.cat((ones, across @ largest), 1) @ _reflection(size)


def _reflection(size: int) -> Tensor:
    """The symmetric orthogonal matrix [size, size] whose first row and column are (1, …, 1)/√size."""
    identity = torch.eye(size, dtype=torch.float64)
    normal = torch.full((size,), size**-0.5, dtype=torch.float64) - identity[0]
    return identity - 2 * torch.outer(normal, normal) / (normal @ normal) if size > 1 else identity


def _read(source: nn.Linear, target: nn.Linear, kept: Tensor, projection: Tensor) -> None:
    """A linear layer that reads hidden states: some of its outputs."""
    target.weight.copy_(source.weight[kept] @ projection)
    target.bias.copy_(source.bias[kept])


def _write(target: nn.Linear, weight: Tensor, bias: Tensor | None, projection: Tensor) -> None:
    """A linear layer that adds to hidden states."""
    target.weight.copy_(projection.T @ weight)
    if bias is not None:
        target.bias.copy_(bias @ projection)


def _measure(
    teacher: PreTrainedModel, layers: Sequence[int], outputs: Sequence[nn.Linear], batches: Batches
) -> tuple[list[Units], list[Units], Tensor]:
    """Heads and neurons of each kept layer, by their output projections, and the hidden states' second moment."""
    sizes = teacher.config.num_attention_heads, teacher.config.intermediate_size
    units = [Units(output, sizes[index // len(layers)]) for index, output in enumerate(outputs)]
    moment = torch.zeros(teacher.config.hidden_size, teacher.config.hidden_size, dtype=torch.float64)
    reader = StateReader(teacher, layers)

    def add(batch: Mapping[str, Tensor]) -> None:
        real = real_tokens(batch)
        with seeing(outputs, lambda index, inputs, _: units[index].add(inputs[real])):
            for states in reader(batch).hidden:
                moment.add_(states[real].T @ states[real])

    for batch in batches:
        add(batch)
    return units[: len(layers)], units[len(layers) :], moment


def _fit_norms(
    teacher: PreTrainedModel, student: PreTrainedModel, layers: Sequence[int], projection: Tensor, batches: Batches
) -> None:
    """Gives each layer norm of the student the scale and bias with which it best matches the teacher's.

    Least squares, dimension by dimension, on the student's own states below, which makes up in part for the layers
    that are not there and for what the projection loses.
    """
    theirs = _norms(teacher, layers)
    reader = StateReader(teacher, layers)

    def outputs(batch: Mapping[str, Tensor]) -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}
        with seeing(
            theirs, lambda index, _, output: found.update({index: (output @ projection)[real_tokens(batch)]})
        ):
            reader(batch)
        return found

    wanted = [outputs(batch) for batch in batches]
    for index, norm in enumerate(_norms(student)):
        _fit_norm(student, norm, (index + 1) // 2, batches, [one[index] for one in wanted])


def _fit_norm(
    student: PreTrainedModel, norm: nn.LayerNorm, layer: int, batches: Batches, wanted: Sequence[Tensor]
) -> None:
    reader = StateReader(student, (layer,) if layer else ())
    sums = torch.zeros(5, len(norm.weight), dtype=torch.float64)

    def add(batch: Mapping[str, Tensor], targets: Tensor) -> None:
        def see(_: int, inputs: Tensor, __: Tensor) -> None:
            x = F.layer_norm(inputs, norm.normalized_shape, eps=norm.eps)[real_tokens(batch)].double()
            y = targets.double()
            sums.add_(torch.stack([v.sum(0) for v in (torch.ones_like(x), x, y, x * x, x * y)]))

        with seeing([norm], see):
            reader(batch)

    for batch, targets in zip(batches, wanted, strict=True):
        add(batch, targets)
    count, x, y, xx, xy = sums
    scale = (xy - x * y / count) / (xx - x * x / count).clamp(min=1e-12)
    norm.weight.copy_(scale)
    norm.bias.copy_((y - scale * x) / count)


def _norms(model: PreTrainedModel, layers: Sequence[int] | None = None) -> list[nn.LayerNorm]:
    """The layer norms of the embeddings and of the layers (None: of all), in the order in which they run."""
    found = [model.embeddings.LayerNorm]
    for layer in layers or range(1, len(families.layers(model)) + 1):
        module = families.layers(model)[layer - 1]
        found += [module.attention.output.LayerNorm, module.output.LayerNorm]
    return found
