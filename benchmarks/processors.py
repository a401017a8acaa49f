"""An int8 file on other kinds of processor: `python -m benchmarks.processors MODEL FILE [--examples N]`.

MODEL is a folder that `bistil export` wrote, FILE a labelled file of its task. The model is scored on this
processor, and on others that qemu-user (Debian's package) emulates: one with AVX2 and without VNNI, one without
AVX. The scores, and the share of labels that are the same as here, go to ``results/processors.json``.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.results import save_measurement

EMULATED = {"AVX2, no VNNI (Haswell)": "Haswell", "no AVX (Nehalem)": "Nehalem"}
PROGRAM = """
import json, sys
from pathlib import Path
import bistil
model = bistil.load(sys.argv[1], engine="int8")
examples = model.learned.read(Path(sys.argv[2]))[: int(sys.argv[3])]
found = model.predict(examples)
print(json.dumps([model.learned.score(examples, found)[model.learned.metric], [one.labels for one in found]]))
"""


def main() -> None:
    """Measures and saves."""
    options = argparse.ArgumentParser()
    options.add_argument("model", type=Path)
    options.add_argument("file", type=Path)
    options.add_argument("--examples", type=int, default=1000)
    given = options.parse_args()
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        raise SystemExit("qemu-x86_64 is not there. Install Debian's qemu-user.")
    program = [sys.executable, "-c", PROGRAM, str(given.model), str(given.file), str(given.examples)]
    score, labels = _run(program)
    flat = [label for own in labels for label in own]
    found = {}
    for name, processor in EMULATED.items():
        other, others = _run([emulator, "-cpu", processor, *program])
        same = sum(one == two for one, two in zip(flat, (label for own in others for label in own), strict=True))
        found[name] = {"score": other, "difference": other - score, "same_labels": 100 * same / len(flat)}
    facts = {"examples": len(labels), "labels": len(flat), "score": score, "emulated": found}
    save_measurement("processors", "python -m benchmarks.processors MODEL FILE", facts)
    print(json.dumps(facts, indent=1))


def _run(command: list[str]) -> tuple[float, list[list[str]]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    score, labels = json.loads(done.stdout)
    return score, labels


if __name__ == "__main__":
    main()
