"""Sentence embeddings: students beside what a user could take instead. Resumable, row by row.

``python -m benchmarks.embeddings TARGET [--model NAME …] [--tokens N …]`` scores models of English and another
language: the teacher (multilingual-E5-small), the trimmed teacher, Model2Vec's static vectors made of it (where it
is there: ``pip install "model2vec[distill]"``), and the students of ``SHAPES``, after no tokens of distillation,
which is layer reduction alone, and after a million; each in int8, too. ``python -m benchmarks.embeddings TARGET
--speed`` measures how many sentences a second each encodes, all in one run, A B A B, batch size 32.

Translations are searched among the first 1,000 lines of NTREX and in Tatoeba, answers among the sentences of
XQuAD-R; similarity is STSb; topics are SIB-200's, voted for by the five nearest texts of its English training
file. The language ``OUTSIDE`` is in no text of the pair. Vectors are kept in ``runs/embeddings``, rows in
``results/embeddings.json``, with the difference to the teacher and its 95 % interval, and what the first
dimensions of the vectors score on NTREX.
"""

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

import bistil
from benchmarks.encoders import ntrex, seconds
from benchmarks.pairs import TEXT, pair
from benchmarks.realdata import ROOT, realdata
from benchmarks.results import described
from benchmarks.shapes import SHAPES as ALL_SHAPES
from bistil import Recipe
from bistil.api.embedding import EmbeddingModel
from bistil.evaluation.embeddings import Bitext, EmbeddingTest, Encoder
from bistil.evaluation.itemscores import ItemScore
from bistil.evaluation.nearest import Vectors
from bistil.evaluation.testfiles import read_test
from bistil.exporting.folder import INT8
from bistil.files import fingerprint_input, read_json, replacing, write_json
from bistil.models.e5 import POOLING
from bistil.pipeline.runs import distilled, prepare
from bistil.pipeline.studentstages import StudentStages
from bistil.progress import Progress
from bistil.tasks import saved

RESULT = ROOT / "results/embeddings.json"
WORK = ROOT / "runs/embeddings"
TEACHER, TRIMMED, STATIC = "teacher", "trimmed teacher", "Model2Vec of the trimmed teacher"
SHAPES = {
    name: ALL_SHAPES[name]
    for name in ("6 layers", "4 layers", "12 layers, feed-forward 384", "12 layers of 256, feed-forward 512")
}
TOKENS = (0, 1_000_000)
OUTSIDE = {"tr": "de", "de": "tr", "eu": "tr", "sw": "tr"}
LINES, TIMED = 1_000, 192
DIMENSIONS = (256, 128, 64)
_STS = {"en": "stsb-en-test.csv", "de": "stsb-de-test.csv", "tr": "stsb-tr-test.tsv"}
_ANSWERED = ("de", "tr")  # languages of XQuAD-R beside English


@dataclass(frozen=True)
class Candidate:
    """A model folder and the engine that runs it: one of `bistil.tasks.saved.ENGINES`, or ``model2vec``."""

    folder: Path
    engine: str = "torch"

    @cached_property
    def model(self) -> Encoder:
        """Loaded when it is first asked for."""
        if self.engine == "model2vec":
            return _Static(self.folder)
        return EmbeddingModel(self.folder, *saved.load_encoder(self.folder, self.engine), POOLING)

    @property
    def bytes(self) -> int:
        """Of the files that the engine needs."""
        if self.engine == "model2vec":
            return sum(path.stat().st_size for path in self.folder.iterdir() if path.suffix != ".md")
        return saved.disk_bytes(self.folder, self.engine)

    @property
    def prompts(self) -> Mapping[str, str]:
        """The teacher's, which its students learn with; static vectors need none."""
        return {} if self.engine == "model2vec" else POOLING.prompts

    def encode(self, texts: list[str], /, *, prompt_name: str | None) -> Vectors:
        """The model's vectors. What it has encoded is kept, by its weights, and not encoded again."""
        weights = self.folder / (INT8 if self.engine == "int8" else "model.safetensors")
        kept = WORK / f"vectors/{fingerprint_input(weights)[:16]}/{prompt_name}"
        known: dict[str, Vectors] = {}
        for file in kept.glob("*.safetensors"):
            with safe_open(file, "np") as opened:
                known |= zip(json.loads(opened.metadata()["texts"]), opened.get_tensor("vectors"), strict=True)
        if missing := [text for text in dict.fromkeys(texts) if text not in known]:
            vectors = np.asarray(self.model.encode(missing, prompt_name=prompt_name), dtype=np.float32)
            known |= zip(missing, vectors, strict=True)
            content = json.dumps(missing)
            kept.mkdir(parents=True, exist_ok=True)
            with replacing(kept / f"{sha256(content.encode()).hexdigest()[:16]}.safetensors") as partial:
                save_file({"vectors": vectors}, partial, {"texts": content})
        return np.stack([known[text] for text in texts])


