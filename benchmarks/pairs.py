"""The language pairs of the studies: one recipe each, whose folder the studies share, and so what is in it."""

from typing import Any

from benchmarks.realdata import ROOT, realdata
from bistil import Recipe

TEXT = {"tr": "text/tr.txt", "de": "text/de.txt", "eu": "text/eu.txt", "sw": "nc/text/sw.txt"}
TREEBANKS = {
    "en": "ud/en_ewt-test.conllu",
    "tr": "ud/tr_boun-test.conllu",
    "de": "ud/de_gsd-test.conllu",
    "eu": "nc/ud/eu_bdt-test.conllu",
}
ENTITIES = {"de": "ner/de_pud-test.iob2", "sw": "nc/ner/swa_masakhaner2-test.txt"}
INFERENCE = {"sw": "nc/nli/sw_xnli-dev.tsv"}
QUESTIONS = {"tr": "qa/xquad.tr.json", "de": "qa/xquad.de.json"}

# What is trained on, how much of it so that two cores can, and what is tested on, by task. The training files of
# entities and inference are stand-ins (see the data's SOURCES.md): they check the machinery.
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
        {
            "train": "ner/en_ewt-train.iob2",
            "validation": "ner/en_ewt-dev.iob2",
            "max_train_samples": 4_000,
            "label_map": {"DATE": "O"},
        },
        ENTITIES,
    ),
    "classification": (
        {
            "name": "nli",
            "train": "nli/en_conjnli-train.tsv",
            "validation": "nli/en_conjnli-dev.tsv",
            "max_train_samples": 4_000,
        },
        INFERENCE,
    ),
    "qa": (
        {"train": "qa/en_squad11-train-subset.json", "validation": "qa/xquad.en.json", "max_train_samples": 1_000},
        QUESTIONS,
    ),
}


def kinds_of(target: str) -> tuple[str, ...]:
    """The tasks that have a test file in the language."""
    return tuple(kind for kind, (_, tests) in _TASKS.items() if target in tests)


def pair(target: str, reduction: int, tokens: int, kinds: tuple[str, ...]) -> Recipe:
    """English to the target language, every second, third … layer, with tasks of those kinds."""
    data = realdata()
    tasks = []
    for kind in kinds:
        settings, tests = _TASKS[kind]
        files = {key: str(data / settings[key]) for key in ("train", "validation")}
        tasks.append({"kind": kind, **settings, **files, "test": {target: str(data / tests[target])}})
    return Recipe.checked(
        {
            "name": f"en-{target}",
            "source": {"language": "en", "text": str(data / "text/en.txt")},
            "target": {"language": target, "text": str(data / TEXT[target])},
            "student": {"layer_reduction": reduction},
            "distill": {"tokens": tokens},
            "tasks": tasks,
            "out": str(ROOT / f"runs/en-{target}"),
        }
    )
