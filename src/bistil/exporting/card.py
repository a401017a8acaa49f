"""The model card of what bistil makes, ``README.md``, from the numbers of the run or call that made it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bistil.exporting.cardtables import UNKNOWN, costs, data_table, exported_blocks, scores_table
from bistil.exporting.folder import INT8
from bistil.exporting.int8note import noted
from bistil.exporting.metadata import (
    TRIMMED,
    TUNED,
    codes,
    embeds,
    file_name,
    first,
    metadata,
    model_name,
    settings,
)
from bistil.exporting.usage import CITATION, usage
from bistil.files import fingerprint_file, publish_files, read_json
from bistil.hub import CARD
from bistil.report import formats
from bistil.report.answer import answer
from bistil.report.contents import model, student_shape, targets, tested, widths
from bistil.report.languages import language_name, language_names
from bistil.report.markdown import plain, section
from bistil.report.tables import languages_of, matched

_EXPORT = "export.json"


def card(report: Mapping[str, Any], task: str | None = None, exported: Mapping[str, Any] | None = None) -> str:
    """The model card of a run's model, as Markdown below the metadata that the hub reads.

    Every number is one of the report's; what it does not have is left out, or said to be unknown. Paths are cut to
    file names, and no example of a text is shown.

    Args:
        report: what ``report.json`` has. Of a model that is no student ``made`` says what was done (`TRIMMED`,
            `TUNED`), and ``languages`` which are known, in place of ``source`` and ``target``.
        task: the name of the model's task; None for the student, which has none.
        exported: what ``export.json`` in the model's folder has, if it was exported to ONNX.

    Example:
        ``card(report, "pos").splitlines()[1]`` is ``language:``.
    """
    tasks = [one for _, one in tested(report) if task in (None, one["name"])]
    own = None if task is None else tasks[0]
    blocks = [f"---\n{metadata(report, own)}\n---", f"# {plain(model_name(report, own))}"]
    blocks += [plain(_said(report, own)), "\n".join(f"- {fact}" for fact in _facts(report, own))]
    blocks += usage(report, own)
    blocks += [*section("Scores", scores_table(report, tasks)), _scores_note(report, tasks, own is None)]
    blocks += [] if exported is None else exported_blocks(exported)
    blocks += [*section("Size and speed", costs(report)), _costs_note(report)]
    data = data_table(report, [] if own is None else tasks)
    blocks += section("Data", data)
    if any(UNKNOWN in row for row in data.rows):
        blocks.append("Where a licence is unknown, it was not stated.")
    blocks += ["## How it was made", "\n".join(f"{n}. {step}" for n, step in enumerate(_steps(report, own), 1))]
    blocks += ["## Limits", "\n".join(f"- {limit}" for limit in _limits(report, own))]
    blocks += ["## Citation", CITATION]
    return "\n\n".join(block for block in blocks if block) + "\n"


def write_cards(report: Mapping[str, Any], folder: Path) -> list[str]:
    """Write the model cards of a run's folder again: of ``student/`` and ``tasks/NAME/``, where they are.

    A card has what ``export.json`` in the model's folder has. Returns the places of models that are not the
    report's, whose cards stay. Raises `BistilError` where a card was changed since bistil wrote it.
    """
    places: dict[str, str | None] = {"student": None}
    places |= {f"tasks/{one['name']}": one["name"] for one in report.get("tasks", ())}
    known = report.get("weights", {})  # a report of an earlier release does not say them
    others = []
    for name, task in places.items():
        place = folder / name
        if not (place / "config.json").is_file():
            continue
        if known.get(name, now := weights(place)) != now:
            others.append(name)
            continue
        exported = _read(place / _EXPORT)
        written = card(report, task, exported)
        if exported is not None:
            written = noted(written, INT8 in exported.get("bytes", {}))
        publish_files(place, {CARD: written})
    return others


def weights(folder: Path) -> dict[str, str]:
    """The SHA-256 of a model's weights by file: ``{"model.safetensors": "9f86d081884c7d65…"}``."""
    return {path.name: fingerprint_file(path) for path in sorted(folder.glob("*.safetensors"))}


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, Mapping) else None


def _pair(report: Mapping[str, Any]) -> tuple[str, str]:
    """The source, and the targets in one: ``("English", "French and Turkish")``."""
    return language_name(report["source"]), language_names(targets(report))


def _languages(report: Mapping[str, Any]) -> str:
    return language_names(codes(report))


def _said(report: Mapping[str, Any], task: Mapping[str, Any] | None) -> str:
    """The model in a sentence or two."""
    made, base = report.get("made"), file_name(report["teacher"].get("hub_id") or report["teacher"]["name"])
    if made == TRIMMED:
        return (
            f"This is {base} with a smaller vocabulary: only the tokens that {_languages(report)} text needs. "
            "Text whose tokens were kept gives the same numbers as before. Nothing was trained."
        )
    if made == TUNED and task is not None:
        return f"This is {base}, fine-tuned for {task.get('title', task['kind'])}."
    if task is None and embeds(report):
        return (
            f"This is a sentence embedding model for {_languages(report)}, distilled from a multilingual teacher: "
            "texts of similar meaning have similar vectors, in one language and across them."
        )
    if task is None:
        return (
            f"This is an encoder for {_languages(report)}, distilled from a multilingual teacher. It has no "
            "task head: fine-tune it, or use its hidden states."
        )
    found = answer({key: value for key, value in report.items() if key != "students"} | {"tasks": [task]})
    return " ".join([f"This{found.sentence.removeprefix('Your')}", *found.remarks])


