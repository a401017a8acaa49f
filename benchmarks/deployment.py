"""What running an exported model takes, without torch: `python -m benchmarks.deployment MODEL TEXT`.

MODEL is a folder that `bistil export` wrote. The package alone is installed into a new environment. Measured are
the size of that, without pip and setuptools, and of the files that the model needs; and in new processes the time
from `import bistil` to the first answer, and the peak of the memory. `results/deployment.json` has the medians.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.realdata import ROOT
from benchmarks.results import save_measurement

STARTS = 9
NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model_quantized.onnx")
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
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin/python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", str(ROOT)], check=True)
        packages = next(Path(folder).glob("lib/python*/site-packages"))
        apart = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
        own = (one for one in packages.iterdir() if not one.name.startswith(apart))
        files = (path for one in own for path in (one, *one.rglob("*")) if path.is_file())
        installed = sum(path.stat().st_size for path in files)
        runs = []
        for _ in range(STARTS):
            command = [str(python), "-c", PROGRAM, str(model.resolve()), text]
            done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=True)
            runs.append([float(value) for value in done.stdout.split()])
    facts = {
        "installed_bytes": installed,
        "model_bytes": sum((model / name).stat().st_size for name in NEEDED),
        "starts": STARTS,
        "first_answer_seconds": median(seconds for seconds, _ in runs),
        "peak_memory_bytes": median(peak for _, peak in runs),
    }
    save_measurement("deployment", "python -m benchmarks.deployment MODEL TEXT", facts)
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