@dataclass(frozen=True)
class _First:
    """A candidate's first dimensions alone."""

    candidate: Candidate
    dimensions: int

    @property
    def prompts(self) -> Mapping[str, str]:
        return self.candidate.prompts

    def encode(self, texts: list[str], /, *, prompt_name: str | None) -> Vectors:
        return self.candidate.encode(texts, prompt_name=prompt_name)[:, : self.dimensions]


class _Static:
    """Model2Vec's model, called as the others are."""

    def __init__(self, folder: Path) -> None:
        from model2vec import StaticModel

        self.prompts: Mapping[str, str] = {}
        self._model = StaticModel.from_pretrained(folder)

    def encode(self, texts: list[str], /, *, prompt_name: str | None = None) -> Any:
        return self._model.encode(texts)


def tests(target: str) -> dict[str, EmbeddingTest]:
    """What a pair is scored on, by name."""
    data, outside = realdata() / "retrieval", OUTSIDE[target]
    topics = realdata() / "topic"
    found: dict[str, EmbeddingTest] = {
        f"NTREX en-{code}": Bitext(ntrex("en", LINES), ntrex(code, LINES)) for code in (target, outside)
    }
    parallel = [data / f"tatoeba.{target}-en.{code}.txt" for code in ("en", target)]
    found[f"Tatoeba en-{target}"] = read_test(parallel)
    for code in dict.fromkeys(("en", target, outside)):
        if code in _STS:
            found[f"STSb {code}"] = read_test([data / _STS[code]])
    if target in _ANSWERED:
        files = {code: data / f"xquad-r.{code}.json" for code in ("en", target)}
        found |= {f"XQuAD-R {code}": read_test([file]) for code, file in files.items()}
        found[f"XQuAD-R en+{target}"] = read_test([*files.values()])
    for code in ("en", target, outside):
        found[f"SIB-200 {code}"] = read_test([topics / f"{code}_sib200-test.tsv"], topics / "en_sib200-train.tsv")
    return found


def main() -> None:
    """The rows that are asked for and not there yet, or the speeds of a pair; prints them."""
    options = argparse.ArgumentParser()
    options.add_argument("target", choices=TEXT)
    options.add_argument("--model", action="append", choices=(TEACHER, TRIMMED, STATIC, *SHAPES))
    options.add_argument("--tokens", action="append", type=int)
    options.add_argument("--speed", action="store_true")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    prepare()
    names = given.model or [TEACHER, TRIMMED, *([STATIC] if find_spec("model2vec") else []), *SHAPES]
    if given.speed:
        results = _results()
        # as long after distillation as before
        candidates = [one for name in names for one in _candidates(given.target, name, 0)]
        results["speed"][f"en-{given.target}"] = described(_speeds(dict(candidates), given.target, given.rounds))
        _keep(results)
        for name, own in results["speed"][f"en-{given.target}"]["models"].items():
            print(f"{name:50} {own['sentences_per_second']:7.1f}/s ({own['times_faster']:.2f})")
        return
    scored = tests(given.target)
    for name in names:
        for tokens in given.tokens or TOKENS if name in SHAPES else (0,):
            _make_rows(given.target, name, tokens, scored)


def _make_rows(target: str, name: str, tokens: int, scored: Mapping[str, EmbeddingTest]) -> None:
    rows = _results()["rows"]
    title = f"{name}, {tokens:,} tokens" if name in SHAPES else name
    if all(f"en-{target}: {title}{form}" in rows for form in (("",) if name == STATIC else ("", ", int8"))):
        return
    for kind, candidate in _candidates(target, name, tokens):
        row = f"en-{target}: {title}{kind.removeprefix(name)}"
        results = _results()  # another process may have written
        if row not in results["rows"]:
            facts = _scores(candidate, _teacher(), scored)
            first = scored[f"NTREX en-{target}"]
            cut = {size: first.scores(_First(candidate, size))[first.metric] for size in DIMENSIONS}
            results["rows"][row] = described(
                {**facts, "dimensions": {size: float(of) for size, of in cut.items()}}
            )
            _keep(results)
        mains = [own[scored[test].metric]["score"] for test, own in results["rows"][row]["scores"].items()]
        print(row, " ".join(f"{score:.1f}" for score in mains), flush=True)


