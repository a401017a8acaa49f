"""`bistil plan`: what a recipe would do and cost, before anything runs."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bistil.cli.run import Overrides

if TYPE_CHECKING:
    from bistil.planning import Plan, Planned
    from bistil.planning.matrixplan import MatrixPlan


def plan(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, or the matrix of a fleet.")],
    overrides: Overrides = None,
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="Also the time on this card, as a100.")] = None,
) -> None:
    """Show what a run, or a fleet, would do and cost.

    Stages, which of them are reused, tokens, operations, memory, disk, and the time on this machine, from some
    ten seconds of real steps. The teacher and models of a hub are fetched first, as a run would; nothing else is
    written. What is not there yet (text, files, models of a hub that cannot be reached) is noted and left out.

    \b
    bistil plan recipe.yaml
    bistil plan recipe.yaml --set distill.tokens=10_000_000 --gpu a100
    bistil plan matrix.yaml --gpu a100
    """
    from bistil.recipe.matrix import Matrix
    from bistil.recipe.recipe import Recipe, read_values

    if "languages" in read_values(recipe):
        matrix = Matrix.load(recipe, overrides or [])
        from bistil.planning.matrixplan import plan_matrix

        print(shown_matrix(plan_matrix(matrix, gpu)))
        return
    loaded = Recipe.load(recipe, overrides or [])
    from bistil.planning import plan as make_plan

    print(shown(make_plan(loaded, gpu)))


def shown_matrix(found: "MatrixPlan") -> str:
    """The plan of a matrix as it is printed: one row a kind of stage."""
    from bistil.planning.known import GPU_SHARE
    from bistil.report import formats
    from bistil.runtime.tables import aligned, screen_width

    card = [found.gpu] if found.gpu else []
    rows = [["stage", "to make", "reused", "of several recipes", "memory", "disk", "time of all here", *card]]
    kinds: dict[str, list[str]] = {}
    for key, node in found.graph.nodes.items():
        kinds.setdefault(re.sub(r",? ?seed \d+", "", node.step.title).replace(" ()", ""), []).append(key)
    for title, keys in kinds.items():
        new = [found.new[key] for key in keys if key in found.new]
        times = [_sum([stage.seconds for stage in new])]
        times += [_sum([stage.gpu_seconds for stage in new])] if card else []
        rows.append(
            [
                title,
                formats.count(len(new)),
                formats.count(len(keys) - len(new)),
                formats.count(sum(len(found.graph.nodes[key].labels) > 1 for key in keys)),
                formats.size(max((stage.work.memory for stage in new), default=None)),
                formats.size(sum(stage.work.disk for stage in new) or None),
                *("not known" if time is None else formats.duration(time) for time in times),
            ]
        )
    at_least = "at least " if any(stage.seconds is None for stage in found.new.values()) else ""
    totals = [found.seconds, *([found.gpu_seconds] if card else [])]
    reused = len(found.stages) - len(found.new)
    shared = sum(len(node.labels) > 1 for node in found.graph.nodes.values())
    counts = [formats.count(number) for number in (len(found.new), reused, shared)]
    sizes = [formats.size(found.memory), formats.size(found.disk)]
    rows.append(["all", *counts, *sizes, *(at_least + formats.duration(time) for time in totals)])
    workers = "one worker" if found.workers == 1 else f"{found.workers} workers"
    threads = "one thread" if found.cpus == 1 else f"{found.cpus} threads"
    said = [
        "",
        f"{found.recipes} recipes. {workers.capitalize()} of {threads} on this machine: about "
        f"{at_least}{formats.duration(found.wall_seconds)}.",
        f"Without what recipes share, {formats.duration(found.saved)} more.",
    ]
    if found.gpu:
        said.append(f"{found.gpu}: estimated at {GPU_SHARE:.0%} of its peak rate, not measured.")
    return "\n".join([*aligned(rows, screen_width()), *said, *found.notes])


def shown(found: "Plan") -> str:
    """The plan as it is printed."""
    from bistil.planning.known import GPU_SHARE
    from bistil.planning.samples import LINES
    from bistil.report import formats
    from bistil.runtime.tables import aligned, screen_width

    card = [found.gpu] if found.gpu else []
    rows = [["stage", "", "tokens", "operations", "memory", "disk", "time here", *card]]
    for (title, reused), alike in _of_all_seeds(found.stages).items():
        times = "" if len(alike) == 1 else f"{len(alike)} times"
        if reused:
            rows.append([title, times, "", "", "", "", "reused", *[""] * len(card)])
            continue
        works = [stage.work for stage in alike]
        seconds = [_sum([stage.seconds for stage in alike])]
        seconds += [_sum([stage.gpu_seconds for stage in alike])] if card else []
        rows.append(
            [
                title,
                times,
                formats.count(_sum([work.tokens for work in works])),
                _operations(_sum([work.flops for work in works])),
                formats.size(max(work.memory for work in works)),
                formats.size(sum(work.disk for work in works) or None),
                *("not known" if time is None else formats.duration(time) for time in seconds),
            ]
        )
    unknown = any(not stage.reused and stage.seconds is None for stage in found.stages)
    at_least = "at least " if unknown else ""
    totals = [found.seconds, *([found.gpu_seconds] if card else [])]
    rows.append(
        [
            "all",
            "",
            "",
            _operations(found.flops),
            formats.size(found.memory),
            formats.size(found.disk),
            *(at_least + formats.duration(time) for time in totals),
        ]
    )
    pace = found.pace
    distilling, fine_tuning = (rate / pace.matrix for rate in (pace.distilling, pace.fine_tuning))
    said = [
        "",
        f"This machine: {pace.matrix / 1e9:,.0f} billion operations a second in matrix products; general "
        f"distillation reaches {distilling:.0%} of that, fine-tuning {fine_tuning:.0%}.",
        "The memory of a stage is on top of the bare process; the last row includes both.",
    ]
    if found.vocabulary:
        part = f" in the first {LINES:,} lines of each text; all of it usually has more" if found.guessed else ""
        said.append(f"Vocabulary: {found.vocabulary:,} tokens{part}.")
    if found.gpu:
        said.append(f"{found.gpu}: estimated at {GPU_SHARE:.0%} of its peak rate, not measured.")
    return "\n".join([*aligned(rows, screen_width()), *said, *found.notes])


def _of_all_seeds(stages: Sequence["Planned"]) -> dict[tuple[str, bool], list["Planned"]]:
    """The stages by title without the seed, and by whether they are reused."""
    found: dict[tuple[str, bool], list[Planned]] = {}
    for stage in stages:
        title = re.sub(r",? ?seed \d+", "", stage.title).replace(" ()", "")
        found.setdefault((title, stage.reused), []).append(stage)
    return found


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _operations(flops: float | None) -> str:
    """In units of a million million: ``1.3 T``, ``870 T``, ``1.2 P``."""
    from bistil.report import formats

    if not flops:
        return formats.NOTHING
    scale, unit = (1e15, "P") if flops >= 1e15 else (1e12, "T")
    return f"{formats.significant(flops / scale)} {unit}"
