"""Which shape of a student keeps most for its time.

``python -m benchmarks.shapes [TARGET KIND EXAMPLES SEED [SHAPE …]]``.

Multilingual-E5-small; each shape of ``SHAPES`` is distilled and learns the task, resumable: a row is kept in
``results/shapes.json`` when it is there. A shape may say after how many tokens of general distillation, if not
after ``TOKENS``, what share of its parameters the task changes, if not the default, and how many more examples of
the training file the teacher labels: "4 layers after 2,000,000 tokens at density 0.5 with 6,000 unlabelled".
``python -m benchmarks.shapes speed`` measures how long each shape takes for a text of some tokens, and the trimmed
teacher, all in one run, A B A B, in PyTorch and in int8.
"""

import re
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.pairs import others, pair
from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.models import pretrained, teachers
from bistil.models.shapes import Shape, StudentShape
from bistil.models.students import kept_layers
from bistil.pipeline.runs import teach_tasks, transfer_tasks
from bistil.pipeline.shapetimes import text_seconds
from bistil.pipeline.studentstages import StudentStages
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe

RESULT = ROOT / "results/shapes.json"
TOKENS = 500_000
TWELVE = {"layers": 12}
SHAPES: dict[str, dict[str, Any]] = {
    "12 layers, feed-forward 384": {**TWELVE, "intermediate_size": 384},
    "12 layers of 256, feed-forward 512": {**TWELVE, "hidden_size": 256, "intermediate_size": 512},
    "6 layers": {"layers": 6},
    "12 layers of 256, feed-forward 1,024": {**TWELVE, "hidden_size": 256, "intermediate_size": 1024},
    "9 layers, feed-forward 768": {"layers": 9, "intermediate_size": 768},
    "8 layers, feed-forward 384": {"layers": 8, "intermediate_size": 384},
    "12 layers, feed-forward 192": {**TWELVE, "intermediate_size": 192},
    "4 layers": {"layers": 4},
    "6 layers of 256, feed-forward 512": {"layers": 6, "hidden_size": 256, "intermediate_size": 512},
    "4 layers, feed-forward 384": {"layers": 4, "intermediate_size": 384},
}
EXAMPLES = {"qa": 1_000, "nli": 8_000, "pos": 2_000, "parsing": 2_000, "ner": 4_000, "intents": 4_000}
SETTINGS = [
    (target, kind, examples, seed)
    for kind, examples in EXAMPLES.items()
    for seed in (0, 1)
    for target in ("tr", "de")
]
_SHAPE = r"(.+?)(?: after ([\d,]+) tokens)?(?: at density ([\d.]+))?(?: with ([\d,]+) unlabelled)?"
LENGTHS = (32, 64, 256)  # tokens: of a sentence, a line, a window of a passage


def recipe(target: str, kind: str, examples: int, seed: int, shape: str) -> Recipe:
    """One student of a pair; all shapes share the folder, and so vocabulary and task teacher."""
    if (said := re.fullmatch(_SHAPE, shape)) is None or said[1] not in SHAPES:
        raise SystemExit(f"There is no shape {shape!r}. Choose one of: {'; '.join(SHAPES)}.")
    name, tokens, density, further = said.groups()
    found: Recipe = pair(target, 2, int(tokens.replace(",", "")) if tokens else TOKENS, (kind,))
    settings = [f"student={SHAPES[name]}", f"seeds=[{seed}]", f"tasks.0.max_train_samples={examples}"]
    settings += [f"tasks.0.student_density={density}"] if density else []
    if further:
        path = others(Path(found.tasks[0].train), examples, int(further.replace(",", "")))
        settings.append(f"tasks.0.unlabelled={{en: {path}}}")
    return found.model_copy(update={"baselines": ()}).override(settings)


def main() -> None:
    """The speeds, the shapes that are asked for, or all of them in the order in which they matter most."""
    results: dict[str, Any] = (
        read_json(RESULT) if RESULT.exists() else {"command": "python -m benchmarks.shapes", "rows": {}}
    )
    if sys.argv[1:] == ["speed"] or (not sys.argv[1:] and "speed" not in results):
        results["speed"] = described(_speeds())
        write_json(RESULT, results)
    wanted: list[tuple[str, str, int, int, str]] = []
    match sys.argv[1:]:
        case ["speed"]:
            pass
        case [language, task, number, chance, *shapes]:
            wanted = [(language, task, int(number), int(chance), shape) for shape in shapes or SHAPES]
        case _:
            wanted = [(*setting, shape) for setting in SETTINGS for shape in SHAPES]
    for target, kind, examples, seed, shape in wanted:
        name = f"en-{target}, {kind}, {examples:,} examples, seed {seed}: {shape}"
        if name not in results["rows"]:
            results["rows"][name] = described(_row(target, kind, examples, seed, shape))
            write_json(RESULT, results)
        print(name, results["rows"][name]["scores"], flush=True)


def _row(target: str, kind: str, examples: int, seed: int, shape: str) -> dict[str, Any]:
    started = time.monotonic()
    chosen = recipe(target, kind, examples, seed, shape)
    name = chosen.tasks[0].name
    teacher = teach_tasks(chosen, Progress())[name]
    student = transfer_tasks(chosen, Progress())[name]
    (distilled,) = (
        path
        for path in (chosen.out / "stages").glob("distill-*/distillation.json")
        if (path.parent / "student/model.safetensors").read_bytes()
        == (chosen.out / "student/model.safetensors").read_bytes()
    )
    return {
        "tokens": read_json(distilled)["tokens"],
        "held_out_loss": read_json(distilled)["curve"][-1],
        "scores": {"teacher": teacher, "student": student},
        "seconds": round(time.monotonic() - started),
    }


def _speeds() -> dict[str, Any]:
    first = recipe("tr", "qa", 1_000, 0, "6 layers")
    trimmed = StudentStages(first, Progress()).vocabulary().path / "model"
    whole, tokenizer = teachers.read_config(trimmed), pretrained.tokenizer(trimmed)
    configs = {"12 layers, the teacher's": whole}
    for name in SHAPES:
        found = recipe("tr", "qa", 1_000, 0, name)
        kept = kept_layers(whole.num_hidden_layers, 1, found.student.layers)
        widths = {key: getattr(found.student, key) for key in ("intermediate_size", "hidden_size")}
        configs[name] = StudentShape(kept, **widths).config(whole)
    operations = {
        name: {str(tokens): Shape(config).forward(tokens) for tokens in LENGTHS}
        for name, config in configs.items()
    }
    seconds = {
        engine: {
            str(tokens): dict(zip(configs, own, strict=True))
            for tokens, own in text_seconds([*configs.values()], tokenizer, engine, LENGTHS).items()
        }
        for engine in ("torch", "int8")
    }
    return {"operations": operations, "seconds": seconds}


if __name__ == "__main__":
    main()
