"""What a model costs: parameters, operations, disk, memory, latency, throughput and energy, measured in turns."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from bistil.errors import BistilError
from bistil.evaluation.energy import Energy
from bistil.evaluation.memory import peak_memory
from bistil.exporting.graph import write_graph
from bistil.models import pretrained
from bistil.models.families import encoder
from bistil.runtime.engine import OnnxEngine
from bistil.runtime.tokenizer import FolderTokenizer
from bistil.tasks.task import Task

_ROUNDS, _LATENCY_TEXTS, _THROUGHPUT_TEXTS = 5, 20, 96
_BATCHES = (8, 16, 32, 64)


@dataclass(frozen=True)
class Candidate:
    """A model folder to measure; a ``bare`` one holds an encoder, and gets a random head."""

    folder: Path
    bare: bool = False

    def load(self, task: Task[Any]) -> tuple[Any, Any]:
        """The model in eval mode and its tokenizer."""
        model = task.new_model(self.folder) if self.bare else pretrained.model(task.head, self.folder)
        return model.eval(), pretrained.tokenizer(self.folder)


def measure(
    candidates: Mapping[str, Candidate], task: Task[Any], examples: Sequence[Any], *, onnx: bool = False
) -> dict[str, dict[str, Any]]:
    """What each model costs on the examples of a task, text in and labels out, by name; all JSON-able.

    ``parameters``, ``embedding_parameters`` (of the token embeddings), ``layers``, ``disk_bytes`` (weights and
    tokenizer), ``memory_bytes`` (the peak of a process that loads the model and predicts; None where it cannot be
    measured, and ``memory_error`` why), ``tokens_per_text`` and ``flops_per_token`` (both of one text after the
    other, without padding; a product and a sum are two), and what `_speeds` measures; ``onnx`` has the latter for
    the model in ONNX form, where that is asked for, or ``onnx_error`` why it has no such form.
    """
    loaded = {name: candidate.load(task) for name, candidate in candidates.items()}
    costs: dict[str, dict[str, Any]] = {}
    for name, (model, tokenizer) in loaded.items():
        folder, bare = candidates[name].folder, candidates[name].bare
        with _batches(model) as batches:
            task.predict(model, tokenizer, examples[:_THROUGHPUT_TEXTS])
        costs[name] = {
            **size(model, folder),
            **_memory(folder, task, batches, bare),
            **_operations(model, tokenizer, task, examples[:_LATENCY_TEXTS]),
        }
    engines = {(name, ""): pair for name, pair in loaded.items()}
    with tempfile.TemporaryDirectory() as graphs:
        if onnx:
            for name, (model, tokenizer) in loaded.items():
                try:
                    graph = write_graph(model, tokenizer, Path(graphs) / f"{len(engines)}.onnx")
                    exported = OnnxEngine(graph.file, model.config.to_dict())
                except BistilError as error:
                    costs[name]["onnx_error"] = str(error)
                else:
                    engines[name, "onnx"] = exported, FolderTokenizer(candidates[name].folder)
        for (name, engine), speed in _speeds(engines, task, examples).items():
            speed["tokens_per_second"] = speed["throughput"] * costs[name]["tokens_per_text"]
            costs[name] |= {engine: speed} if engine else speed
    return costs


def size(model: PreTrainedModel, folder: Path) -> dict[str, int]:
    """Parameters (all, and those of the token embeddings), layers, and bytes on disk of weights and tokenizer."""
    return {
        "parameters": model.num_parameters(),
        "embedding_parameters": model.get_input_embeddings().weight.numel(),
        "layers": encoder(model).config.num_hidden_layers,
        "disk_bytes": sum(
            path.stat().st_size for path in folder.iterdir() if path.suffix in (".safetensors", ".json")
        ),
    }


def _memory(
    folder: Path, task: Task[Any], batches: Sequence[Mapping[str, Tensor]], bare: bool
) -> dict[str, int | str | None]:
    """A run must not fail for want of this one number, at its last stage."""
    try:
        return {"memory_bytes": peak_memory(folder, task, batches, bare=bare)}
    except BistilError as error:
        return {"memory_bytes": None, "memory_error": str(error)}


def _operations(model: Any, tokenizer: Any, task: Task[Any], examples: Sequence[Any]) -> dict[str, float]:
    # the counter knows matrix products, not every kernel of attention
    with _batches(model) as batches, sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        task.predict(model, tokenizer, examples, batch_size=1)
    tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
    return {
        "tokens_per_text": tokens / len(examples),
        "flops_per_token": counter.get_total_flops() / tokens,
    }


def _speeds(
    engines: Mapping[Any, tuple[Any, Any]], task: Task[Any], examples: Sequence[Any]
) -> dict[Any, dict[str, Any]]:
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
    latencies: dict[Any, list[float]] = {name: [] for name in engines}
    rates: dict[Any, list[float]] = {name: [] for name in engines}
    joules: dict[Any, list[float | None]] = {name: [] for name in engines}
    for _ in range(_ROUNDS):
        for name, pair in engines.items():
            latencies[name] += [1000 * _seconds(task, pair, [one], 1) for one in single]
            energy = Energy()
            rates[name].append(len(many) / _seconds(task, pair, many, batch[name]))
            joules[name].append(energy.joules())
    first = rates[next(iter(engines))]
    found: dict[Any, dict[str, Any]] = {}
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


def _seconds(task: Task[Any], pair: tuple[Any, Any], examples: Sequence[Any], batch: int) -> float:
    started = time.perf_counter()
    task.predict(*pair, examples, batch_size=batch)
    return time.perf_counter() - started


@contextmanager
def _batches(model: Any) -> Iterator[list[dict[str, Tensor]]]:
    """The inputs that the model is called with inside the block."""
    seen: list[dict[str, Tensor]] = []
    handle = model.register_forward_pre_hook(lambda _, args, inputs: seen.append(dict(inputs)), with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()
