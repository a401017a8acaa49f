"""What a model costs: parameters, disk, latency and throughput, measured in turns."""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from bistil.families import encoder
from bistil.tasks.task import Task

_ROUNDS, _LATENCY_TEXTS, _THROUGHPUT_TEXTS = 5, 20, 96


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


def speed(models: Sequence[tuple[Any, Any]], task: Task[Any], examples: Sequence[Any]) -> list[dict[str, Any]]:
    """Latency (milliseconds for one text, p50 and p95) and throughput (texts a second, batches of 32).

    ``models`` are (model, tokenizer) pairs that take turns, A B A B, five rounds, so that a machine that is
    busy for a while slows all of them; text goes in and labels come out. Example:
    ``{"latency_ms": {"p50": 9.1, "p95": 12.0}, "throughput": 310.5}``.
    """
    single = list(examples[:_LATENCY_TEXTS])
    many = [examples[i % len(examples)] for i in range(_THROUGHPUT_TEXTS)]
    latencies: list[list[float]] = [[] for _ in models]
    throughputs: list[list[float]] = [[] for _ in models]
    for model, tokenizer in models:  # warm up
        task.predict(model, tokenizer, many[:32])
    for _ in range(_ROUNDS):
        for index, (model, tokenizer) in enumerate(models):
            latencies[index] += [1000 * _seconds(task, model, tokenizer, [one]) for one in single]
            throughputs[index].append(len(many) / _seconds(task, model, tokenizer, many))
    return [
        {
            "latency_ms": {"p50": float(np.percentile(times, 50)), "p95": float(np.percentile(times, 95))},
            "throughput": median(rates),
        }
        for times, rates in zip(latencies, throughputs, strict=True)
    ]


def _seconds(task: Task[Any], model: Any, tokenizer: Any, examples: Sequence[Any]) -> float:
    started = time.perf_counter()
    task.predict(model, tokenizer, examples)
    return time.perf_counter() - started
