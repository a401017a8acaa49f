"""Part-of-speech tags by sparse and by full fine-tuning: `python -m benchmarks.sparse_pos`, resumable.

Multilingual-E5-small, trimmed to the eight languages of the table, learns from English EWT: lottery tickets at
1, 4, 8 and 16 % and full fine-tuning with as many steps as both phases of a ticket take, two seeds each. Tested on
English and, without a label in them, on seven other languages. The vocabulary is counted on plain text, that of
the test files where a language has no other text here.

The scores go to ``results/sparse-pos.json``, the table and the plot to ``docs/sparse-fine-tuning.md`` (``--page``
writes these again, ``--check`` in CI). A number as argument is how many training sentences are used.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.realdata import ROOT, realdata

TEACHER = "bundled:multilingual-e5-small"
TESTS = {
    "en": "ud/en_ewt-test.conllu",
    "tr": "ud/tr_boun-test.conllu",
    "de": "ud/de_gsd-test.conllu",
    "id": "ud/id_gsd-test.conllu",
    "vi": "ud/vi_vtb-test.conllu",
    "ga": "ud/ga_idt-test.conllu",
    "wo": "ud/wo_wtb-test.conllu",
    "eu": "nc/ud/eu_bdt-test.conllu",
}
TEXT = {code: f"text/{code}.txt" for code in ("en", "tr", "de", "eu", "wo")}
DENSITIES = (0.01, 0.04, 0.08, 0.16, None)  # None: full fine-tuning
SEEDS = (0, 1)
EPOCHS, BATCH, TICKET_RATE, FULL_RATE = (1, 2), 32, 3e-4, 1e-4
RESULT, PAGE, PLOT = ROOT / "results/sparse-pos.json", ROOT / "docs/sparse-fine-tuning.md", "sparse-pos.svg"
START, END = "<!-- results: python -m benchmarks.sparse_pos -->", "<!-- end of results -->"


def measure(examples: int | None) -> dict[str, Any]:
    """All fine-tunings, each a stage that is not run twice; scores in per cent by name, language and seed."""
    from bistil.evaluation.scores import evaluate
    from bistil.files import fingerprint_file, read_json, write_json
    from bistil.models import teachers
    from bistil.pipeline.stages import Stages
    from bistil.progress import Progress, Stage
    from bistil.tasks import PartOfSpeech
    from bistil.training.batches import OrderedFeatures
    from bistil.training.ticket import Length
    from bistil.training.trainer import ResumableTrainer, arguments
    from bistil.training.transfer import TaskTraining, tune_teacher
    from bistil.vocabulary import trim_vocabulary

    data = realdata()
    stages = Stages(ROOT / "runs/sparse-pos", Progress())
    train_file = data / "ud/en_ewt-train.conllu"
    whole = PartOfSpeech.read(train_file)
    train, task = whole[:examples], PartOfSpeech.from_examples(whole)
    tests = {code: PartOfSpeech.read(data / path) for code, path in TESTS.items()}
    tests["validation"] = PartOfSpeech.read(data / "ud/en_ewt-dev.conllu")
    for labelled in tests.values():
        task.check(labelled)

    def trim(folder: Path, stage: Stage) -> None:
        model, tokenizer = teachers.load(teachers.locate(TEACHER))
        corpora = {
            code: str(data / TEXT[code]) if code in TEXT else (example.text for example in tests[code])
            for code in TESTS
        }
        trimmed = trim_vocabulary(model, tokenizer, corpora, min_probability=1e-6)
        trimmed.model.save_pretrained(folder / "model")
        trimmed.tokenizer.save_pretrained(folder / "model")

    base = stages.make("vocabulary", "Trimming the vocabulary", {"teacher": TEACHER}, trim)

    def tune(density: float | None, seed: int) -> dict[str, float]:
        def build(folder: Path, stage: Stage) -> None:
            model, tokenizer = task.new_model(base.path / "model", seed), teachers.load(base.path / "model")[1]
            features = task.features(train, tokenizer, 128)
            lengths = (Length(EPOCHS[0]), Length(EPOCHS[1]))
            training = TaskTraining(lengths, BATCH, TICKET_RATE, density or 1.0, seed)
            stage.total = training.steps(len(features))
            where = folder / "training"
            if density is not None:
                delta = tune_teacher(model, features, task.collator(tokenizer), training, where, stage.reach)
                delta.save(folder)
            else:
                ResumableTrainer(
                    model=model,
                    args=arguments(where, batch=BATCH, learning_rate=FULL_RATE, seed=seed),
                    train_dataset=OrderedFeatures(features, BATCH, stage.total, seed),
                    data_collator=task.collator(tokenizer),
                    on_step=lambda step, loss: stage.reach(step, "" if loss is None else f"loss {loss:.3f}"),
                ).run()
            found = evaluate(model, tokenizer, task, tests)
            write_json(folder / "scores.json", {code: one["scores"]["accuracy"] for code, one in found.items()})
            shutil.rmtree(where)

        inputs = {
            "base": base,
            "train": fingerprint_file(train_file),
            "examples": examples,
            "density": density,
            "seed": seed,
            "settings": [EPOCHS, BATCH, TICKET_RATE, FULL_RATE],
        }
        folder = stages.make(
            "task-teacher", f"Tuning at {_name(density)}, seed {seed}", inputs, build, unit="steps"
        )
        scores: dict[str, float] = read_json(folder.path / "scores.json")
        return scores

    scores = {_name(density): [tune(density, seed) for seed in SEEDS] for density in DENSITIES}
    return {
        "command": " ".join(["python -m benchmarks.sparse_pos", *sys.argv[1:]]),
        "teacher": TEACHER,
        "train_examples": len(train),
        "seeds": SEEDS,
        "epochs": EPOCHS,
        "batch": BATCH,
        "learning_rates": {"ticket": TICKET_RATE, "full": FULL_RATE},
        "scores": scores,
    }


def _name(density: float | None) -> str:
    return "full" if density is None else f"{density:.0%}"


def table(result: Mapping[str, Any]) -> str:
    """One row a density: accuracy in per cent on each language, mean ± standard deviation over the seeds."""
    return "\n".join(_rows(result))


def _rows(result: Mapping[str, Any]) -> Iterator[str]:
    columns = ("validation", *TESTS)
    targets = [code for code in TESTS if code != "en"]
    titles = ["en, dev" if code == "validation" else code for code in columns]
    yield f"| may change | {' | '.join(titles)} | mean zero-shot |"
    yield "|---" * (len(columns) + 2) + "|"
    for name, runs in result["scores"].items():
        cells = [_mean([run[code] for run in runs]) for code in columns]
        zero_shot = _mean([fmean(run[code] for code in targets) for run in runs])
        title = "everything" if name == "full" else name
        yield f"| {title} | {' | '.join(cells)} | {zero_shot} |"
    yield ""
    yield f"![Accuracy by density]({PLOT})"


def _mean(scores: list[float]) -> str:
    return f"{fmean(scores):.1f} ± {stdev(scores):.1f}" if len(scores) > 1 else f"{scores[0]:.1f}"


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Accuracy of each language over density, full fine-tuning at the right end."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "bistil"  # the same bytes from the same numbers
    names = list(result["scores"])
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for code in TESTS:
        means = [fmean(run[code] for run in result["scores"][name]) for name in names]
        (line,) = axes.plot(range(len(names)), means, marker="o", label=code)
        axes.annotate(
            code, (len(names) - 1, means[-1]), xytext=(6, -3), textcoords="offset points", color=line.get_color()
        )
    axes.set_xticks(range(len(names)), ["everything" if name == "full" else name for name in names])
    axes.set_xlabel("share of the encoder that may change")
    axes.set_ylabel("accuracy in per cent")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def write_page(check: bool) -> None:
    """Puts the table between the two marks of the page; with `check` only says whether it is there."""
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    _, after = rest.split(END)
    fresh = f"{before}{START}\n{table(result)}\n{END}{after}"
    if check:
        if fresh != text:
            raise SystemExit(f"{PAGE.name} is not what results/ says. Run: python -m benchmarks.sparse_pos --page")
        return
    PAGE.write_text(fresh, encoding="utf-8")
    plot(result, PAGE.parent / PLOT)


def main() -> None:
    """All fine-tunings, or the page from their numbers (--page, --check)."""
    match sys.argv[1:]:
        case ["--page" | "--check" as wanted]:
            write_page(wanted == "--check")
            return
        case [examples]:
            result = measure(int(examples))
        case _:
            result = measure(None)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    write_page(check=False)
    print(table(result))


if __name__ == "__main__":
    main()
