"""What a model costs: parameters, operations, disk, memory, latency, throughput and energy, measured in turns."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from bistil.errors import BistilError
from bistil.evaluation.energy import Energy
from bistil.evaluation.memory import Batch, peak_memory
from bistil.models import pretrained
from bistil.models.families import encoder
from bistil.runtime.engine import OnnxEngine
from bistil.tasks import saved
from bistil.tasks.task import Task
from bistil.tasks.vectors import Embedding

_ROUNDS, _LATENCY_TEXTS, _THROUGHPUT_TEXTS = 5, 20, 96
_BATCHES = (8, 16, 32, 64)
Purpose = Task[Any] | Embedding  # what models are for, and so run on


@dataclass(frozen=True)
class Candidate:
    """A model folder and the engine that runs it, one of `bistil.tasks.saved.ENGINES`.

    A ``bare`` folder holds an encoder for torch, and gets a random head. Where a folder has ONNX files alone,
    ``weights`` is one with the same model for torch, in which its parameters and operations are counted.
    """

    folder: Path
    engine: str = "torch"
    bare: bool = False
    weights: Path | None = None

    def load(self, task: Purpose) -> tuple[Any, Any]:
        """The model, on the CPU, and its tokenizer."""
        if isinstance(task, Embedding):
            model, tokenizer = saved.load_encoder(self.folder, self.engine)
        elif self.bare:
            return task.new_model(self.folder).eval(), pretrained.tokenizer(self.folder)
        else:
            model, tokenizer, _ = saved.load(self.folder, self.engine)
        return (model.cpu() if self.engine == "torch" else model), tokenizer

    @property
    def counted(self) -> "Candidate | None":
        """The same model for torch; None where there is none."""
        if self.engine == "torch":
            return self
        folder = self.weights or self.folder
        return Candidate(folder) if "torch" in saved.engines(folder) else None


def measure(
    candidates: Mapping[str, Candidate], task: Purpose, examples: Sequence[Any]
) -> dict[str, dict[str, Any]]:
    """What each model costs on the CPU on the examples of a task, text in and labels out, by name; all JSON-able.

    Sentence embedding models are given texts with their prompts.

    ``engine``, ``parameters``, ``embedding_parameters`` (of the token embeddings), ``layers``, ``flops_per_token``
    (a product and a sum are two; these four only where there are weights for torch), ``disk_bytes`` (of all files
    that the engine needs), ``memory_bytes`` (the peak of a process that loads the model and predicts; None where
    it cannot be measured, and ``memory_error`` why), ``tokens_per_text`` (without padding), and what `_speeds`
    measures.
    """

    loaded = {name: candidate.load(task) for name, candidate in candidates.items()}
    names = {candidate: name for name, candidate in candidates.items()}

    @cache
    def counts(candidate: Candidate) -> dict[str, float]:
        model, tokenizer = loaded[names[candidate]] if candidate in names else candidate.load(task)
        return {**size(model), "flops_per_token": _operations(model, tokenizer, task, examples[:_LATENCY_TEXTS])}

    costs: dict[str, dict[str, Any]] = {}
    for name, candidate in candidates.items():
        texts = examples[:_THROUGHPUT_TEXTS]
        with _batches(loaded[name][0]) as batches:
            task.predict(*loaded[name], texts)
        costs[name] = {
            "engine": candidate.engine,
            **(counts(candidate.counted) if candidate.counted else {}),
            "disk_bytes": saved.disk_bytes(candidate.folder, candidate.engine),
            **_memory(candidate, task, batches),
            "tokens_per_text": _unpadded(batches) / len(texts),
        }
    for name, speed in _speeds(loaded, task, examples).items():
        speed["tokens_per_second"] = speed["throughput"] * costs[name]["tokens_per_text"]
        costs[name] |= speed
    return costs


def size(model: PreTrainedModel) -> dict[str, int]:
    """Parameters (all, and those of the token embeddings) and layers."""
    return {
        "parameters": model.num_parameters(),
        "embedding_parameters": model.get_input_embeddings().weight.numel(),
        "layers": encoder(model).config.num_hidden_layers,
    }


def _memory(candidate: Candidate, task: Purpose, batches: Sequence[Batch]) -> dict[str, int | str | None]:
    """A run must not fail for want of this one number, at its last stage."""
    try:
        return {
            "memory_bytes": peak_memory(candidate.folder, candidate.engine, task, batches, bare=candidate.bare)
        }
    except BistilError as error:
        return {"memory_bytes": None, "memory_error": str(error)}


def _operations(model: Any, tokenizer: Any, task: Purpose, examples: Sequence[Any]) -> float:
    """For a token of one text after the other."""
    model.requires_grad_(False)  # the counter fails on a parameter that is a layer's input, as of DeBERTa
    # the counter knows matrix products, not every kernel of attention
    with _batches(model) as batches, sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        task.predict(model, tokenizer, examples, batch_size=1)
    return counter.get_total_flops() / _unpadded(batches)


def _unpadded(batches: Sequence[Batch]) -> int:
    return sum(int(batch["attention_mask"].sum()) for batch in batches)


def _speeds(
    engines: Mapping[str, tuple[Any, Any]], task: Purpose, examples: Sequence[Any]
) -> dict[str, dict[str, Any]]:
    """Latency and throughput of (model, tokenizer) pairs that take turns, A B A B, five rounds.

    So a machine that is busy for a while slows all of them. ``latency_ms`` of one text (p50, p95), ``throughput``
    in texts a second with the best ``batch`` of 8 to 64, ``faster``: how many times the throughput of the first is
    had, with its 95 % interval (of the mean log ratio over rounds, by Student's t), ``energy_joules`` a text where
    the processor counts it. Example: ``{"latency_ms": {"p50": 9.1, "p95": 12.0}, "throughput": 310.5, "batch": 16,
    "faster": [2.0, 1.9, 2.1]}``.
    """
    single = list(examples[:_LATENCY_TEXTS])
    many = [examples[i % len(examples)] for i in range(_THROUGHPUT_TEXTS)]
    batch = {
        name: min(_BATCHES, key=lambda tried: _seconds(task, pair, many[: max(_BATCHES)], tried))
        for name, pair in engines.items()
    }
    latencies: dict[str, list[float]] = {name: [] for name in engines}
    rates: dict[str, list[float]] = {name: [] for name in engines}
    joules: dict[str, list[float | None]] = {name: [] for name in engines}
    for _ in range(_ROUNDS):
        for name, pair in engines.items():
            latencies[name] += [1000 * _seconds(task, pair, [one], 1) for one in single]
            energy = Energy()
            rates[name].append(len(many) / _seconds(task, pair, many, batch[name]))
            joules[name].append(energy.joules())
    first = rates[next(iter(engines))]
    found: dict[str, dict[str, Any]] = {}
    for name in engines:
        used = [own for own in joules[name] if own is not None]
        found[name] = {
            "latency_ms": {f"p{p}": float(np.percentile(latencies[name], p)) for p in (50, 95)},
            "throughput": median(rates[name]),
            "batch": batch[name],
            "faster": ratio(rates[name], first),
            **({"energy_joules": fmean(used) / len(many)} if used else {}),
        }
    return found


def ratio(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """The mean ratio of paired positive measurements and its 95 % interval, by Student's t on the logarithms.

    Example: ``ratio([2, 2.2, 1.8], [1, 1, 1])`` is about [1.99, 1.55, 2.56].
    """
    from scipy import stats  # takes half a second

    logs = np.log(np.asarray(values) / np.asarray(base))
    half = float(stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs))
    return [float(np.exp(logs.mean() + shift)) for shift in (0.0, -half, half)]


def _seconds(task: Purpose, pair: tuple[Any, Any], examples: Sequence[Any], batch: int) -> float:
    started = time.perf_counter()
    task.predict(*pair, examples, batch_size=batch)
    return time.perf_counter() - started


@contextmanager
def _batches(model: Any) -> Iterator[list[Batch]]:
    """The inputs that the model, or the engine of one, is called with inside the block."""
    seen: list[Batch] = []
    handle = _listen(model, seen.append)
    try:
        yield seen
    finally:
        handle()


def _listen(model: Any, hear: Callable[[Batch], None]) -> Callable[[], None]:
    """Returns what ends it."""
    if not isinstance(model, OnnxEngine):
        handle = model.register_forward_pre_hook(lambda _, args, inputs: hear(dict(inputs)), with_kwargs=True)
        return handle.remove
    each = model.each

    def heard(batches: Iterable[Batch]) -> Iterator[Any]:
        for batch in batches:
            hear(batch)
            yield batch

    model.each = lambda batches: each(heard(batches))  # type: ignore[method-assign]
    return lambda: vars(model).pop("each")
