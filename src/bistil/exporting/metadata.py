"""What a model card says for machines: languages, base model, licence, scores, in the keys of the hub."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bistil.hub import CARD
from bistil.report.contents import scores, targets
from bistil.report.formats import metric
from bistil.report.languages import language_name
from bistil.report.tables import languages_of

TAGS = ("bistil", "distillation", "cross-lingual-transfer")
# What a report's ``made`` says of a model that is no student: a vocabulary was trimmed, an encoder fine-tuned.
TRIMMED, TUNED = "trimmed", "fine-tuned"
_WITHOUT_A_TASK = {"ForMaskedLM": "fill-mask", "ForSequenceClassification": "text-classification"}
_WITHOUT_A_TASK |= {"ForTokenClassification": "token-classification"}
_TAGS = {TRIMMED: ("bistil", "vocabulary-trimming"), TUNED: ("bistil",)}
_EMBEDDING = ("sentence-transformers", "feature-extraction", "sentence-similarity")
# The hub's name of a head's task.
PIPELINES = {
    "AutoModelForQuestionAnswering": "question-answering",
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForTokenClassification": "token-classification",
}


def metadata(report: Mapping[str, Any], task: Mapping[str, Any] | None) -> str:
    """The YAML at the head of a card: of a task's model, or of the student without a task.

    A licence that is not known is left out, and so is a base model that is not on the hub.
    """
    from huggingface_hub import ModelCardData  # it takes a moment

    teacher = report["teacher"]
    tag = pipeline(report) if task is None else PIPELINES.get(head(task))
    results = [] if task is None else list(_results(report, task))
    data = ModelCardData(
        language=languages(report) or None,
        license=(teacher.get("license") or "").lower() or None,
        library_name=_library(report, task),
        pipeline_tag=tag,
        base_model=teacher.get("hub_id"),
        tags=[
            *_TAGS.get(report.get("made", ""), TAGS),
            *(_EMBEDDING if task is None and embeds(report) else ()),
            *([] if task is None else [task["kind"]]),
        ],
        metrics=[_metric(task)] if task is not None else None,
        model_name=model_name(report, task),
        eval_results=results or None,
    )
    if not results:
        data.pop("model_name")  # without results the hub does not know the key
    return str(data.to_yaml())


def model_name(report: Mapping[str, Any], task: Mapping[str, Any] | None) -> str:
    """A name for people: ``turkish: pos``."""
    return str(report["name"]) if task is None else f"{report['name']}: {task['name']}"


def head(task: Mapping[str, Any]) -> str:
    """The class that loads a task's model; empty where an older report does not say."""
    return str(task.get("head", ""))


def _library(report: Mapping[str, Any], task: Mapping[str, Any] | None) -> str:
    if task is None and embeds(report):
        return "sentence-transformers"
    return "transformers" if task is None or in_transformers(task) else "bistil"


def in_transformers(task: Mapping[str, Any]) -> bool:
    """Whether transformers alone has the head of a task."""
    return head(task).startswith("AutoModelFor")


def codes(report: Mapping[str, Any]) -> list[str]:
    """The languages of a model, as its user named them: a student's source and targets, any other's known ones."""
    return list(report["languages"] if "languages" in report else (report["source"], *targets(report)))


def embeds(report: Mapping[str, Any]) -> bool:
    """Whether a model that was trained for no task makes sentence embeddings."""
    return "prompts" in report


def pipeline(report: Mapping[str, Any]) -> str:
    """The hub's name of what a model that was trained for no task does, by ``architecture``: ``"fill-mask"``."""
    if embeds(report):
        return "sentence-similarity"
    name = str(report.get("architecture", ""))
    return next((tag for head, tag in _WITHOUT_A_TASK.items() if name.endswith(head)), "feature-extraction")


def languages(report: Mapping[str, Any]) -> list[str]:
    """The languages as the hub has them, without script and region: ``["en", "zh"]``."""
    return list(dict.fromkeys(code.replace("_", "-").partition("-")[0].lower() for code in codes(report)))


def card_languages(folder: Path) -> list[str]:
    """The languages that the card in a model's folder names: ``["en", "tr"]``; none where there is no card."""
    from huggingface_hub import metadata_load  # it takes a moment

    try:
        found = (metadata_load(folder / CARD) or {}).get("language") or []
    except (OSError, ValueError, yaml.YAMLError):  # no card, or one that cannot be read
        return []
    return [found] if isinstance(found, str) else [code for code in found if isinstance(code, str)]


def first(report: Mapping[str, Any]) -> list[str]:
    """The languages that count: a student's targets, of any other model the first; none where none is known."""
    return codes(report)[:1] if "languages" in report else targets(report)


def settings(report: Mapping[str, Any], task: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the recipe has of a task; empty where the report has no recipe."""
    tasks: Sequence[Mapping[str, Any]] = report.get("recipe", {}).get("tasks", ())
    return next((one for one in tasks if one.get("name") == task["name"]), {})


def file_name(path: str) -> str:
    """The last part of a path, pattern or address: where a file lies, and by what key, is its owner's business."""
    if "://" in path:
        path = path.partition("?")[0]
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path


def _results(report: Mapping[str, Any], task: Mapping[str, Any]) -> Iterator[Any]:
    """The scores of this very model, that of the first seed, one a test file."""
    from huggingface_hub import EvalResult

    files = settings(report, task).get("test", {})
    for language in languages_of(task, first(report)):
        if own := scores(task, "student", language):
            file = file_name(files.get(language, language))
            yield EvalResult(
                task_type=PIPELINES.get(head(task), "other"),
                task_name=str(task.get("title", task["kind"])),
                dataset_type=file,
                dataset_name=f"{file}, {language_name(language)}",
                dataset_config=language,
                dataset_split="test",
                metric_type=_metric(task),
                metric_name=f"{metric(task['metric'])}, per cent",
                metric_value=round(own[0], 2),
            )


def _metric(task: Mapping[str, Any]) -> str:
    return str(task["metric"]).lower()
