"""Writes the tables of README and docs from ``results/``: `python -m benchmarks.tables` (`--check` in CI)."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from statistics import fmean, stdev
from typing import Any

from benchmarks.embeddingtables import embedding_objective, embeddings
from benchmarks.fleettables import fleet, fleet_plan, several_languages
from benchmarks.realdata import ROOT
from benchmarks.results import load_result
from benchmarks.servingtable import serving
from benchmarks.shapestables import inference, questions, shapes
from benchmarks.tasktables import (
    LAYERS,
    averages,
    every_file,
    few_examples,
    learning_curves,
    scoring,
    task_batch,
    task_speed,
    transfer,
    tuning,
)
from bistil.files import read_json
from bistil.progress import duration
from bistil.report import formats

_START, _END = "<!-- results: python -m benchmarks.tables -->", "<!-- end of results -->"
_RESULTS = {
    "quickstart-default": "Definitions, `make quickstart`",
    "quickstart-full": "Definitions, `make quickstart SIZE=full`",
}


def table() -> str:
    """One row a result: Turkish accuracy of teacher, student and the student without general distillation."""
    rows = [
        "| | measured | seeds | tokens distilled | teacher | student | without general distillation |",
        "|---|---|---|---|---|---|---|",
        *_rows(),
    ]
    halves = {
        name: run
        for name, run in read_json(ROOT / "results/transfer.json")["runs"].items()
        if ", every 2, " in name and "(" not in name  # of which the training file was a stand-in
    }
    each = (
        "Each language and task, and students with a third of the layers, are in [docs/tasks.md](docs/tasks.md). "
        "Question answering was trained on 1,000 questions; there many thin layers, which "
        "`student: {budget: 0.5}` chooses, lose about half as much as half of the layers."
    )
    return "\n".join([*rows, "", *averages(dict(sorted(halves.items()))), "", each, "", *_costs()])


def _rows() -> Iterator[str]:
    for name, title in _RESULTS.items():
        if not (ROOT / "results" / f"{name}.json").exists():
            continue
        result = load_result(name)
        (task,) = result["tasks"]
        scores = {role: by_language[result["target"]] for role, by_language in task["scores"].items()}
        yield _row(title, result["created"], result["distillation"]["tokens"], scores)
    tags = read_json(ROOT / "results/transfer.json")["runs"]["en-tr, every 2, pos"]
    title = "POS tagging, English EWT → Turkish BOUN, `python -m benchmarks.transfer`"
    yield _row(title, tags["created"], tags["tokens"], tags["scores"])


def _row(title: str, created: str, tokens: int, scores: Mapping[str, Sequence[float]]) -> str:
    means = [_mean(scores[role]) for role in ("teacher", "student", "layer_drop")]
    return f"| {title} | {created[:10]} | {len(scores['student'])} | {tokens:,} | {' | '.join(means)} |"


def _mean(scores: Sequence[float]) -> str:
    spread = f" ± {stdev(scores):.1f}" if len(scores) > 1 else ""
    return f"{fmean(scores):.1f}{spread}"


def _costs() -> Iterator[str]:
    result = load_result("quickstart-default")
    models: Mapping[str, Any] = {model["role"]: model for model in result["models"]}
    yield "| quickstart | parameters | disk | latency of one text, p50 | texts a second |"
    yield "|---|---|---|---|---|"
    for role, title in (("teacher", "teacher, untrimmed"), ("student", "student")):
        model = models[role]
        yield (
            f"| {title} | {model['parameters'] / 1e6:.1f} M | {model['disk_bytes'] / 1e6:.0f} MB "
            f"| {model['latency_ms']['p50']:.1f} ms | {model['throughput']:.0f} |"
        )
    ratios = result["comparison"]
    yield (
        f"| | {100 / ratios['smaller']:.1f} % | | {ratios['latency_ratio']:.1f} times shorter "
        f"| {ratios['faster']:.1f} times more |"
    )
    machine = result["environment"]
    yield ""
    yield (
        f"Accuracy in per cent on Turkish, mean ± standard deviation over seeds; labels are English only. Older "
        f"rows were measured with the defaults of their date. Measured on {machine['cores']} cores of an "
        f"{machine['processor']}, torch {machine['torch']}; size and speed measured in turns, A B A B."
    )


def distillation() -> str:
    """The effect and speed of general distillation, and the settings that were tried, as far as measured."""
    parts = [_effects(), _steps(), _neighbour(), _settings()]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _effects() -> list[str]:
    if not (path := ROOT / "results/effect.json").exists():
        return []
    rows = [
        "| languages | layers | tokens | held-out loss, source | target | cosine to the teacher, source | target "
        "| German | POS accuracy, target: teacher | student |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, facts in read_json(path)["runs"].items():
        languages, layers, _ = name.split(", ")
        first, last = facts["curve"][0], facts["curve"][-1]
        codes = [code for code in first if code != "tokens"]
        losses = [f"{first[code]:.4f} → {last[code]:.4f}" for code in codes]
        before, after = facts["cosine"]["layer_drop"], facts["cosine"]["student"]
        cosines = [f"{before[code]:.3f} → {after[code]:.3f}" for code in (*codes, "de")]
        tags = [f"{facts['pos'][role][0]:.1f}" if "pos" in facts else "" for role in ("teacher", "student")]
        cells = [languages, layers, f"{int(last['tokens']):,}", *losses, *cosines, *tags]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _steps() -> list[str]:
    if not (path := ROOT / "results/distillation-step.json").exists():
        return []
    steps = read_json(path)["steps"]
    machines: dict[str, list[str]] = {}
    for shape, facts in steps.items():
        own = facts["environment"]
        place = f"on {own['date']} on {own['cores']} cores of an {own['processor']}"
        machines.setdefault(place, []).append(shape)
    places = "; ".join(f"{', '.join(shapes)} {place}" for place, shapes in machines.items())
    rows = [
        "| batch size × sequence length | tokens a second | MFU | reference implementation | |",
        "|---|---|---|---|---|",
    ]
    for shape, facts in steps.items():
        rows.append(
            f"| {shape} | {facts['tokens_per_second']:,.0f} | {100 * facts['share_of_matrix_rate']:.0f} % "
            f"| {facts['reference_tokens_per_second']:,.0f} | {facts['times_the_reference']:.2f} times faster |"
        )
    rows += [
        "",
        f"Measured, A B A B, medians: {places}. "
        "MFU, model FLOPs utilisation, is the share of the machine's own matrix-product rate in the same "
        "precision.",
    ]
    return rows


def _neighbour() -> list[str]:
    if not (path := ROOT / "results/neighbour.json").exists():
        return []
    facts = read_json(path)
    seconds, machine = facts["seconds"], facts["environment"]
    rows = ["| seconds of a step of 8 × 64 tokens | alone | beside a busy thread | |", "|---|---|---|---|"]
    for way, title in (("as it comes", "OpenMP as it comes"), ("bistil's", "as `bistil` starts it")):
        alone, beside = (seconds[f"{way}, {where}"] for where in ("alone", "beside a busy thread"))
        rows.append(f"| {title} | {alone:.2f} | {beside:.2f} | {beside / alone:.1f} times |")
    said = (
        f"{machine['date']}, {machine['cores']} cores of an {machine['processor']}, "
        "`python -m benchmarks.neighbour`."
    )
    return [*rows, "", said]


def _settings() -> list[str]:
    if not (path := ROOT / "results/sample-efficiency.json").exists():
        return []
    rows = [
        "| tokens | setting | POS accuracy, Turkish | task teacher | held-out loss, en | tr |",
        "|---|---|---|---|---|---|",
    ]
    for key, facts in read_json(path)["rows"].items():
        tokens, name = key.split(": ", 1)
        loss, (tags,), (teacher,) = facts["held_out_loss"], facts["pos"]["student"], facts["pos"]["teacher"]
        rows.append(
            f"| {int(tokens):,} | {name} | {tags:.1f} | {teacher:.1f} | {loss['en']:.4f} | {loss['tr']:.4f} |"
        )
    return rows


def baselines(result: Mapping[str, Any]) -> str:
    """Two tables a task and depth, by the text it is distilled on: a row a baseline, a column a language."""
    first = next(iter(result["runs"].values()))
    tasks = dict.fromkeys((facts["task"], facts["layer_reduction"]) for facts in result["runs"].values())
    rows = [
        f"{first['tokens']:,} tokens of text and {first['train_examples']:,} labelled examples for each model; "
        "parameters are those of a table's first column. The lead is the student's over the row's model, mean "
        "over the columns; ± is the standard deviation over seeds."
    ]
    kinds = product(tasks, ((False, "with target text"), (True, "English alone")))
    for (task, every), (alone, title) in kinds:
        columns: dict[str, list[Mapping[str, Any]]] = {}
        for facts in result["runs"].values():
            if (facts["task"], facts["layer_reduction"], facts["english_alone"]) == (task, every, alone):
                head = f"en-{facts['target']}, {task}, {formats.metric(facts['metric'])}"
                columns.setdefault(head, []).append(facts)
        if not columns:  # some are from English alone
            continue
        heads = [f"{head}, {len(seeds)} seed{'s'[: len(seeds) - 1]}" for head, seeds in columns.items()]
        rows += [
            "",
            f"| {title}, {LAYERS[f'every {every}']} of the layers | {' | '.join(heads)} | lead | parameters |",
        ]
        rows.append(f"|---|{'---|' * (len(columns) + 2)}")
        for model in next(iter(columns.values()))[0]["models"]:
            role = model["role"]
            found = [[facts["scores"][role][0] for facts in seeds] for seeds in columns.values()]
            students = [[facts["scores"]["student"][0] for facts in seeds] for seeds in columns.values()]
            lead = fmean(fmean(ours) - fmean(own) for ours, own in zip(students, found, strict=True))
            cells = [*map(_mean, found), "" if role == "student" else formats.signed(lead)]
            rows.append(f"| {model['title']} | {' | '.join(cells)} | {model['parameters'] / 1e6:.1f} M |")
    return "\n".join(rows)


def planning(result: Mapping[str, Any]) -> str:
    """What `bistil plan` estimated, and what the run took."""
    machine = result["environment"]
    rows = ["| the quickstart, seed 0 | planned | took | memory planned | memory |", "|---|---|---|---|---|"]
    for title, facts in result["stages"].items():
        cells = [duration(facts[key]) for key in ("planned_seconds", "seconds")]
        cells += [f"{facts[key] / 1e9:.1f} GB" for key in ("planned_memory_bytes", "memory_bytes")]
        rows.append(f"| {title} | {' | '.join(cells)} |")
    rows += [
        f"| **all** | **{duration(result['planned_seconds'])}** | **{duration(result['seconds'])}** | | |",
        "",
        f"The run took {result['ratio']:.2f} times the planned time; {machine['date']}, {machine['cores']} cores "
        f"of an {machine['processor']}, `python -m benchmarks.planning`.",
    ]
    return "\n".join(rows)


def sparse() -> str:
    """What selecting, storing, applying and training a sparse delta costs."""
    names = ("sparse-selection", "sparse-delta", "sparse-step")
    selection, delta, step = (read_json(ROOT / f"results/{name}.json") for name in names)
    machine = step["environment"]
    rows = [
        f"| {machine['cores']} cores of an {machine['processor']}, {machine['date']}, "
        "`python -m benchmarks.…` | |",
        "|---|---|",
        f"| selecting {100 * selection['density']:.0f} % of {selection['entries'] / 1e6:.0f} million entries "
        f"(XLM-R base), `sparse_selection` | {selection['seconds']:.1f} s, {selection['extra_of_model']:.2f} of "
        "the model's memory on top |",
        f"| file of a delta of multilingual-E5-small at 8 %, `sparse_delta` | {delta['file_bytes'] / 1e6:.0f} MB, "
        f"{100 * delta['file_of_plain']:.0f} % of int64 positions and float32 values |",
        f"| loading and applying it, fingerprint checked | {delta['load_and_apply_ms'] / 1000:.1f} s |",
        f"| switching between two languages at 8 %, {delta['trimmed_entries'] / 1e6:.0f} million entries "
        f"| {delta['switch_ms']:.0f} ms |",
        f"| optimizer state of the sparse phase, `sparse_step` | {step['state_ratio']:.3f} of full training |",
        f"| time of a step of the sparse phase | {step['step_ratio']:.2f} of full training |",
    ]
    return "\n".join(rows)


def _measured(*parts: Callable[[Mapping[str, Any]], str]) -> str:
    """Each part with what the benchmark of its name found, or that it is still to be run."""
    written = []
    for part in parts:
        path = ROOT / f"results/{part.__name__.replace('_', '-')}.json"
        missing = f"Not measured yet: `python -m benchmarks.{part.__name__}`."
        written.append(part(read_json(path)) if path.exists() else missing)
    return "\n\n".join(written)


def main() -> None:
    """Rewrites the pages between the two marks; with --check only says whether they are up to date."""
    pages: Mapping[str, Callable[[], str]] = {
        "README.md": table,
        "docs/general-distillation.md": distillation,
        "docs/sparse-fine-tuning.md": sparse,
        "docs/tasks.md": lambda: _measured(
            transfer,
            shapes,
            questions,
            learning_curves,
            inference,
            task_speed,
            tuning,
            scoring,
            task_batch,
            few_examples,
            every_file,
        ),
        "docs/baselines.md": lambda: _measured(baselines),
        "docs/plan.md": lambda: _measured(planning, fleet_plan),
        "docs/fleet.md": lambda: _measured(fleet, several_languages),
        "docs/serve.md": lambda: _measured(serving),
        "docs/embeddings.md": lambda: _measured(embeddings, embedding_objective),
    }
    for name, written in pages.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        before, rest = text.split(_START)
        _, after = rest.split(_END, 1)
        fresh = f"{before}{_START}\n{written()}\n{_END}{after}"
        if "--check" not in sys.argv[1:]:
            (ROOT / name).write_text(fresh, encoding="utf-8")
        elif fresh != text:
            raise SystemExit(f"{name} is not what results/ says. Run: python -m benchmarks.tables")


if __name__ == "__main__":
    main()
