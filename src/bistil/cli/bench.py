"""`bistil bench`: size and speed of models."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bistil.errors import BistilError


def bench(
    paths: Annotated[
        list[Path], typer.Argument(metavar="MODEL... FILE", help="Task models, then a file of their task.")
    ],
    engine: Annotated[
        list[str] | None,
        typer.Option(help="torch, onnx or int8; may be repeated. Without it all that a folder has."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
) -> None:
    """Measure size and speed of task models on a labelled file, in turns.

    Each is measured in PyTorch, and with the ONNX files that `bistil export` or a run wrote into its folder.
    Everything is compared with the first row.

    \b
    bistil bench runs/turkish/teachers/pos runs/turkish/tasks/pos tr_boun-test.conllu
    bistil bench runs/turkish/tasks/pos tr_boun-test.conllu --engine torch --engine int8
    """
    *models, file = paths
    if not models or file.is_dir():
        raise BistilError("bench takes one or more model folders, then a file. Put the file last.")
    names = [str(model) for model in models]
    if len(set(names)) < len(names):
        raise BistilError(f"A model is named twice: {', '.join(names)}. Name each once.")
    from bistil.evaluation.efficiency import Candidate, measure
    from bistil.tasks.saved import engines, load

    if len(asked := engine or []) > len(set(asked)):
        raise BistilError(f"An engine is named twice: {', '.join(asked)}. Name each once.")
    candidates = {
        f"{model}, {one}": Candidate(model, one)
        for model in models
        for one in asked or [*reversed(engines(model))] or ["torch"]
    }
    tasks = [load(candidate.folder, candidate.engine)[2] for candidate in candidates.values()]
    if others := [name for name, task in zip(candidates, tasks, strict=True) if task.kind != tasks[0].kind]:
        raise BistilError(f"{names[0]} is for {tasks[0].kind}, {others[0]} is not. Give models of one task.")
    task = max(tasks, key=lambda one: len(one.labels))  # whose labels name whatever another predicts
    costs = measure(candidates, task, task.read(file, labelled=False))
    if as_json:
        print(json.dumps({"file": str(file), "models": costs}, ensure_ascii=False, indent=2))
    else:
        print(_tables(costs))
        print("\nTexts a second with the best batch; times: relative to the first row, with a 95 % interval.")
        for name, cost in costs.items():
            if reason := cost.get("memory_error"):
                print(f"Not measured: memory of {name}: {reason}")
        if not any("energy_joules" in cost for cost in costs.values()):
            print("Not measured: energy, because this user cannot read the processor's counters (RAPL).")


def _tables(costs: Mapping[str, Mapping[str, Any]]) -> str:
    from bistil.report import formats
    from bistil.runtime.tables import aligned, screen_width

    width = screen_width()
    sizes = [["", "parameters", "without embeddings", "FLOPs a token", "disk", "peak memory", "tokens a text"]]
    speeds = [["", "p50", "p95", "texts/s", "batch", "tokens/s", "times", "joules a text"]]
    for name, cost in costs.items():
        sizes.append(
            [
                name,
                formats.millions(cost.get("parameters")),
                formats.millions(
                    cost["parameters"] - cost["embedding_parameters"] if "parameters" in cost else None
                ),
                formats.millions(cost.get("flops_per_token")),
                formats.size(cost["disk_bytes"]),
                formats.peak_memory(cost),
                formats.significant(cost["tokens_per_text"]),
            ]
        )
        speeds.append([name, *_speed(cost)])
    return "\n".join([*aligned(sizes, width), "", *aligned(speeds, width)])


def _speed(cost: Mapping[str, Any]) -> list[str]:
    from bistil.report import formats

    times, low, high = cost["faster"]
    return [
        *(f"{formats.significant(cost['latency_ms'][p])} ms" for p in ("p50", "p95")),
        formats.significant(cost["throughput"]),
        str(cost["batch"]),
        formats.count(cost["tokens_per_second"]),
        f"{times:.2f} [{low:.2f}, {high:.2f}]",
        formats.significant(cost.get("energy_joules")),
    ]
