"""What ONNX and int8 save: `python -m benchmarks.export RUN [--threads N] [--rounds N]`, resumable.

Of a run's first task: the teacher as it stands and the student in PyTorch, the student in ONNX, in float32 and
in int8, and the trimmed teacher in int8, which needs no training. All take turns, A B A B, on as many threads:
latency of one text of 32 tokens, and sentences a second of real text, with tokenising: in PyTorch in batches of
32 in the order of the text, as transformers' users write it, and in ONNX form as the runtime does it. The bytes
are of all files that a deployment needs. Medians go to ``results/export.json``, by task, layers and threads, with
the quartiles of the latency's ratios and what exporting found.

On two threads torch waits for both, so that another process on its cores slows it more than onnxruntime.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

import bistil
from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil.corpora.tokenizers import encode_texts
from bistil.exporting.folder import FLOAT, INT8
from bistil.files import read_json, write_json
from bistil.models import teachers
from bistil.runtime.engine import OnnxEngine
from bistil.runtime.padding import of_tokens, padded
from bistil.runtime.tokenizer import FolderTokenizer
from bistil.tasks import saved
from bistil.tasks.inference import batched

RESULT = ROOT / "results/export.json"
BATCH, TOKENS, LONGEST, SENTENCES = 32, 32, 128, 192
PAUSE = 0.4  # seconds; threads of the turn before wait busily for a fifth of a second
_BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
Inputs = Sequence[dict[str, list[int]]]
Runner = Callable[[Inputs, FolderTokenizer], object]


def main() -> None:
    """The run's first task, unless it is there; prints the ratios."""
    options = argparse.ArgumentParser()
    options.add_argument("run", type=Path)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--rounds", type=int, default=9)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    rows = read_json(RESULT)["rows"] if RESULT.exists() else {}
    task = min((given.run / "tasks").iterdir())
    layers = len(read_json(given.run / "report.json")["student"]["layers"])
    row = f"{task.name}, {layers} layers, {given.threads} threads"
    if row not in rows:
        rows[row] = described(_measured(given.run, task, given.rounds))
        write_json(RESULT, {"command": "python -m benchmarks.export RUN", "rows": rows})
    for name, facts in rows[row]["engines"].items():
        print(
            f"{name:32} {facts['bytes'] / 1e6:6.1f} MB ({facts['smaller']:.1f} times smaller)  "
            f"{facts['latency_ms']:6.2f} ms ({facts['times_shorter']:.1f} times shorter, "
            f"{' to '.join(f'{one:.1f}' for one in facts['times_shorter_quartiles'])})  "
            f"{facts['sentences_per_second']:6.1f}/s ({facts['times_faster']:.1f} times faster)"
        )


def _measured(run: Path, task: Path, rounds: int) -> dict[str, Any]:
    teacher = teachers.locate("bundled:multilingual-e5-small")
    trimmed = next(run.glob("stages/vocabulary-*/model"))
    test, text = _test(run), _sentences(run)
    with TemporaryDirectory() as temporary:
        student = bistil.export(task, Path(temporary) / "student", test=test, progress=False)
        rival = bistil.export(trimmed, Path(temporary) / "trimmed", progress=False)
        engines: dict[str, tuple[Runner, Path, str]] = {
            "teacher, PyTorch": (_torch(teachers.load(teacher)[0]), teacher, "model.safetensors"),
            "student, PyTorch": (_torch(saved.load(task, "torch")[0]), task, "model.safetensors"),
            "student, ONNX float32": (_onnx(student.output_dir / FLOAT), student.output_dir, FLOAT),
            "student, ONNX int8": (_onnx(student.output_dir / INT8), student.output_dir, INT8),
            "trimmed teacher, ONNX int8": (_onnx(rival.output_dir / INT8), rival.output_dir, INT8),
        }
        turns = {name: _Turn(runner, folder, text) for name, (runner, folder, _) in engines.items()}
        for turn in turns.values():
            turn.latency()
        latencies: dict[str, list[float]] = {name: [] for name in turns}
        rates: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(rounds):
            for name, turn in turns.items():
                latencies[name].append(turn.latency())
        for _ in range(rounds // 3):
            for name, turn in turns.items():
                rates[name].append(turn.rate())
        sizes = {
            name: sum((folder / file).stat().st_size for file in (weights, *_BESIDE) if (folder / file).is_file())
            for name, (_, folder, weights) in engines.items()
        }
    first = next(iter(engines))
    return {
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "export": student.report,
        "engines": {
            name: {
                "bytes": sizes[name],
                "latency_ms": median(latencies[name]),
                "sentences_per_second": median(rates[name]),
                "smaller": sizes[first] / sizes[name],
                "times_shorter": median(shorter := _ratios(latencies[first], latencies[name])),
                "times_shorter_quartiles": statistics.quantiles(shorter, n=4)[::2],
                "times_faster": median(_ratios(rates[name], rates[first])),
            }
            for name in engines
        },
    }


def _ratios(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    """Of the same round each, so that what slows the machine slows both."""
    return [one / other for one, other in zip(ones, others, strict=True)]


class _Turn:
    """An engine and its inputs."""

    def __init__(self, runner: Runner, folder: Path, sentences: Sequence[str]) -> None:
        self._run, self._sentences, self._tokenizer = runner, sentences, FolderTokenizer(folder)
        self._one = self._inputs([" ".join(sentences[:20])], TOKENS)

    def latency(self) -> float:
        """Milliseconds for a text, the median of twenty after as many that do not count."""
        time.sleep(PAUSE)
        times = []
        for _ in range(40):
            started = time.perf_counter()
            self._run(self._one, self._tokenizer)
            times.append(1000 * (time.perf_counter() - started))
        return median(times[20:])

    def rate(self) -> float:
        """Sentences a second."""
        time.sleep(PAUSE)
        started = time.perf_counter()
        self._run(self._inputs(self._sentences, LONGEST), self._tokenizer)
        return len(self._sentences) / (time.perf_counter() - started)

    def _inputs(self, texts: Sequence[str], most: int) -> Inputs:
        rows = encode_texts(self._tokenizer, texts, (), most)
        return [{name: row[name] for name in ("input_ids", "attention_mask")} for row in rows]


def _torch(model: Any) -> Runner:
    def run(inputs: Inputs, tokenizer: FolderTokenizer) -> object:
        for start in range(0, len(inputs), BATCH):
            batch = padded(inputs[start : start + BATCH], of_tokens(tokenizer))
            with torch.inference_mode():
                model(**{name: torch.from_numpy(values) for name, values in batch.items()})
        return model

    return run


def _onnx(file: Path) -> Runner:
    engine = OnnxEngine(file, {}, torch.get_num_threads())

    def run(inputs: Inputs, tokenizer: FolderTokenizer) -> object:
        return list(batched(engine, tokenizer, inputs, BATCH))

    return run


def _test(run: Path) -> dict[str, str]:
    """The task's test files in the languages of the run."""
    found = sorted(run.glob("data/task/test.*.jsonl"))
    return {path.name.split(".")[1]: os.fspath(path) for path in found}


def _sentences(run: Path) -> list[str]:
    """As many lines of each language's text, in turns."""
    files = [path.read_text(encoding="utf-8").splitlines() for path in sorted(run.glob("data/text/*.txt"))]
    return [line for lines in zip(*files, strict=False) for line in lines][:SENTENCES]


if __name__ == "__main__":
    main()