def _results() -> dict[str, Any]:
    found: dict[str, Any] = read_json(RESULT) if RESULT.exists() else {"rows": {}, "speed": {}}
    return found


def _keep(results: Mapping[str, Any]) -> None:
    write_json(RESULT, {"command": "python -m benchmarks.embeddings TARGET", **results})


def _scores(candidate: Candidate, teacher: Candidate, scored: Mapping[str, EmbeddingTest]) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    for name, test in scored.items():
        ours, theirs = test.scores(candidate), test.scores(teacher)
        found[name] = {metric: _beside(score, theirs[metric]) for metric, score in ours.items()}
    return {"bytes": candidate.bytes, "scores": found}


def _beside(score: ItemScore, other: ItemScore) -> dict[str, float]:
    difference = score.minus(other)
    kept = ("difference", "difference_low", "difference_high")
    return {"score": float(score), **{name: value for name, value in asdict(difference).items() if name in kept}}


def _speeds(candidates: Mapping[str, Candidate], target: str, rounds: int) -> dict[str, Any]:
    both = (ntrex(code, LINES) for code in ("en", target))
    texts = [line for lines in zip(*both, strict=True) for line in lines]
    timed = texts[:TIMED]
    rates: dict[str, list[float]] = {name: [] for name in candidates}

    def encode(candidate: Candidate, texts: Sequence[str]) -> Vectors:
        name = next(iter(candidate.prompts), None)
        found: Vectors = candidate.model.encode(list(texts), prompt_name=name)
        return found

    for candidate in candidates.values():
        encode(candidate, timed[:32])
    for _ in range(rounds):
        for name, candidate in candidates.items():
            taken = seconds(lambda texts, one=candidate: encode(one, texts), timed, 1)  # type: ignore[misc]
            rates[name].append(len(timed) / taken)
    first = next(iter(rates))
    return {
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "models": {
            name: {
                "bytes": candidates[name].bytes,
                "sentences_per_second": median(own),
                # of the same round each, so that what slows the machine slows both
                "times_faster": median(a / b for a, b in zip(own, rates[first], strict=True)),
            }
            for name, own in rates.items()
        },
    }


def _teacher() -> Candidate:
    from bistil.models import teachers

    return Candidate(teachers.locate("bundled:multilingual-e5-small"))


def _candidates(target: str, name: str, tokens: int) -> Iterator[tuple[str, Candidate]]:
    """A model as it stands, and in int8 if it has one; made where it is not there."""
    folder = WORK / f"en-{target}"
    if name == STATIC:
        yield name, Candidate(_static(folder, target), "model2vec")
        return
    found = _teacher().folder if name == TEACHER else _folder(target, name, tokens)
    yield name, Candidate(found)
    # by its weights, for a folder of stages is made anew where its inputs have changed
    exported = folder / "int8" / fingerprint_input(found / "model.safetensors")[:16]
    if not (exported / INT8).is_file():
        texts = {
            code: str(realdata() / path) for code, path in {"en": "text/en.txt", target: TEXT[target]}.items()
        }
        bistil.export(found, exported, text=texts)
    yield f"{name}, int8", Candidate(exported, "int8")


def _folder(target: str, name: str, tokens: int) -> Path:
    """The folder of a trimmed teacher or of a student, in the stages that all of a pair share."""
    recipe = _recipe(target, SHAPES.get(name, {}), tokens)
    if name in SHAPES and tokens:
        return distilled(recipe, Progress()).student.path / "student"
    stages = StudentStages(recipe, Progress())
    vocabulary = stages.vocabulary()
    return stages.undistilled(vocabulary).path / "student" if name in SHAPES else vocabulary.path / "model"


def _recipe(target: str, shape: Mapping[str, Any], tokens: int) -> Recipe:
    found: Recipe = pair(target, 2, tokens or 1, ())
    settings = [f"student={dict(shape)}"] if shape else []
    return found.override([*settings, "distill.embeddings=true", f"out={WORK / f'en-{target}'}"])


def _static(folder: Path, target: str) -> Path:
    from model2vec.distill import distill

    out = folder / "model2vec"
    if not out.is_dir():
        distill(model_name=str(_folder(target, TRIMMED, 0)), device="cpu").save_pretrained(str(out))
    return out


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    main()
