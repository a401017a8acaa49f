"""A report with made-up numbers that look like a real one."""

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

LABELS = (
    "activity",
    "animal",
    "body part",
    "food",
    "illness",
    "object",
    "person",
    "place",
    "plant",
    "substance",
)
TEXTS = (
    ("kedigillerden, ağaçlara tırmanabilen, benekli, yırtıcı memeli", "animal", "animal", "animal"),
    (
        "gövdesi odunsu, yaprakları iğne biçiminde olan, kışın yaprağını dökmeyen ağaç",
        "plant",
        "plant",
        "plant",
    ),
    ("ateşli silahları onaran veya satan kimse", "person", "person", "person"),
    ("un, su ve tuzla yoğrulan hamurun sac üzerinde pişirilmesiyle yapılan yiyecek", "food", "food", "food"),
    ("kolun dirsekle bilek arasındaki bölümü", "body part", "body part", "body part"),
    (
        "böbreklerin iltihaplanmasıyla ortaya çıkan, idrarda kan görülen hastalık",
        "illness",
        "illness",
        "illness",
    ),
    ("atların bağlandığı ve beslendiği, üstü kapalı yer", "place", "place", "animal"),
    ("demirin karbonla alaşımından elde edilen, dövülebilen sert metal", "substance", "object", "substance"),
    ("topu filenin üzerinden rakip alana geçirmeye dayanan oyun", "activity", "activity", "object"),
    ("tahıl taneleri öğütülerek elde edilen ince toz", "food", "substance", "substance"),
)


@pytest.fixture
def sample() -> Callable[..., dict[str, Any]]:
    return make


def make(seeds: int = 3) -> dict[str, Any]:
    chance = random.Random(0)

    def around(middle: float) -> list[float]:
        return [round(middle + chance.gauss(0, 0.5), 3) for _ in range(seeds)]

    scores = {
        role: {"tr": around(turkish), "en": around(english)}
        for role, turkish, english in (
            ("teacher", 78.4, 90.1),
            ("student", 75.9, 88.7),
            ("layer_drop", 66.2, 84.0),
        )
    }

    def labels(middle: float) -> dict[str, dict[str, float]]:
        rows = {}
        for index, label in enumerate(LABELS):
            one, two = (min(99.0, middle + chance.gauss(0, 9)) for _ in range(2))
            f1 = 2 * one * two / (one + two)
            rows[label] = {"precision": one, "recall": two, "f1": f1, "support": 180 - 13 * index}
        return rows

    curve = [
        {
            "tokens": step * 25_000,
            "tr": 0.02 + 0.21 * math.exp(-step / 3),
            "en": 0.017 + 0.19 * math.exp(-step / 2.6),
        }
        for step in range(11)
    ]
    student = {
        "role": "student", "title": "Student", "parameters": 21_213_706, "embedding_parameters": 10_368_000,
        "disk_bytes": 88_200_000, "layers": 6, "latency_ms": {"p50": 6.12, "p95": 7.4}, "throughput": 214.7,
        "memory_bytes": 612_000_000,
    }  # fmt: skip
    teacher = {
        "role": "teacher", "title": "Teacher", "parameters": 117_510_538, "embedding_parameters": 96_206_592,
        "disk_bytes": 487_000_000, "layers": 12, "latency_ms": {"p50": 12.31, "p95": 14.9},
        "throughput": 104.2, "memory_bytes": 1_210_000_000,
    }  # fmt: skip
    dropped = student | {"role": "layer_drop", "title": "Student without general distillation"}
    return {
        "schema": 1,
        "name": "quickstart-tr",
        "bistil_version": "0.1.0",
        "created": "2026-11-23T20:41:00+00:00",
        "teacher": {"name": "bundled:multilingual-e5-small"},
        "source": "en",
        "target": "tr",
        "seeds": list(range(seeds)),
        "vocabulary": {
            "before": 250_002,
            "after": 27_004,
            "languages": {
                "en": {
                    "coverage": 0.99987, "unknown_before": 0.0, "unknown_after": 0.0, "changed_share": 0.015,
                    "tokens_per_word_before": 1.31, "tokens_per_word_after": 1.312,
                },
                "tr": {
                    "coverage": 0.99931, "unknown_before": 0.0001, "unknown_after": 0.0001,
                    "changed_share": 0.02, "tokens_per_word_before": 1.87, "tokens_per_word_after": 1.874,
                },
            },
        },
        "student": {"layers": [2, 4, 6, 8, 10, 12]},
        "distillation": {"tokens": 250_000, "tokens_per_second": 1_130.4, "seconds": 221.2, "curve": curve},
        "models": [teacher, student, dropped],
        "tasks": [
            {
                "name": "definitions",
                "kind": "classification",
                "metric": "accuracy",
                "train_examples": 1_500,
                "tests": {"tr": {"examples": 1_204}, "en": {"examples": 1_000}},
                "scores": scores,
                "per_label": {
                    code: {"teacher": labels(middle), "student": labels(middle - 2.5)}
                    for code, middle in (("tr", 78), ("en", 89))
                },
                "examples": [
                    {"text": text, "gold": gold, "teacher": theirs, "student": ours}
                    for text, gold, theirs, ours in TEXTS
                ],
            }
        ],
        "comparison": {"smaller": 117_510_538 / 21_213_706, "faster": 2.06, "latency_ratio": 2.01},
        "stages": [
            {"name": name, "seconds": seconds, "memory_bytes": memory}
            for name, seconds, memory in (
                ("corpora", 6.4, 310e6), ("vocabulary", 11.9, 1.4e9), ("student", 0.8, 1.1e9),
                ("general distillation", 221.2, 1.6e9), ("task teacher", 121.5, 2.2e9),
                ("task student", 88.0, 1.9e9), ("evaluation", 31.0, 1.3e9), ("efficiency", 24.1, None),
            )
        ],
        "recipe": {
            "name": "quickstart-tr", "teacher": "bundled:multilingual-e5-small",
            "source": {"language": "en", "text": ["data/text/en.txt"]},
            "target": {"language": "tr", "text": ["data/text/tr.txt"]},
            "student": {"layer_reduction": 2}, "seeds": list(range(seeds)),
        },
        "environment": {
            "python": "3.11.9", "torch": "2.13.0+cpu", "transformers": "5.23.0",
            "processor": "Intel(R) Xeon(R) Platinum 8481C", "cores": 2, "threads": 2,
        },
    }  # fmt: skip
