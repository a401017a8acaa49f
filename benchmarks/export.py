"""What ONNX and int8 save: `python -m benchmarks.export RUN [--threads N] [--rounds N]`, resumable.

Of a run's first task: the teacher as it stands and the student in PyTorch, the student in ONNX, in float32 and in
int8, and the trimmed teacher in int8, which needs no training. All take turns, A B A B, on as many threads:
latency of one text of 32 tokens, and sentences a second of real text in batches of 32, with tokenising. The bytes
are of all files that a deployment needs. Medians go to ``results/export.json``, by task and threads, with what
exporting found.

On two threads torch waits for both, so that another process on its cores slows it more than onnxruntime.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tokenizers import Tokenizer

import bistil
from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil.exporting.folder import FLOAT, INT8
from bistil.exporting.graph import session
from bistil.files import read_json, write_json
from bistil.models import pretrained, teachers
from bistil.tasks import saved

RESULT = ROOT / "results/export.json"
BATCH, TOKENS, SENTENCES = 32, 32, 192
_BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
Runner = Callable[[torch.Tensor, torch.Tensor], object]


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
    row = f"{task.name}, {given.threads} threads"
    if row not in rows:
        rows[row] = described(_measured(given.run, task, given.rounds))
        write_json(RESULT, {"command": "python -m benchmarks.export RUN", "rows": rows})
    for name, facts in rows[row]["engines"].items():
        print(
            f"{name:32} {facts['bytes'] / 1e6:6.1f} MB ({facts['smaller']:.1f} times smaller)  "
            f"{facts['latency_ms']:6.2f} ms ({facts['times_shorter']:.1f} times shorter)  "
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
                # of the same round each, so that what slows the machine slows both
                "times_shorter": median(a / b for a, b in zip(latencies[first], latencies[name], strict=True)),
                "times_faster": median(b / a for a, b in zip(rates[first], rates[name], strict=True)),
            }
            for name in engines
        },
    }


class _Turn:
    """An engine and its inputs."""

    def __init__(self, runner: Runner, folder: Path, sentences: Sequence[str]) -> None:
        self._run, self._sentences = runner, sentences
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        pad = pretrained.config(folder).pad_token_id
        self._tokenizer.enable_truncation(128)
        self._tokenizer.enable_padding(pad_id=pad, pad_token=self._tokenizer.id_to_token(pad))
        ids = self._tokenizer.encode(" ".join(sentences[:20])).ids
        self._one = torch.tensor([ids[:TOKENS]])

    def latency(self) -> float:
        """Milliseconds for a text, the median of ten."""
        times = []
        for _ in range(10):
            started = time.perf_counter()
            self._run(self._one, torch.ones_like(self._one))
            times.append(1000 * (time.perf_counter() - started))
        return median(times)

    def rate(self) -> float:
        """Sentences a second."""
        started = time.perf_counter()
        for start in range(0, len(self._sentences), BATCH):
            encoded = self._tokenizer.encode_batch(list(self._sentences[start : start + BATCH]))
            ids, mask = ([getattr(one, name) for one in encoded] for name in ("ids", "attention_mask"))
            self._run(torch.tensor(ids), torch.tensor(mask))
        return len(self._sentences) / (time.perf_counter() - started)


def _torch(model: Any) -> Runner:
    def run(ids: torch.Tensor, mask: torch.Tensor) -> object:
        with torch.inference_mode():
            return model(input_ids=ids, attention_mask=mask)

    return run


def _onnx(file: Path) -> Runner:
    runner = session(file)

    def run(ids: torch.Tensor, mask: torch.Tensor) -> object:
        return runner.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})

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
