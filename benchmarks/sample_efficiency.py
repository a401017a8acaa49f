"""Which settings make most of few tokens: `python -m benchmarks.sample_efficiency [TOKENS]`, resumable.

Multilingual-E5-small, English to Turkish, layers 2, 4, … and task data as the paper has them: each setting is
changed alone and judged by the tags of parts of speech it leads to on half of Turkish BOUN (English EWT, 1,000
sentences; the other half stays unseen for what is reported) and by the held-out loss, which can be compared only
among settings of one loss. All settings get 100,000 tokens of general distillation, the better half of them, by
tags, 300,000, the better half of those a million; the paper's gets them all. A row is kept in
``results/sample-efficiency.json`` when it is there; a killed run goes on.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.realdata import ROOT, realdata
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.pipeline.runs import run
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe

RESULT = ROOT / "results/sample-efficiency.json"
TOKENS = (100_000, 300_000, 1_000_000)
PAPER = "as the paper's, every second layer"
SETTINGS: dict[str, list[str]] = {
    PAPER: [],
    "layers 1, 3, 5, 8, 10, 12 (the default)": ["student.layers=[1,3,5,8,10,12]"],
    "layers 1, 2, 4, 7, 9, 12": ["student.layers=[1,2,4,7,9,12]"],
    "every third layer": ["student.layers=[3,6,9,12]"],
    "layers 1, 5, 8, 12": ["student.layers=[1,5,8,12]"],
    "rate 5e-4": ["distill.learning_rate=5.0e-4"],
    "rate 2e-3": ["distill.learning_rate=2.0e-3"],
    "cosine decay": ["distill.arguments={lr_scheduler_type: cosine}"],
    "no decay": ["distill.arguments={lr_scheduler_type: constant_with_warmup}"],
    "plain input": ["distill.mlm_probability=0"],
    "embeddings frozen": ["distill.freeze_embeddings=true"],
    "hidden states alone": ["distill.attention=none"],
    "attention tenfold": ["distill.attention_weight=10"],
    "KL of attention": ["distill.attention=kl"],
    "relations": ["distill.attention=relations"],
    "last layer alone": ["distill.matched_layers=last"],
    "MiniLMv2: relations of the last layer": [
        "distill.attention=relations",
        "distill.matched_layers=last",
        "distill.hidden_weight=0",
    ],
    "blocks of 32, 16 a batch": ["distill.sequence_length=32", "distill.batch_size=16"],
    "blocks of 128, 4 a batch": ["distill.sequence_length=128", "distill.batch_size=4"],
    "16 blocks a batch": ["distill.batch_size=16"],
    "languages by size": ["distill.temperature=1"],
}


def recipe(tokens: int, changes: list[str]) -> Recipe:
    """The experiment; all share a folder, and so the task teacher."""
    data, out = realdata(), ROOT / "runs/sample-efficiency"
    return Recipe.checked(
        {
            "name": "sample-efficiency",
            "source": {"language": "en", "text": str(data / "text/en.txt")},
            "target": {"language": "tr", "text": str(data / "text/tr.txt")},
            "student": {"layers": [2, 4, 6, 8, 10, 12]},
            "distill": {"tokens": tokens},
            "tasks": [
                {
                    "kind": "pos",
                    "train": str(data / "ud/en_ewt-train.conllu"),
                    "test": {"tr": str(first_half(data / "ud/tr_boun-test.conllu", out))},
                    "max_train_samples": 1_000,
                    "pseudo_labels": 0,
                    "batch_size": 32,
                    "min_steps": 0,
                }
            ],
            "baselines": [],
            "out": str(out),
        },
        changes,
    )


def first_half(treebank: Path, folder: Path) -> Path:
    """The first half of a treebank's sentences, in a file of its own."""
    half = folder / treebank.name
    if not half.exists():
        sentences = treebank.read_text(encoding="utf-8").strip().split("\n\n")
        folder.mkdir(parents=True, exist_ok=True)
        half.write_text("\n\n".join(sentences[: len(sentences) // 2]) + "\n\n", encoding="utf-8")
    return half


def promoted(rows: Mapping[str, Any], tokens: int) -> list[str]:
    """The settings that get so many tokens: all, or the better half of those that had fewer."""
    if tokens == TOKENS[0]:
        return [*SETTINGS]
    fewer = TOKENS[TOKENS.index(tokens) - 1]
    tags = {name: rows[key]["pos"]["student"][0] for name in SETTINGS if (key := f"{fewer}: {name}") in rows}
    better = sorted(tags, key=tags.__getitem__, reverse=True)[: len(tags) // 2]
    return [name for name in SETTINGS if name in better or name == PAPER]


def main() -> None:
    """Each number of tokens, or the one that is asked for."""
    rows = read_json(RESULT)["rows"] if RESULT.exists() else {}
    for tokens in map(int, sys.argv[1:]) if sys.argv[1:] else TOKENS:
        for name in promoted(rows, tokens):
            key = f"{tokens}: {name}"
            if key not in rows:
                report = run(recipe(tokens, SETTINGS[name]), Progress()).report
                (task,) = report["tasks"]
                facts = {
                    "changes": SETTINGS[name],
                    "pos": {role: scores["tr"] for role, scores in task["scores"].items()},
                    "held_out_loss": report["distillation"]["curve"][-1],
                }
                rows[key] = described(facts)
                write_json(RESULT, {"command": "python -m benchmarks.sample_efficiency", "rows": rows})
            print(key, json.dumps(rows[key]["pos"]), json.dumps(rows[key]["held_out_loss"]), flush=True)


if __name__ == "__main__":
    main()
