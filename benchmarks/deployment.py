"""What running an exported model takes, without torch: `python -m benchmarks.deployment MODEL TEXT`.

MODEL is a folder that `bistil export` wrote. The steps of examples/container/Dockerfile are run one by one in a
new environment. Measured are the bytes that they add to the base image; in new processes the time from `import
bistil` to the first answer, and the peak of the memory; and the time from the start of the container's entry point
to its first answer. `results/deployment.json` has the medians.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.container import Container, build, context
from benchmarks.results import save_measurement

STARTS = 9
PROGRAM = """
import sys, time
started = time.perf_counter()
import bistil
bistil.load(sys.argv[1], engine="int8")(sys.argv[2])
seconds = time.perf_counter() - started
assert "torch" not in sys.modules
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(seconds, 1024 * int(peak))
"""


def main(model: Path, text: str) -> None:
    """Measures and saves."""
    with tempfile.TemporaryDirectory() as folder:
        made = build(context(model, Path(folder) / "context"), Path(folder) / "root")
        wheel, installed, *copied = made.layers.values()
        runs, answers = [], []
        for _ in range(STARTS):
            command = ["python", "-c", PROGRAM, "model", text]
            done = subprocess.run(
                command, cwd=made.work, env=made.environment, capture_output=True, encoding="utf-8", check=True
            )
            runs.append([float(value) for value in done.stdout.split()])
            answers.append(first_answer(made, text))
    facts = {
        "installed_bytes": installed,
        "model_bytes": sum(copied),
        "layers_bytes": wheel + installed + sum(copied),
        "starts": STARTS,
        "first_answer_seconds": median(seconds for seconds, _ in runs),
        "peak_memory_bytes": median(peak for _, peak in runs),
        "container_answer_seconds": median(answers),
    }
    save_measurement("deployment", "python -m benchmarks.deployment MODEL TEXT", facts)
    print(json.dumps(facts, indent=1))


def first_answer(made: Container, text: str) -> float:
    """Seconds from the start of the entry point to the whole of its answer."""
    started = time.perf_counter()
    process = made.start()
    out, said = process.communicate(f"{text}\n")
    seconds = time.perf_counter() - started
    if process.returncode or not out:
        raise SystemExit(f"The container said {said!r}.")
    return seconds


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
