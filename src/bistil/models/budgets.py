"""The shape of a student: its layers and widths; and the deepest one within a budget."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig

from bistil.errors import BistilError
from bistil.models.families import family, feed_forward_size, indispensable_layers, without_dropout
from bistil.models.students import kept_layers
from bistil.models.width import NARROWED

_STEPS = 24  # widths of the feed-forward that are looked at
_SMALLER = 2 / 3  # of the hidden size, where not even the narrowest feed-forward lets all layers stay


@dataclass(frozen=True)
class StudentShape:
    """The teacher's layers that a student keeps, counted from 1, and its widths; None: the teacher's.

    Example: ``StudentShape((1, 12), intermediate_size=384)``.
    """

    layers: tuple[int, ...]
    intermediate_size: int | None = None
    hidden_size: int | None = None

    def config(self, teacher: PreTrainedConfig) -> PreTrainedConfig:
        """The configuration of a student of this shape."""
        values: dict[str, Any] = teacher.to_dict() | without_dropout(teacher)
        values["num_hidden_layers"] = len(self.layers)
        if values.get("layer_types"):
            values["layer_types"] = [values["layer_types"][layer - 1] for layer in self.layers]
        if self.hidden_size is not None:
            values["num_attention_heads"] = self.hidden_size * teacher.num_attention_heads // teacher.hidden_size
            values["hidden_size"] = self.hidden_size
        if self.intermediate_size is not None:
            values[family(teacher).inner_size] = self.intermediate_size
        return type(teacher).from_dict(values)


def deepest(teacher: PreTrainedConfig, budget: float, cost: Callable[[StudentShape], float]) -> StudentShape:
    """The student with most layers whose cost is at most ``budget``, a share of the teacher's.

    A feed-forward is at least as wide as the hidden states. Of shapes with as many layers the one with the
    teacher's hidden size goes first, and then the widest feed-forward: depth is what answers and sentence vectors
    need, and width is cheap (`benchmarks.shapes`).

    Args:
        teacher: its configuration.
        budget: such as 0.5.
        cost: of a shape, as a share of the teacher's; more for more layers, and for wider ones.

    Raises:
        BistilError: no student is within the budget.

    Example: with operations as the cost and 0.5, eleven of E5-small's 12 layers with a feed-forward of 384.
    """
    for shapes in _candidates(teacher):
        if cost(shapes[-1]) <= budget:
            return shapes[bisect_left(shapes, True, key=lambda shape: cost(shape) <= budget)]
    raise BistilError(
        f"No student is within student.budget {budget:g}: the smallest takes {cost(shapes[-1]):.2f} of what the "
        "teacher takes. Give more, or say which layers to keep."
    )


def _candidates(teacher: PreTrainedConfig) -> Iterator[list[StudentShape]]:
    """Shapes of one depth and hidden size, from the widest feed-forward to the narrowest; the deepest first."""
    number, whole, inner = teacher.num_hidden_layers, teacher.hidden_size, feed_forward_size(teacher)
    needed = indispensable_layers(teacher)
    head = whole // teacher.num_attention_heads
    hidden_sizes = [whole]
    if teacher.model_type in NARROWED and (smaller := int(_SMALLER * whole / head) * head):
        hidden_sizes.append(smaller)
    for count in range(number, max(len(needed), 1) - 1, -1):
        layers = kept_layers(number, 1, count, needed)
        for hidden in hidden_sizes:
            sizes = dict.fromkeys(inner * step // _STEPS for step in range(_STEPS, 0, -1))
            yield [
                StudentShape(layers, None if size == inner else size, None if hidden == whole else hidden)
                for size in sizes
                if size >= min(hidden, inner)
            ]
