"""What fifty languages would take: `python -m benchmarks.fleet_plan`. Kept in ``results/fleet-plan.json``.

The plan of 50 languages × 4 tasks × 2 students with XLM-R base, with and without shared teachers, on cards of
the list. Nothing is trained: texts and labelled files of Turkish, German and Basque stand for fifty languages.
XLM-R is its shape and the tokenizer of multilingual-E5, which is the same.
"""

import tempfile
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.pairs import TEXT, TREEBANKS
from benchmarks.realdata import ROOT, realdata
from benchmarks.results import save_measurement
from bistil.models import pretrained, teachers
from bistil.planning.known import known_config
from bistil.planning.matrixplan import MatrixPlan, plan_matrix
from bistil.recipe.matrix import Matrix
from bistil.report.languages import NAMES

CARDS = ("l4", "a100")
LANGUAGES, TOKENS = 50, 50_000_000


def main() -> None:
    """Plans on each card, and with shared teachers."""
    with tempfile.TemporaryDirectory() as folder:
        teacher = _xlmr(Path(folder) / "xlm-roberta-base")
        plans = {card: plan_matrix(_matrix(teacher, False), card) for card in CARDS}
        shared = plan_matrix(_matrix(teacher, True), CARDS[0])
    for plan in plans.values():
        print(_facts(plan), flush=True)
    facts = {
        "languages": LANGUAGES,
        "tokens": TOKENS,
        "cards": {card: _facts(plan) for card, plan in plans.items()},
        "shared": {CARDS[0]: _facts(shared)},
    }
    save_measurement("fleet-plan", "python -m benchmarks.fleet_plan", facts)


def _facts(plan: MatrixPlan) -> dict[str, Any]:
    keys = ("recipes", "gpu_seconds", "gpu_saved", "seconds", "saved", "memory", "disk")
    return {"stages": len(plan.stages), **{key: getattr(plan, key) for key in keys}}


def _xlmr(folder: Path) -> Path:
    config = known_config("FacebookAI/xlm-roberta-base")
    assert config is not None
    config.save_pretrained(folder)
    (folder / "model.safetensors").touch()
    bundled = teachers.locate("bundled:multilingual-e5-small", ROOT)
    pretrained.tokenizer(bundled).save_pretrained(folder)
    return folder


def _matrix(teacher: Path, shared: bool) -> Matrix:
    data = realdata()
    codes = [code for code in NAMES if code != "en"][:LANGUAGES]
    own = dict(zip(codes, cycle(("tr", "de", "eu")), strict=False))
    files = {
        "pos": {code: TREEBANKS[one] for code, one in own.items()},
        "parsing": {code: TREEBANKS[one] for code, one in own.items()},
        "ner": {code: f"ner/{one}_panx-dev.iob2" for code, one in own.items()},
        "classification": {code: f"topic/{one}_sib200-test.tsv" for code, one in own.items()},
    }
    train = {
        "pos": "ud/en_ewt-train.conllu",
        "parsing": "ud/en_ewt-train.conllu",
        "ner": "ner/en_panx-train.iob2",
        "classification": "topic/en_sib200-train.tsv",
    }
    return Matrix.checked(
        {
            "name": "fifty",
            "teacher": str(teacher),
            "source": {"language": "en", "text": str(data / "text/en.txt")},
            "languages": {code: str(data / TEXT[one]) for code, one in own.items()},
            "students": {"half": {"layer_reduction": 2}, "third": {"layer_reduction": 3}},
            "share_teachers": shared,
            "distill": {"tokens": TOKENS, "batch_size": 32, "sequence_length": 128},
            "tasks": [
                {
                    "kind": kind,
                    "train": str(data / train[kind]),
                    "test": {code: str(data / path) for code, path in tests.items()},
                }
                for kind, tests in files.items()
            ],
            "out": str(ROOT / "runs/fifty"),
        }
    )


if __name__ == "__main__":
    main()