def _facts(report: Mapping[str, Any], task: Mapping[str, Any] | None) -> Iterator[str]:
    if "made" in report:
        yield f"**Languages:** {plain(_languages(report)) or UNKNOWN}"
        whose = "base model"
    else:
        source, goal = map(plain, _pair(report))
        several = len(targets(report)) > 1
        yield f"**Languages:** {source} (source){'; ' if several else ' and '}{goal} (target{'s' * several})"
        whose = "teacher"
    if task is not None:
        yield f"**Task:** {plain(str(task.get('title', task['kind'])))}"
    teacher = report["teacher"]
    license = teacher.get("license")
    yield f"**{whose.capitalize()}:** {_teacher(teacher)}, licence: {plain(license or UNKNOWN)}"
    if license:
        yield (
            f"**Licence:** the {whose}'s, because the weights are derived from it. Whether the data's licences "
            "add conditions was not checked."
        )
    else:
        yield f"**Licence:** unknown, because the {whose}'s is. Find it out before you share the model."


def _teacher(teacher: Mapping[str, Any]) -> str:
    if hub_id := teacher.get("hub_id"):
        return f"[{plain(hub_id)}](https://huggingface.co/{hub_id})"
    return f"{plain(file_name(teacher['name']))}, a local model"


def _scores_note(report: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]], of_student: bool) -> str:
    if not any(languages_of(task, first(report)) for task in tasks):
        return ""
    metrics = dict.fromkeys(formats.metric(one["metric"]) for one in tasks)
    of_tasks = of_student and "embeddings" not in report
    parts = ["These are the scores of task models made from this student."] if of_tasks else []
    parts.append(f"Scores are {plain(', '.join(metrics))} in per cent.")
    seeds = report.get("seeds", [])
    if len(seeds) > 1:
        parts.append(
            f"They are mean ± standard deviation over {len(seeds)} seeds; this model has seed {seeds[0]}."
        )
    if "max_drop" in report.get("students", {}):
        parts.append("It was chosen among several students by these test files, which flatters it a little.")
    if "made" not in report and "embeddings" not in report:
        parts.append("The task teacher is the teacher with a trimmed vocabulary, fine-tuned on the same labels.")
    return " ".join(parts)


def _costs_note(report: Mapping[str, Any]) -> str:
    machine, tests = report.get("environment", {}), tested(report)
    if not (tests and machine.get("processor")):
        return ""
    on = f"{machine['processor']}, threads: {machine.get('threads', formats.NOTHING)}"
    engines = f"PyTorch {machine.get('torch', '')}"
    if "onnxruntime" in machine:
        engines += f" and onnxruntime {machine['onnxruntime']}"
    measured = "" if "embeddings" in report else f" with the model of {tests[0][1]['name']}"
    return plain(f"Measured in {engines}{measured}, in turns with the teacher, on {on}.")


def _steps(report: Mapping[str, Any], task: Mapping[str, Any] | None) -> Iterator[str]:
    vocabulary, teacher = report.get("vocabulary", {}), model(report, "teacher")
    whose = "base model" if "made" in report else "teacher"
    if "after" in vocabulary:
        yield (
            f"Vocabulary: of the {whose}'s {formats.count(vocabulary['before'])} tokens, the "
            f"{formats.count(vocabulary['after'])} that the {plain(_languages(report))} text needs were kept."
        )
    if layers := (shape := student_shape(report))["layers"]:
        depth = f" {teacher['layers']}" if teacher.get("layers") else ""
        narrower = f", with {formats.joined(found)}" if (found := widths(shape)) else ""
        yield f"Layers: the student keeps layers {', '.join(map(str, layers))} of the teacher's{depth}{narrower}."
    if "tokens" in report.get("distillation", {}):
        yield (
            f"General distillation: the student learned to match the teacher's {matched(report)} on "
            f"{formats.count(report['distillation']['tokens'])} tokens of unlabelled text."
        )
    if task is not None:
        shares = settings(report, task)
        density, own = shares.get("density"), shares.get("student_density")
        share = f", {formats.share(density, 0)} of the encoder's parameters" if density else ""
        other = f", {formats.share(own, 0)} of its parameters" if own else ""
        count = formats.count(task.get("train_examples"))
        if "made" in report:
            yield f"Task: the model learned it from {count} labelled examples by sparse fine-tuning{share}."
        else:
            yield (
                f"Task: the teacher learned it from {count} labelled {plain(_pair(report)[0])} examples by sparse "
                f"fine-tuning{share}. The student learned it from the teacher, also by sparse fine-tuning{other}."
            )
    version = plain(report.get("bistil_version", ""))
    yield f"All steps were done with [bistil](https://github.com/bistil/bistil) {version}."


def _limits(report: Mapping[str, Any], task: Mapping[str, Any] | None) -> Iterator[str]:
    if report.get("made") != TUNED or report.get("vocabulary"):
        yield f"It is for {plain(_languages(report))} only: its vocabulary lacks the tokens of other languages."
    if task is not None:
        if "made" in report:
            yield "In other languages than that of its labels, and on other kinds of text, scores differ."
        else:
            source, goal = map(plain, _pair(report))
            are = "are" if len(targets(report)) > 1 else "is"
            yield f"Its labels were {source} only; {goal} {are} zero-shot. On other kinds of text, scores differ."
        if length := settings(report, task).get("max_length"):
            yield f"It was trained on inputs of up to {length} tokens."
    whose = "base model" if "made" in report else "teacher"
    yield f"It may have the biases of its {whose} and of its data; they were not examined."
