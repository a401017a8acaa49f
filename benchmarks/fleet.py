"""A matrix by Ray and by processes: `python -m benchmarks.fleet`.

Four targets × two tasks × two sizes from multilingual-E5-small, two workers of one thread, each planned first. It
counts by the logs how often a stage was built, compares all weights bit by bit, and the time with that of the
stages: overhead is what two workers take beyond half of the sum of all stages' seconds. Kept in
``results/fleet.json``.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.pairs import TEXT, TREEBANKS
from benchmarks.realdata import ROOT, realdata
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.planning.matrixplan import plan_matrix
from bistil.recipe.matrix import Matrix

RESULT = ROOT / "results/fleet.json"
WORKERS = 2
EXECUTORS = ("ray", "processes")


def matrix(out: Path) -> dict[str, Any]:
    """Topics in all four languages, and POS tagging, or in Swahili, which has no treebank, entities."""
    data = realdata()
    topics = {code: f"topic/{code}_sib200-test.tsv" for code in ("tr", "de", "eu", "sw")}
    tasks = [
        ("classification", "topic", "topic/en_sib200-train.tsv", topics),
        ("pos", "pos", "ud/en_ewt-train.conllu", {code: TREEBANKS[code] for code in ("tr", "de", "eu")}),
        ("ner", "ner", "ner/en_ewt-train.iob2", {"sw": "nc/ner/swa_masakhaner2-test.txt"}),
    ]
    return {
        "name": "four-languages",
        "source": {"language": "en", "text": str(data / "text/en.txt")},
        "languages": {code: str(data / TEXT[code]) for code in topics},
        "students": {"half": {"layer_reduction": 2}, "third": {"layer_reduction": 3}},
        "distill": {"tokens": 20_000},
        "tasks": [
            {
                "kind": kind,
                "name": name,
                "train": str(data / train),
                "max_train_samples": 100,
                "label_map": {"DATE": "O"} if kind == "ner" else {},
                "min_steps": 0,
                "test": {code: str(data / path) for code, path in tests.items()},
            }
            for kind, name, train, tests in tasks
        ],
        "out": str(out),
    }


def main() -> None:
    """Both executors, or those that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("executors", nargs="*", default=EXECUTORS, choices=EXECUTORS)
    os.environ["OMP_NUM_THREADS"] = str(WORKERS)
    rows: dict[str, Any] = read_json(RESULT)["rows"] if RESULT.exists() else {}
    for name in parser.parse_args().executors:
        row = _measured(name, ROOT / f"runs/fleet/{name}")
        rows[f"{name}, {row['created'][:16]}"] = row
        write_json(RESULT, {"command": "python -m benchmarks.fleet", "rows": rows})
        print(name, row, flush=True)


def _measured(name: str, out: Path) -> dict[str, Any]:
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(matrix(out)), encoding="utf-8")
    if out.exists():
        raise SystemExit(f"{out} is there already: delete it, for all stages are to be measured.")
    planned = plan_matrix(Matrix.load(path))
    started = time.monotonic()
    command = [sys.executable, "-m", "bistil", "fleet", str(path), "--workers", str(WORKERS)]
    subprocess.run([*command, *(["--ray"] if name == "ray" else [])], check=True)
    seconds = time.monotonic() - started
    manifests = [read_json(found) for found in out.glob("stages/*/manifest.json")]
    built = [line for log in out.glob("logs/*.log") for line in log.read_text("utf-8").splitlines()]
    stages = sum(manifest["seconds"] for manifest in manifests)
    return described(
        {
            "stages": len(manifests),
            "built": sum(": done in " in line and not line.startswith("Fetching") for line in built),
            "stage_seconds": round(stages, 1),
            "seconds": round(seconds, 1),
            "overhead": round(seconds * WORKERS / stages - 1, 3),
            "planned_seconds": round(planned.wall_seconds, 1),
            "of_planned": round(seconds / planned.wall_seconds, 2),
            "disk_bytes": sum(found.stat().st_size for found in out.rglob("*") if found.is_file()),
            "weights": hashlib.sha256(repr(sorted(_weights(out).items())).encode()).hexdigest(),
        }
    )


def _weights(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.glob("stages/*/**/*.safetensors"))
    }


if __name__ == "__main__":
    main()
