"""What `benchmarks.tables` writes into docs/tasks.md: one table a benchmark of tasks, by the name of it."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from bistil.progress import duration
from bistil.report import formats

LAYERS = {"every 2": "half", "every 3": "a third"}  # by layer_reduction, as runs are named


def transfer(result: Mapping[str, Any]) -> str:
    """Each task in each language: the teacher, and how much of its score the students retain."""
    rows = [
        "| | training examples | layers kept | seeds | teacher | student | retained | student − teacher "
        "| student − the same without general distillation |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    runs = dict(sorted(result["runs"].items(), key=lambda item: item[0].split(", ")[::-1]))
    for name, facts in runs.items():
        languages, every, task = name.split(", ")
        teacher, student = (fmean(facts["scores"][role]) for role in ("teacher", "student"))
        compared = facts["comparisons"]
        cells = [
            f"{task}, {languages}, {formats.metric(facts['metric'])}",
            f"{facts['train_examples']:,}",
            LAYERS[every],
            str(len(facts["scores"]["student"])),
            f"{teacher:.1f}",
            f"{student:.1f}",
            f"{100 * student / teacher:.1f} %",
            _difference(compared["student"]["against_teacher"]),
            _difference(compared["layer_drop"]["student_against"]),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    rows += ["", "In brackets the 95 % interval of a paired bootstrap over the test's examples."]
    return "\n".join([*rows, "", *averages(runs)])


def averages(runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The mean drop of each task, over the languages in which it is measured."""
    found: dict[tuple[str, str], list[list[float]]] = {}
    for name, facts in runs.items():
        _, every, task = name.split(", ")
        drops = [facts["comparisons"][role]["against_teacher"]["difference"] for role in ("student", "layer_drop")]
        found.setdefault((task, every), []).append(drops)
    rows = [
        "| mean over languages | layers kept | languages | student − teacher "
        "| the same without general distillation − teacher |",
        "|---|---|---|---|---|",
    ]
    for (task, every), drops in found.items():
        student, layer_drop = (formats.signed(fmean(own)) for own in zip(*drops, strict=True))
        rows.append(f"| {task} | {LAYERS[every]} | {len(drops)} | {student} | {layer_drop} |")
    return rows


def _difference(found: Mapping[str, float]) -> str:
    middle, low, high = (formats.signed(found[f"difference{end}"]) for end in ("", "_low", "_high"))
    return f"{middle} ({low} to {high})"


def learning_curves(result: Mapping[str, Any]) -> str:
    """The effect of more layers, text, examples and epochs."""
    rows = [
        "| seed 0 | layers | tokens distilled | examples | epochs: teacher | student "
        "| target: teacher | student | English: teacher | student |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    order = ("task", "target", "layers", "tokens", "train_examples", "epochs", "student_epochs")
    for facts in sorted(result["runs"].values(), key=lambda row: [row[of] for of in order]):
        scores = [facts[of][role][0] for of in ("scores", "validation") for role in ("teacher", "student")]
        cells = [
            f"{facts['task']}, en-{facts['target']}, {formats.metric(facts['metric'])}",
            f"{facts['layers']} of 12",
            f"{facts['tokens']:,}",
            f"{facts['train_examples']:,}",
            *(" + ".join(map(str, facts[of])) for of in ("epochs", "student_epochs")),
            *(f"{score:.1f}" for score in scores),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def task_batch(result: Mapping[str, Any]) -> str:
    """The effect of the batch size on a task."""
    rows = ["| seed 0, accuracy | Turkish | English, validation |", "|---|---|---|"]
    for name, facts in result["rows"].items():
        rows.append(f"| {name} | {facts['tr']:.1f} | {facts['validation']:.1f} |")
    return "\n".join(rows)


def tuning(result: Mapping[str, Any]) -> str:
    """What dropout of attention costs a task teacher, and its scores with it and without."""
    speed, scores = result["speed"], result["scores"]
    ways = ("with", "without")
    rows = [
        "| task teacher | with dropout of attention | without (the default) | as torch computes the latter |",
        "|---|---|---|---|",
    ]
    measured = [speed[way] for way in (*ways, "as torch has it")]
    seconds = [f"{own['seconds']:.1f}" for own in measured]
    memory = [formats.size(own["bytes"]) for own in measured]
    rows.append(f"| seconds of a step of 8 × 384 tokens | {' | '.join(seconds)} |")
    rows.append(f"| peak memory of the process | {' | '.join(memory)} |")
    for setting in dict.fromkeys(name.rpartition(", ")[0] for name in scores):
        pair = [scores.get(f"{setting}, {way}") for way in ways]
        cells = [f"{own['tr']:.1f}, {own['validation']:.1f}" if own else "" for own in pair]
        rows.append(f"| {setting}: Turkish, English | {' | '.join(cells)} | |")
    machine = speed["environment"]
    said = (
        f"{machine['date']}, {machine['cores']} cores of an {machine['processor']}, `python -m benchmarks.tuning`."
    )
    return "\n".join([*rows, "", said])


def few_examples(result: Mapping[str, Any]) -> str:
    """The effect of more steps on few examples."""
    rows = ["| seed 0, task teacher | target language | English, validation |", "|---|---|---|"]
    for name, facts in result["rows"].items():
        rows.append(f"| {name} | {facts['target']:.1f} | {facts['validation']:.1f} |")
    return "\n".join(rows)


def task_speed(result: Mapping[str, Any]) -> str:
    """How long a student takes for parsing and for question answering."""
    share = 100 * result["decoding_seconds"] / result["parsing_seconds"]
    machine = result["environment"]
    return (
        f"On {machine['cores']} cores of an {machine['processor']} a student with half of the layers parses "
        f"{result['sentences']:,} English sentences in {result['parsing_seconds']:.0f} s, {share:.1f} % of it "
        f"the spanning-tree search, and takes {duration(result['answering_seconds'])} for the 1,190 questions of "
        "Turkish XQuAD, all of `bistil eval` included."
    )


def every_file(result: Mapping[str, Any]) -> str:
    """The score of every labelled file by a teacher with its whole vocabulary."""
    rows = [
        "Every labelled file through `bistil eval`, by a teacher that keeps its whole vocabulary and trained on "
        "few English examples.",
        "",
    ]
    rows += ["| file | task, English examples | examples scored | | English |", "|---|---|---|---|---|"]
    for file, facts in result["rows"].items():
        metric = next(name for name in ("las", "f1", "accuracy") if name in facts["scores"])
        cells = [
            file.split("/")[-1],
            f"{facts['task']}, {result['trained_on'][facts['task']]:,}",
            f"{facts['examples']:,}",
            f"{facts['scores'][metric]:.1f} {formats.metric(metric)}",
            f"{facts['english'][metric]:.1f}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def scoring(result: Mapping[str, Any]) -> str:
    """What task teachers score in float32 and in bfloat16."""
    rows = ["| task teacher, Turkish, English | float32 | bfloat16 |", "|---|---|---|"]
    for kind, facts in result["tasks"].items():
        scores = [facts[way]["scores"] for way in ("float32", "bfloat16")]
        cells = [f"{own['tr']:.2f}, {own['en']:.2f}" for own in scores]
        rows.append(f"| {kind}, {facts['examples']['tr']:,} examples each | {' | '.join(cells)} |")
    return "\n".join([*rows, "", f"{result['environment']['date']}, `python -m benchmarks.scoring`."])
