"""Which losses make sentence vectors good: `python -m benchmarks.embedding_objective [TOKENS]`, resumable.

English and Turkish, half of the layers of multilingual-E5-small, one seed: whole lines, with the losses on vectors
and on similarities at several weights, or without them; and packed blocks, as without ``embeddings``. Translations
are searched among 500 lines of NTREX (accuracy, mean of both directions), similarity is Turkish STSb. Kept in
``results/embedding-objective.json``.
"""

import sys
from typing import Any

from benchmarks.embeddings import SHAPES, WORK, Candidate, tests
from benchmarks.encoders import ntrex
from benchmarks.pairs import pair
from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil.evaluation.embeddings import Bitext
from bistil.files import read_json, write_json
from bistil.pipeline.runs import distilled, prepare
from bistil.progress import Progress

RESULT = ROOT / "results/embedding-objective.json"
LINES = 500
WHOLE = {"embeddings": True}
WAYS: dict[str, dict[str, Any]] = {
    "lines, hidden states and attention": {**WHOLE, "vector_weight": 0.0, "similarity_weight": 0.0},
    "lines, vectors at 0.1 too": {**WHOLE, "vector_weight": 0.1, "similarity_weight": 0.0},
    "lines, vectors and similarities at 0.1 too": {**WHOLE, "vector_weight": 0.1, "similarity_weight": 0.1},
    "lines, similarities at 0.01 too": {**WHOLE, "vector_weight": 0.0, "similarity_weight": 0.01},
    "packed blocks, hidden states and attention": {},
    "lines, vectors at 1 too": {**WHOLE, "vector_weight": 1.0, "similarity_weight": 0.0},
    "8 lines a step, vectors at 1 too": {**WHOLE, "batch_size": 8, "vector_weight": 1.0, "similarity_weight": 0.0},
    "lines, vectors at 5 too": {**WHOLE, "vector_weight": 5.0, "similarity_weight": 0.0},
}


def main() -> None:
    """Each way that is not there yet."""
    prepare()
    tokens = int(sys.argv[1]) if sys.argv[1:] else 100_000
    rows: dict[str, Any] = read_json(RESULT)["rows"] if RESULT.exists() else {}
    for way, settings in WAYS.items():
        name = f"{tokens:,} tokens: {way}"
        if name not in rows:
            changes = [f"distill.{key}={value}" for key, value in settings.items()]
            student = [f"student={dict(SHAPES['6 layers'])}", f"out={WORK / 'en-tr'}"]
            made = distilled(pair("tr", 2, tokens, ()).override([*student, *changes]), Progress())
            candidate = Candidate(made.student.path / "student")
            found = Bitext(ntrex("en", LINES), ntrex("tr", LINES)).scores(candidate)
            alike = tests("tr")["STSb tr"].scores(candidate)
            facts = {"translations": float(found["mean_accuracy"]), "similarity": float(alike["spearman"])}
            rows[name] = described(facts)
            write_json(RESULT, {"command": "python -m benchmarks.embedding_objective", "rows": rows})
        print(name, rows[name], flush=True)


if __name__ == "__main__":
    main()
