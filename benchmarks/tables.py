"""Writes the README's tables from ``results/*.json``: `python -m benchmarks.tables` (`--check` in CI)."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from benchmarks.realdata import ROOT
from benchmarks.results import load_result

_START, _END = "<!-- results: python -m benchmarks.tables -->", "<!-- end of results -->"
_RESULTS = {
    "quickstart-default": "Definitions, `make quickstart`",
    "quickstart-full": "Definitions, `make quickstart SIZE=full`",
    "pos-en-tr": "Part-of-speech tags, English EWT → Turkish BOUN",
}


def table() -> str:
    """One row a result: Turkish accuracy of teacher, student and the student without general distillation."""
    rows = [
        "| | seeds | tokens distilled | teacher | student | without general distillation |",
        "|---|---|---|---|---|---|",
        *_rows(),
    ]
    return "\n".join([*rows, "", *_costs()])


def _rows() -> Iterator[str]:
    for name, title in _RESULTS.items():
        if not (ROOT / "results" / f"{name}.json").exists():
            continue
        result = load_result(name)
        (task,) = result["tasks"]
        cells = [_mean(task["scores"][role][result["target"]]) for role in ("teacher", "student", "layer_drop")]
        tokens = f"{result['distillation']['tokens']:,}"
        yield f"| {title} | {len(result['seeds'])} | {tokens} | {' | '.join(cells)} |"


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
        f"Accuracy in per cent on Turkish, mean ± standard deviation over seeds; labels are English only. "
        f"Measured on {result['created'][:10]} on {machine['cores']} cores of an {machine['processor']}, torch "
        f"{machine['torch']}; sizes and speeds in turns, A B A B."
    )


def main() -> None:
    """Rewrites the README between the two marks; with --check only says whether it is up to date."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(_START)
    _, after = rest.split(_END)
    fresh = f"{before}{_START}\n{table()}\n{_END}{after}"
    if "--check" in sys.argv[1:]:
        if fresh != text:
            raise SystemExit("README.md is not what results/ says. Run: python -m benchmarks.tables")
        return
    readme.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
