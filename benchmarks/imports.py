"""How long imports and help take: `python -m benchmarks.imports [--against CHECKOUT] [--rounds N]`, resumable.

Each is timed in fresh processes: the import of bistil, help, the modules of a run, and `bistil eval` of twenty
texts with a tiny model; beside them Python alone, and torch and transformers, below which a run and `eval` cannot
come. With a checkout of an earlier commit the two take turns, A B A B. Seconds, and those of the processor (user
and system), which a busy machine changes less; medians, least and most go to ``results/imports.json``.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests import tiny

from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.tasks import Classification

RESULT = ROOT / "results/imports.json"
_RUNS = """
try:
    import bistil.pipeline.runs
except ModuleNotFoundError:  # in older commits it is bistil.pipeline, which is loaded by now
    import bistil.pipeline
"""
MEASURED = {
    "python": ("-c", "pass"),
    "import bistil": ("-c", "import bistil"),
    "bistil --help": ("-m", "bistil", "--help"),
    "bistil eval --help": ("-m", "bistil", "eval", "--help"),
    "import torch, PreTrainedModel": ("-c", "import torch; from transformers import PreTrainedModel"),
    "import bistil.pipeline.runs": ("-c", _RUNS),
    "bistil eval MODEL FILE": ("-m", "bistil", "eval", "model", "test.jsonl"),
}


def main() -> None:
    """All rows that are not there yet."""
    options = argparse.ArgumentParser()
    options.add_argument("--against", type=Path, metavar="CHECKOUT", help="of another commit, for a comparison")
    options.add_argument("--rounds", type=int, default=11)
    given = options.parse_args()
    trees = {"now": ROOT} | ({"against": given.against.absolute()} if given.against else {})
    rows = read_json(RESULT)["rows"] if RESULT.exists() else {}
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_model(folder)
        for name, arguments in MEASURED.items():
            if name not in rows:
                rows[name] = described(_measure(arguments, trees, folder, given.rounds))
                write_json(RESULT, {"command": "python -m benchmarks.imports", "rows": rows})
            for tree, facts in rows[name]["trees"].items():
                wall, processor = facts["seconds"], facts["processor_seconds"]
                print(f"{name:<32}{tree:<9}{wall['median']:6.3f} s, processor {processor['median']:6.3f} s")


def _write_model(folder: Path) -> None:
    """``model/``, a classifier with random weights, and ``test.jsonl`` with texts for it."""
    lines = tiny.lines()
    tokenizer = tiny.tokenizer(lines)
    model = Classification(("animal", "plant")).new_model(tiny.teacher(folder / "teacher", tokenizer))
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    rows = [json.dumps({"text": line, "label": "animal"}) for line in lines["en"][:20]]
    (folder / "test.jsonl").write_text("\n".join(rows), encoding="utf-8")


def _measure(arguments: tuple[str, ...], trees: dict[str, Path], folder: Path, rounds: int) -> dict[str, object]:
    """Each tree's times over the rounds; one round before them fills the caches and is left out."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in trees}
    for _ in range(1 + rounds):
        for name, tree in trees.items():
            times[name].append(_seconds(arguments, tree, folder))
    found = {
        name: {
            "commit": _commit(tree),
            "seconds": _spread([wall for wall, _ in times[name][1:]]),
            "processor_seconds": _spread([processor for _, processor in times[name][1:]]),
        }
        for name, tree in trees.items()
    }
    return {"rounds": rounds, "trees": found}


def _seconds(arguments: tuple[str, ...], tree: Path, folder: Path) -> tuple[float, float]:
    """The seconds of one process, and those of the processor in it."""
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, check=True, capture_output=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"median": median(seconds), "least": min(seconds), "most": max(seconds)}


def _commit(tree: Path) -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=tree, check=True, capture_output=True, encoding="utf-8")
    return done.stdout.strip()


if __name__ == "__main__":
    main()
