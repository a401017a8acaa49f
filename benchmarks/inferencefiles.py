"""The files of inference: one of all English training pairs, and the tests; with premises, or hypotheses alone."""

import csv
import random
from pathlib import Path

from benchmarks.realdata import realdata

TRAIN = ("nli/en_mnli-train.tsv", "nli/en_snli-train.tsv", "nc/nli/en_lingnli-train.tsv")
TESTS = {code: f"nc/nli/{code}_xnli-test.tsv" for code in ("en", "tr", "de", "sw", "eu")}


def joined(folder: Path, hypotheses_alone: bool = False) -> tuple[Path, dict[str, Path]]:
    """One file of all training pairs, shuffled, and the test files, each with three columns."""
    files = {"train": TRAIN, **{code: (name,) for code, name in TESTS.items()}}
    written = {}
    for name, parts in files.items():
        rows = [row for part in parts for row in _rows(realdata() / part)]
        if name == "train":
            random.Random(0).shuffle(rows)
        path = written[name] = folder / f"{'hypotheses' if hypotheses_alone else 'pairs'}-{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar=None, quotechar=None)
            out.writerow(("premise", "hypothesis", "label"))
            out.writerows(("-" if hypotheses_alone else one, two, label) for one, two, label in rows)
    return written.pop("train"), written


def _rows(path: Path) -> list[tuple[str, str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        found = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["premise"], row["hypothesis"], row["label"]) for row in found]
