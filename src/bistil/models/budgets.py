"""The deepest student within a budget."""

from bisect import bisect_left
from collections.abc import Callable, Iterator

from transformers import PreTrainedConfig

from bistil.errors import BistilError
from bistil.models.families import feed_forward_size, indispensable_layers
from bistil.models.shapes import StudentShape
from bistil.models.students import kept_layers
from bistil.models.width import NARROWED

_STEPS = 24  # widths of the feed-forward that are looked at
_SMALLER = 2 / 3  # of the hidden size, where not even one layer of the whole is within the budget


def deepest(teacher: PreTrainedConfig, budget: float, cost: Callable[[StudentShape], float]) -> StudentShape:
    """The student with most layers whose cost is at most ``budget``, a share of the teacher's.

    A feed-forward is at least as wide as the hidden states, and of shapes with as many layers the one with the
    widest feed-forward goes first. Hidden states are narrower only where no student with the teacher's hidden size
    is within the budget. `benchmarks.shapes` measures what that keeps of question answering.

    Args:
        teacher: its configuration.
        budget: such as 0.5.
        cost: of a shape, as a share of the teacher's; more for more layers, and for wider ones.

    Raises:
        BistilError: no student is within the budget.

    Example: with operations for 64 tokens as the cost and 0.5, 11 layers of E5-small with a feed-forward of 448.
    """
    for shapes in _candidates(teacher):
        if cost(shapes[-1]) <= budget:
            return shapes[bisect_left(shapes, True, key=lambda shape: cost(shape) <= budget)]
    raise BistilError(
        f"No student is within student.budget {budget:g}: the smallest takes {cost(shapes[-1]):.2f} of what the "
        "teacher takes. Give more, or say which layers to keep."
    )


def _candidates(teacher: PreTrainedConfig) -> Iterator[list[StudentShape]]:
    """Shapes of one hidden size and depth, from the widest feed-forward to the narrowest; the deepest first."""
    number, whole, inner = teacher.num_hidden_layers, teacher.hidden_size, feed_forward_size(teacher)
    needed = indispensable_layers(teacher)
    head = whole // teacher.num_attention_heads
    hidden_sizes = [whole]
    if teacher.model_type in NARROWED and (smaller := int(_SMALLER * whole / head) * head):
        hidden_sizes.append(smaller)
    for hidden in hidden_sizes:
        sizes = [
            size
            for size in dict.fromkeys(inner * step // _STEPS for step in range(_STEPS, 0, -1))
            if size >= min(hidden, inner)
        ]
        for count in range(number, max(len(needed), 1) - 1, -1):
            layers = kept_layers(number, 1, count, needed)
            yield [
                StudentShape(layers, None if size == inner else size, None if hidden == whole else hidden)
                for size in sizes
            ]
