"""How fast this machine is at each kind of step: timed for some seconds, on random weights."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from statistics import median
from typing import Any

import torch
from transformers import AutoModel, PreTrainedConfig

from bistil.models.families import family, without_dropout
from bistil.models.flops import forward_flops, matrix_rate
from bistil.models.states import States
from bistil.models.students import Alignment
from bistil.planning.work import Load
from bistil.recipe.distill import Distill
from bistil.training.devices import device, mixed_precision
from bistil.training.distillation import Objective, steps_together
from bistil.training.dropout import use_fast_dropout
from bistil.vocabulary.count import count_tokens

_STEP_SECONDS = 0.7  # that a step should take at the machine's matrix rate
_PART_SECONDS = 2.0  # for each kind of step


@dataclass(frozen=True)
class Pace:
    """What the machine does in a second: operations in a matrix product and in each kind of step; bytes read.

    ``opening`` is how many seconds it takes to load the teacher's tokenizer.
    """

    matrix: float
    distilling: float
    task_distilling: float  # in the batches of the task
    fine_tuning: float
    evaluating: float
    reading: float | None
    opening: float = 0.0


def measure(
    teacher: PreTrainedConfig,
    student: PreTrainedConfig,
    layers: Sequence[int],
    distill: Distill,
    batch: Load,
    tokenizer: Any,
    lines: Sequence[str],
) -> Pace:
    """The pace of general distillation; of task distillation, fine-tuning and evaluation on ``batch``; of reading
    ``lines``.

    Steps are as a run makes them, with fewer inputs where the recipe's would take long. It takes some ten seconds.
    """
    where = device()
    matrix = matrix_rate(where, torch.bfloat16 if mixed_precision() else torch.float32)
    model, small = _random(teacher, where), _random(student, where)
    blocks = Load(distill.batch, distill.sequence_length)
    together = 1 if distill.embeddings else steps_together(distill.batch * distill.sequence_length)
    distilling = _distilling(model, small, layers, distill, blocks, matrix, together)
    task_distilling = _distilling(model, small, layers, Distill(), batch, matrix)
    fine_tuning, evaluating = _fine_tuning(model, batch, matrix)
    reading = _reading(tokenizer, lines) if lines and tokenizer is not None else None
    return Pace(matrix, distilling, task_distilling, fine_tuning, evaluating, reading)


def _random(config: PreTrainedConfig, device: torch.device) -> Any:
    options = {"add_pooling_layer": False} if family(config).pooler else {}
    learning = copy.deepcopy(config)
    learning.update(without_dropout(config, of="attention"))  # as a task teacher learns
    return AutoModel.from_config(learning, dtype=torch.float32, **options).to(device)


def _distilling(
    teacher: Any,
    student: Any,
    layers: Sequence[int],
    distill: Distill,
    batch: Load,
    matrix: float,
    together: int = 1,
) -> float:
    heads, width = student.config.num_attention_heads, student.config.hidden_size
    narrow = width < teacher.config.hidden_size
    alignment = Alignment(
        tuple(layers),
        (tuple(range(heads)),) * len(layers) if narrow else None,
        torch.eye(teacher.config.hidden_size, width) if narrow else None,
    )
    objective = Objective(
        distill.attention, distill.hidden_weight, distill.attention_weight, distill.matched_layers
    )
    teacher.eval().requires_grad_(False)
    readers = objective.readers(student, teacher, alignment)
    length = max(round(batch.length), 2)
    each = length * (forward_flops(teacher, length, layers[-1]) + 3 * forward_flops(student, length))
    rows = _rows(round(batch.inputs), each, matrix)
    inputs, several = (_inputs(student, number, length) for number in (rows, rows * together))

    def read(batches: Mapping[str, torch.Tensor]) -> States:
        with torch.no_grad(), _autocast():
            return readers[1](batches)

    def loss() -> torch.Tensor:
        return objective.loss(readers[0](inputs), wanted, alignment, inputs["attention_mask"].bool())

    wanted = read(inputs)
    seconds = _seconds(_step(student, loss)) + _seconds(lambda: read(several)) / together
    teacher.requires_grad_(True)
    return rows * each / seconds


def _fine_tuning(model: Any, batch: Load, matrix: float) -> tuple[float, float]:
    length = max(round(batch.length), 2)
    each = 3 * length * forward_flops(model, length)
    rows = _rows(round(batch.inputs), each, matrix)
    inputs = _inputs(model, rows, length)
    use_fast_dropout(model)
    model.train()
    fine_tuning = rows * each / _seconds(_step(model, lambda: model(**inputs)[0].float().pow(2).mean()))
    model.eval()

    def evaluate() -> None:
        with torch.inference_mode():
            model(**inputs)

    return fine_tuning, rows * each / 3 / _seconds(evaluate)


def _autocast() -> torch.autocast:
    return torch.autocast(device().type, torch.bfloat16, enabled=mixed_precision())


def _step(model: Any, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)

    def step() -> None:
        with _autocast():
            value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _rows(wanted: int, flops: float, matrix: float) -> int:
    """How many inputs a step has: as many as are wanted, fewer where it would take long, at least one."""
    return max(1, min(wanted, int(_STEP_SECONDS * matrix / flops)))


def _inputs(model: Any, rows: int, length: int) -> Mapping[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, model.config.vocab_size, (rows, length), generator=generator).to(model.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _seconds(step: Callable[[], object]) -> float:
    """The median time of a step; the first warms up, two at least count."""
    started, times = time.perf_counter(), []
    for number in count():
        before = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if number:
            times.append(time.perf_counter() - before)
        if number >= 2 and time.perf_counter() - started > _PART_SECONDS:
            return median(times)
    raise AssertionError


def _reading(tokenizer: Any, lines: Sequence[str]) -> float:
    started = time.perf_counter()
    count_tokens(tokenizer, iter(lines))
    return sum(len(line.encode()) for line in lines) / (time.perf_counter() - started)
