"""The language pairs of the studies: one recipe each, whose folder the studies share, and so what is in it."""

import random
import re
from pathlib import Path
from typing import Any

from benchmarks.inferencefiles import TESTS, joined
from benchmarks.realdata import ROOT, realdata
from bistil import Recipe

TEXT = {"tr": "text/tr.txt", "de": "text/de.txt", "eu": "text/eu.txt", "sw": "nc/text/sw.txt"}
HELD_OUT = {"id": "text/id.txt", "vi": "text/vi.txt"}  # languages on which nothing is chosen
TREEBANKS = {
    "en": "ud/en_ewt-test.conllu",
    "tr": "ud/tr_boun-test.conllu",
    "de": "ud/de_gsd-test.conllu",
    "eu": "nc/ud/eu_bdt-test.conllu",
    "id": "ud/id_gsd-test.conllu",
    "vi": "ud/vi_vtb-test.conllu",
}
ENTITIES = {code: f"ner/{code}_panx-dev.iob2" for code in ("tr", "de", "eu", "sw", "id", "vi")}
INTENTS = {code: f"intent/{code}_massive-test.tsv" for code in ("tr", "de", "sw", "id", "vi")}
QUESTIONS = {
    **{code: f"qa/xquad.{code}.json" for code in ("tr", "de", "vi")},
    **{code: f"qa/{code}_tydiqa-dev.json" for code in ("id", "sw")},
}

# What is trained on, how much of it so that two cores can, and what is tested on, by name. Entities are silver
# (PAN-X); inference is trained on all pairs of `benchmarks.inferencefiles`.
_TASKS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "pos": (
        {"train": "ud/en_ewt-train.conllu", "validation": "ud/en_ewt-dev.conllu", "max_train_samples": 2_000},
        TREEBANKS,
    ),
    "parsing": (
        {"train": "ud/en_ewt-train.conllu", "validation": "ud/en_ewt-dev.conllu", "max_train_samples": 2_000},
        TREEBANKS,
    ),
    "ner": (
        {"train": "ner/en_panx-train.iob2", "validation": "ner/en_panx-dev.iob2", "max_train_samples": 4_000},
        ENTITIES,
    ),
    "intents": (
        {
            "kind": "classification",
            "train": "intent/en_massive-train.tsv",
            "validation": "intent/en_massive-dev.tsv",
            "max_train_samples": 4_000,
        },
        INTENTS,
    ),
    # in batches of 8, the default, the teacher's loss stays that of guessing
    "nli": (
        {
            "kind": "classification",
            "max_train_samples": 8_000,
            "batch_size": 16,
        },
        TESTS,
    ),
    "qa": (
        {"train": "qa/en_squad11-train-subset.json", "validation": "qa/xquad.en.json", "max_train_samples": 1_000},
        QUESTIONS,
    ),
}


def names_of(target: str) -> tuple[str, ...]:
    """The tasks that have a test file in the language."""
    return tuple(name for name, (_, tests) in _TASKS.items() if target in tests)


def pair(target: str, reduction: int, tokens: int, names: tuple[str, ...]) -> Recipe:
    """English to the target language, every second, third … layer, with tasks of those names."""
    data = realdata()
    tasks: list[dict[str, Any]] = []
    for name in names:
        settings, tests = _TASKS[name]
        files: dict[str, Any] = {
            key: str(data / settings[key]) for key in ("train", "validation") if key in settings
        }
        if name == "nli":
            train, tests_of = joined(ROOT / "runs/inference")
            files |= {"train": str(train), "validation": str(tests_of["en"])}
        if name == "intents":  # its training file goes from topic to topic, and only a part is learned from
            files["train"] = str(_shuffled(data / settings["train"]))
        test = {target: str(data / tests[target])}
        tasks.append({"kind": name, "name": name, **settings, **files, "test": test})
    return Recipe.checked(
        {
            "name": f"en-{target}",
            "source": {"language": "en", "text": str(data / "text/en.txt")},
            "target": {"language": target, "text": str(data / (TEXT | HELD_OUT)[target])},
            "student": {"layer_reduction": reduction},
            "distill": {"tokens": tokens},
            "tasks": tasks,
            "out": str(ROOT / f"runs/en-{target}"),
        }
    )


def _shuffled(table: Path) -> Path:
    """The table with its rows in a random order, below a header that stays first."""
    header, *rows = table.read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(0).shuffle(rows)
    path = ROOT / "runs/shuffled" / table.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join([header, *rows]), encoding="utf-8")
    return path


def others(train: Path, first: int, number: int) -> Path:
    """A file of so many random examples behind the first ones of a training file, for a teacher to label."""
    text, table = train.read_text(encoding="utf-8"), train.suffix == ".tsv"
    header, *rows = text.splitlines() if table else ["", *re.split(r"\n\n+", text.strip())]
    chosen = random.Random(0).sample(rows[first:], number)
    path = ROOT / f"runs/others/{number}-{train.name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *chosen, ""]) if table else "\n\n".join([*chosen, ""]), encoding="utf-8")
    return path
