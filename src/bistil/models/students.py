"""Which teacher layers a student keeps, its initial weights, and its alignment with the teacher."""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load
from torch import Tensor, nn
from transformers import PreTrainedModel

from bistil.errors import BistilError
from bistil.models import families
from bistil.models.feedforward import with_feed_forward
from bistil.models.width import check_width, narrowed
from bistil.sparse.tensors import save_tensors


def kept_layers(
    teacher_layers: int,
    layer_reduction: int,
    layers: int | Sequence[int] | None = None,
    indispensable: Sequence[int] = (),
) -> tuple[int, ...]:
    """The teacher layers a(1)..a(n) that the student copies, counted from 1.

    Of N layers n = N / layer_reduction are kept, rounded: the first, the last, and others evenly between them,
    a(j) = 1 + (j − 1) · (N − 1)/(n − 1), rounded, halves up. A single one is the last, unless others are
    ``indispensable``. BiStil (section 3.1) keeps every second or third layer and so not the first; with it the
    student learns more from the same text (`benchmarks.sample_efficiency`). ``layers`` overrides this choice: as
    a number n, or as the layers themselves.
    Examples: ``kept_layers(12, 2)`` is ``(1, 3, 5, 8, 10, 12)``, ``kept_layers(22, 3)`` is
    ``(1, 5, 8, 12, 15, 19, 22)``. Raises BistilError for a choice that is impossible or lacks an indispensable
    layer.
    """
    if layers is not None and not isinstance(layers, int):
        chosen = tuple(layers)
        if not chosen or list(chosen) != sorted(set(chosen)) or chosen[0] < 1 or chosen[-1] > teacher_layers:
            raise BistilError(
                f"student.layers is {list(chosen)}. Give ascending, different teacher layers from 1 to "
                f"{teacher_layers} (0 is the embedding output, which every student has)."
            )
        if missing := sorted(set(indispensable) - set(chosen)):
            raise BistilError(
                f"student.layers is {list(chosen)}, but in this kind of teacher the layers {list(indispensable)} "
                f"cannot be replaced by others. Add {', '.join(map(str, missing))}."
            )
        return chosen
    if layers is not None and not 1 <= layers <= teacher_layers:
        raise BistilError(
            f"student.layers is {layers}, but the teacher has {teacher_layers} layers. Choose a number from 1 to "
            f"{teacher_layers}, or list the layers to keep."
        )
    if layers is None and not 1 <= layer_reduction <= teacher_layers:
        raise BistilError(
            f"student.layer_reduction is {layer_reduction}, but the teacher has {teacher_layers} layers. "
            f"Choose a number from 1 to {teacher_layers}, or list the layers to keep in student.layers."
        )
    count = _rounded(teacher_layers, layer_reduction) if layers is None else layers
    if count == 1 and 1 not in indispensable:
        return (teacher_layers,)
    steps = min(max(count, 2), teacher_layers) - 1
    return (1, *(1 + _rounded(j * (teacher_layers - 1), steps) for j in range(1, steps + 1)))


def _rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


