"""What of the code a stage's result depends on: its version, and the libraries by which its numbers come about.

Raise a stage's version when a change of its code changes its results, so that older results are not reused;
`tests/pipeline/test_stagecode.py` notices a change that nobody judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

_ONNX = ("onnx", "onnxruntime", "onnxscript")
_TOKENS, _NUMBERS = ("tokenizers", "transformers"), ("tokenizers", "torch", "transformers")


@dataclass(frozen=True)
class StageCode:
    """A stage's code version, the libraries that count, and the modules and functions that it runs.

    ``sources`` are roots, ``module`` with all that it imports of bistil, or ``module:Class.method`` alone.
    """

    version: int
    libraries: tuple[str, ...]
    sources: tuple[str, ...]

    def said(self) -> dict[str, Any]:
        """For a fingerprint: ``{"version": 1, "torch": "2.13"}``. Releases that only mend count as the same."""
        return {"version": self.version, **{name: _minor(version(name)) for name in self.libraries}}


_STUDENTS, _TASKS, _LANGUAGES = (f"bistil.pipeline.{name}stages" for name in ("student", "task", "language"))
_TEXT = "bistil.pipeline.unlabelled:Unlabelled"
_EMBEDDINGS = "bistil.pipeline.embeddingstages:EmbeddingStages"
_VECTORS = (f"{_EMBEDDINGS}._scores", "bistil.evaluation.testfiles", "bistil.tasks.vectors")
_DISTILLED_TASK = StageCode(
    2, _NUMBERS, (f"{_TASKS}:TaskStages.student", "bistil.training.transfer", "bistil.tasks.task")
)

STAGES: Mapping[str, StageCode] = {
    "vocabulary": StageCode(1, _TOKENS, (f"{_STUDENTS}:StudentStages.vocabulary", "bistil.vocabulary.trimming")),
    "shape": StageCode(3, _NUMBERS, ("bistil.pipeline.shaping:Shaping.chosen", "bistil.pipeline.budgets")),
    "undistilled": StageCode(1, _NUMBERS, (f"{_STUDENTS}:StudentStages.undistilled", "bistil.models.students")),
    "blocks": StageCode(
        1,
        _TOKENS,
        (
            *(f"{_TEXT}.packed", f"{_TEXT}._lines", f"{_LANGUAGES}:LanguageStages._blocks"),
            *("bistil.corpora.blocks", "bistil.corpora.sentences"),
        ),
    ),
    "distill": StageCode(
        1,
        _NUMBERS,
        (
            f"{_STUDENTS}:StudentStages.distilled",
            f"{_TEXT}.data",
            "bistil.training.distillation",
        ),
    ),
    "scratch": StageCode(1, _NUMBERS, (f"{_STUDENTS}:StudentStages.scratch", "bistil.training.scratch")),
    "other": StageCode(1, _TOKENS, ("bistil.pipeline.encoders:as_stage",)),
    "task-teacher": StageCode(
        3, _NUMBERS, (f"{_TASKS}:TaskStages.teacher", "bistil.training.transfer", "bistil.tasks.task")
    ),
    "task-teacher-model": StageCode(1, _TOKENS, (f"{_TASKS}:TaskStages.teacher_model", "bistil.sparse.delta")),
    **{
        f"task-{role}": _DISTILLED_TASK
        for role in ("student", "layer-drop", "source_only", "target_only", "multilingual")
    },
    "evaluation": StageCode(
        2, _NUMBERS, (f"{_TASKS}:TaskStages._evaluation", "bistil.evaluation.scores", "bistil.tasks.task")
    ),
    "export": StageCode(
        3,
        (*_NUMBERS, *_ONNX),
        (
            f"{_TASKS}:TaskStages.exported",
            "bistil.pipeline.deployment:write",
            "bistil.exporting.conversion",
            "bistil.evaluation.scores",
            "bistil.tasks.task",
        ),
    ),
    "efficiency": StageCode(2, _NUMBERS, ("bistil.pipeline.costs:measured", "bistil.evaluation.efficiency")),
    "embeddings-evaluation": StageCode(3, _NUMBERS, _VECTORS),
    "embeddings-export": StageCode(
        3,
        (*_NUMBERS, *_ONNX),
        (
            *(f"{_EMBEDDINGS}.exported", "bistil.pipeline.deployment:write"),
            *("bistil.exporting.conversion", *_VECTORS),
        ),
    ),
    "embeddings-efficiency": StageCode(1, _NUMBERS, (f"{_EMBEDDINGS}.measured", "bistil.evaluation.efficiency")),
    "head": StageCode(1, _NUMBERS, (f"{_LANGUAGES}:LanguageStages._head", "bistil.training.adaptation")),
    "language-delta": StageCode(
        1, _NUMBERS, (f"{_LANGUAGES}:LanguageStages._delta", "bistil.training.adaptation")
    ),
}


def stage_code(name: str) -> StageCode:
    """The code of a stage; one that is not listed here is an error of whoever wrote it."""
    return STAGES[name]


def _minor(release: str) -> str:
    """``2.13`` of 2.13.0+cpu."""
    return ".".join(release.split("+")[0].split(".")[:2])
