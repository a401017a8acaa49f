"""What model cards say of models that no report describes, in the form of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bistil.evaluation.significance import compare
from bistil.exporting.metadata import TRIMMED, TUNED, card_languages
from bistil.files import read_json
from bistil.models.shapes import StudentShape
from bistil.models.sources import origin
from bistil.pipeline.taskdata import TaskData
from bistil.pipeline.taskstages import Outcome
from bistil.recipe.parts import Task as TaskRecipe
from bistil.recipe.recipe import Recipe
from bistil.runtime.pooling import Pooling
from bistil.runtime.tokenizer import FILE, backend
from bistil.tasks import saved

Report = dict[str, Any]


def of_student(recipe: Recipe, teacher: Path, student: Path, shape: StudentShape, tokens: int) -> Report:
    """The report of general distillation.

    Args:
        recipe: what was done.
        teacher: the folder of the teacher.
        student: that of the student, or of a task model made of it.
        shape: its layers and widths.
        tokens: of unlabelled text that it was distilled on.
    """
    return {
        **_made_of(recipe.teacher, teacher, student, recipe.name),
        **vectors(student),
        "source": recipe.source.language,
        "target": recipe.targets[0].language,
        "targets": [part.language for part in recipe.targets],
        "seeds": list(recipe.seeds),
        "vocabulary": _vocabulary(teacher, student),
        "student": shape.facts,
        "distillation": {"tokens": tokens},
        "recipe": recipe.model_dump(mode="json"),
    }


def of_fine_tuned(base: str, located: Path, made: Path, name: str, task: Report, recipe: TaskRecipe) -> Report:
    """The report of fine-tuning an encoder; its languages are those of its own card, or else those tested.

    Args:
        base: the name of the encoder.
        located: its folder.
        made: the folder of the task model.
        name: what to call it.
        task: what `learned` said of the task.
        recipe: that of the task.
    """
    return {
        **_made_of(base, located, made, name),
        "made": TUNED,
        "languages": card_languages(located) or list(task["tests"]),
        "tasks": [task],
        "recipe": {"tasks": [recipe.model_dump(mode="json")]},
    }


def of_task_teacher(recipe: Recipe, teacher: Path, made: Path, task: Report) -> Report:
    """The report of a task teacher: trimmed to the recipe's languages, then fine-tuned.

    Args:
        recipe: what was done.
        teacher: the folder of the untrimmed teacher.
        made: the folder of the task teacher.
        task: what `learned` said of the task.
    """
    return {
        **_made_of(recipe.teacher, teacher, made, recipe.name),
        "made": TUNED,
        "languages": [part.language for part in recipe.languages],
        "source": recipe.source.language,
        "seeds": list(recipe.seeds),
        "vocabulary": _vocabulary(teacher, made),
        "tasks": [task],
        "recipe": {"tasks": [own.model_dump(mode="json") for own in recipe.tasks]},
    }


def of_trimmed(
    base: str, located: Path, name: str, text: Mapping[str, Sequence[str]], facts: Mapping[str, Any], kind: str
) -> Report:
    """The report of a smaller vocabulary.

    Args:
        base: the name of the model.
        located: its folder.
        name: what to call it.
        text: the files of each language, or patterns of them.
        facts: what ``vocabulary.json`` has.
        kind: the class of the model, such as "XLMRobertaForMaskedLM".
    """
    sides = {"teacher": "before", "student": "after"}
    keys = ("parameters", "embedding_parameters", "disk_bytes")
    return {
        **_of(base, located, name),
        **vectors(located),
        "made": TRIMMED,
        "languages": list(text),
        "architecture": kind,
        "vocabulary": {side: facts[side] for side in sides.values()},
        "models": [
            {"role": role, **{key: facts[f"{key}_{side}"] for key in keys}} for role, side in sides.items()
        ],
        "recipe": {"text": dict(text)},
    }


def learned(recipe: TaskRecipe, data: TaskData, own: Sequence[Outcome], teacher: Sequence[Outcome] = ()) -> Report:
    """What a report has of a task: its data, and the scores on them by seed, those of a teacher beside them."""
    kind = type(data.task)
    outcomes = {"student": own, **({"teacher": teacher} if teacher else {})}
    found = {role: [outcome.scores for outcome in seeds] for role, seeds in outcomes.items()}
    apart = {
        language: compare(*([seed[language]["contributions"] for seed in seeds] for seeds in found.values()))
        for language in (data.tests if teacher else ())
    }
    return {
        "name": recipe.name,
        "kind": recipe.kind,
        "title": kind.title,
        "head": kind.head.__name__,
        "metric": kind.metric_title,
        **data.counts,
        "scores": {
            role: {language: [seed[language]["scores"][kind.metric] for seed in seeds] for language in data.tests}
            for role, seeds in found.items()
        },
        "comparisons": {
            language: {"student": {"against_teacher": asdict(one)}} for language, one in apart.items()
        },
    }


def vectors(folder: Path) -> Report:
    """What a report has of a sentence embedding model: ``{"prompts": {"query": "query: "}}``; else nothing."""
    return {} if (pooling := Pooling.known(folder)) is None else {"prompts": dict(pooling.prompts)}


def _of(base: str, located: Path, name: str) -> Report:
    made_by = {"name": name, "bistil_version": version("bistil")}
    return {**made_by, "teacher": {"name": base, **asdict(origin(base, located))}}


def _made_of(base: str, located: Path, made: Path, name: str) -> Report:
    """With the sizes of both."""
    return {
        **_of(base, located, name),
        "models": [
            {
                "role": role,
                "parameters": saved.parameters_in(folder),
                "disk_bytes": _bytes(folder),
                **_layers(folder),
            }
            for role, folder in (("teacher", located), ("student", made))
        ],
    }


def _vocabulary(before: Path, after: Path) -> dict[str, int]:
    """The numbers of tokens; empty where a tokenizer lacks its file."""
    sides = {"before": before, "after": after}
    if not all((folder / FILE).is_file() for folder in sides.values()):
        return {}
    return {side: backend(folder).get_vocab_size() for side, folder in sides.items()}


def _bytes(folder: Path) -> int:
    """Of the weights, the tokenizer and the configuration."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".safetensors", ".json"))


def _layers(folder: Path) -> dict[str, int]:
    config = read_json(folder / "config.json")
    found = config.get("encoder", config).get("num_hidden_layers")
    return {"layers": found} if found else {}