@dataclass(frozen=True)
class Alignment:
    """Which part of the teacher each part of the student is matched to.

    ``layers``: the teacher layer, counted from 1, of each student layer; ``heads``: the teacher heads, counted
    from 0, of each student layer, None where all are kept; ``projection`` [teacher width, student width]: its
    orthonormal columns take the teacher's hidden states to the student's, None where the widths are equal.
    Example: ``Alignment((2, 4))`` is that of two layers and the teacher's own width.
    """

    layers: tuple[int, ...]
    heads: tuple[tuple[int, ...], ...] | None = None
    projection: Tensor | None = None

    def save(self, folder: Path) -> None:
        """Write ``alignment.json``, and ``alignment.safetensors`` where there is a projection."""
        (folder / "alignment.json").write_text(json.dumps({"layers": self.layers, "heads": self.heads}))
        if self.projection is not None:
            save_tensors({"projection": self.projection}, folder / "alignment.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "Alignment":
        """Read what `save` wrote; raises BistilError where it is not there."""
        try:
            values = json.loads((folder / "alignment.json").read_text(encoding="utf-8"))
        except OSError as error:
            raise BistilError(
                f"{folder} has no alignment.json. Give a folder that bistil made a student in."
            ) from error
        tensors = folder / "alignment.safetensors"
        return cls(
            tuple(values["layers"]),
            None if values["heads"] is None else tuple(map(tuple, values["heads"])),
            load(tensors.read_bytes())["projection"] if tensors.exists() else None,
        )


def make_student(
    teacher: PreTrainedModel,
    layers: Sequence[int],
    *,
    intermediate_size: int | None = None,
    hidden_size: int | None = None,
    batches: Sequence[Mapping[str, Tensor]] = (),
) -> tuple[PreTrainedModel, Alignment]:
    """A plain transformers encoder with the teacher's embeddings and chosen layers, dropout 0, and its alignment.

    Weights are copies, so that training the student leaves the teacher as it is. With ``intermediate_size`` (that
    of the feed-forward) or ``hidden_size`` it is narrower, by what is measured on ``batches`` (model inputs made
    of the corpora): see `bistil.models.feedforward.with_feed_forward` and `bistil.models.width.narrowed`. Raises
    BistilError for layers or widths that cannot be had. Example: ``make_student(teacher, (2, 4, 6, 8, 10,
    12))[0].config.num_hidden_layers`` is 6.
    """
    config = teacher.config
    kept = kept_layers(config.num_hidden_layers, 1, layers, families.indispensable_layers(config))
    check_width(config, intermediate_size, hidden_size)
    student = _with_layers(teacher, kept)
    if intermediate_size is None and hidden_size is None:
        return student, Alignment(kept)
    if not batches:
        raise BistilError("Without text a teacher's width cannot be measured. Give batches of model inputs.")
    if hidden_size is None:
        inner = intermediate_size or families.feed_forward_size(config)
        return with_feed_forward(teacher, student, kept, inner, batches), Alignment(kept)
    student, heads, projection = narrowed(
        teacher, student, kept, intermediate_size=intermediate_size, hidden_size=hidden_size, batches=batches
    )
    return student, Alignment(kept, heads, projection)


def _with_layers(teacher: PreTrainedModel, layers: Sequence[int]) -> PreTrainedModel:
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = len(layers)
    if getattr(config, "layer_types", None) is not None:  # ModernBERT's attention is global or local by layer
        config.layer_types = [config.layer_types[layer - 1] for layer in layers]
    config.update(families.without_dropout(config))
    family = families.family(config)
    student = type(teacher)(config, **{"add_pooling_layer": False} if family.pooler else {}).eval()
    source, pattern = teacher.state_dict(), re.compile(rf"{re.escape(family.layers)}\.(\d+)\.")

    def in_teacher(name: str) -> str:
        return pattern.sub(lambda found: f"{family.layers}.{layers[int(found[1])] - 1}.", name)

    student.load_state_dict({name: source[in_teacher(name)] for name in student.state_dict()})
    return student


def describe(teacher: PreTrainedModel, student: PreTrainedModel, alignment: Alignment) -> str:
    """A plain-text table of where each part of the student comes from, and of its parameters.

    A line of it: ``layer 2           layer 4           heads 0, 3, 5, 9 of 12    790,016``.
    """
    parts = families.layers(student)
    words, inside = _parameters(student.get_input_embeddings()), sum(map(_parameters, parts))
    heads = alignment.heads or [range(teacher.config.num_attention_heads)] * len(parts)
    rows = [("student", "teacher", "", "parameters"), ("token embeddings", "token embeddings", "", f"{words:,}")]
    for number, (part, layer, kept) in enumerate(zip(parts, alignment.layers, heads, strict=True), start=1):
        chosen = "all heads"
        if len(kept) < teacher.config.num_attention_heads:
            chosen = f"heads {', '.join(map(str, kept))} of {teacher.config.num_attention_heads}"
        rows.append((f"layer {number}", f"layer {layer}", chosen, f"{_parameters(part):,}"))
    rows.append(("the rest", "the rest", "", f"{_parameters(student) - words - inside:,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row[:3], widths)) + "  " + row[3].rjust(widths[3]) for row in rows]
    for name, size in (
        ("layers", lambda model: len(families.layers(model))),
        ("hidden size", lambda model: model.config.hidden_size),
        ("feed-forward size", lambda model: families.feed_forward_size(model.config)),
        ("parameters", _parameters),
    ):
        lines.append(f"{name}: {size(teacher):,} → {size(student):,}")
    return "\n".join(lines)


def _parameters(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())
