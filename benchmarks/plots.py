"""Draws the plots of docs from ``results/``: `python -m benchmarks.plots` (`--check` in CI).

A plot carries a digest of the numbers it was drawn from, so that it can be checked on machines whose matplotlib
writes other bytes.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from benchmarks.realdata import ROOT
from bistil.files import read_json
from bistil.report.lineplot import new_axes, style
from bistil.report.lossplot import loss_plot


def held_out_loss() -> tuple[Any, Figure]:
    """Mean held-out loss of both languages over tokens: a line a run of `benchmarks.effect`."""
    rows: dict[int, dict[str, float]] = {}
    for name, run in read_json(ROOT / "results/effect.json")["runs"].items():
        languages, layers, _ = name.split(", ")
        source, target = languages.split("-")
        for row in run["curve"]:
            point = rows.setdefault(row["tokens"], {"tokens": row["tokens"]})
            point[f"{languages}, {len(layers.split())} layers"] = (row[source] + row[target]) / 2
    curve = [*rows.values()]
    return curve, loss_plot(curve)


def sample_efficiency() -> tuple[Any, Figure]:
    """Tags in the target over tokens: a line a setting, in grey those that did not get the most."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for key, row in read_json(ROOT / "results/sample-efficiency.json")["rows"].items():
        tokens, name = key.split(": ", 1)
        curves.setdefault(name, []).append((int(tokens), row["pos"]["student"][0]))
    figure, axes = new_axes("Turkish tags by setting, accuracy in per cent", "tokens of general distillation")
    curves = {name: sorted(points) for name, points in curves.items()}
    ticks = sorted({tokens for points in curves.values() for tokens, _ in points})
    longest = {name: points for name, points in curves.items() if len(points) == len(ticks)}
    for points in (points for name, points in curves.items() if name not in longest):
        axes.plot(*zip(*points, strict=True), color="#aaaaaa", marker=".", linewidth=1)
    for number, label in enumerate(sorted(longest, key=lambda name: -longest[name][-1][1])):
        colour, marker = style(number)
        axes.plot(*zip(*longest[label], strict=True), color=colour, marker=marker, markersize=4, label=label)
    axes.set_xscale("log")
    axes.set_xticks(ticks)
    axes.set_xticklabels([f"{tokens:,}" for tokens in ticks])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return curves, figure


def main() -> None:
    """Writes the plots; with --check only says whether they are of the numbers in ``results/``."""
    drawn: tuple[Callable[[], tuple[Any, Figure]], ...] = (held_out_loss, sample_efficiency)
    matplotlib.rcParams["svg.hashsalt"] = "bistil"  # the same bytes from the same numbers
    for draw in drawn:
        numbers, figure = draw()
        digest = hashlib.sha256(json.dumps(numbers).encode()).hexdigest()
        path = ROOT / f"docs/{draw.__name__.replace('_', '-')}.svg"
        if "--check" not in sys.argv[1:]:
            figure.savefig(path, metadata={"Date": None, "Description": digest})
        elif not path.exists() or digest not in path.read_text(encoding="utf-8"):
            raise SystemExit(f"{path.name} is not what results/ says. Run: python -m benchmarks.plots")


if __name__ == "__main__":
    main()
