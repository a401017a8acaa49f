"""Trims multilingual-E5-small to four pairs of languages: `python -m benchmarks.trimming`.

From text files to a whole folder, each pair in a process of its own, by the default and by the paper's rule alone.
The numbers go to ``results/trimming.json`` and, as a table, into ``docs/trim-vocabulary.md`` (``--check`` in CI).
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.realdata import ROOT, realdata

TEACHER = "bundled:multilingual-e5-small"
TEXT = {"en": "text/en.txt", "tr": "text/tr.txt", "de": "text/de.txt", "eu": "text/eu.txt", "sw": "nc/text/sw.txt"}
TARGETS = ("tr", "de", "eu", "sw")
RULES: Mapping[str, dict[str, float]] = {"default": {}, "paper": {"min_probability": 1e-6}}
RESULT, PAGE = ROOT / "results/trimming.json", ROOT / "docs/trim-vocabulary.md"
START, END = "<!-- results: python -m benchmarks.trimming -->", "<!-- end of results -->"


def measure(target: str, rule: str) -> dict[str, Any]:
    """One pair by one rule, from the loading of the model to the whole folder."""
    from bistil import save_trimmed, teachers, trim_vocabulary

    data, folder = realdata(), teachers.locate(TEACHER)
    started = time.perf_counter()
    model, tokenizer = teachers.load_as_saved(folder)
    trimmed = trim_vocabulary(
        model, tokenizer, {code: data / TEXT[code] for code in ("en", target)}, **RULES[rule]
    )
    with tempfile.TemporaryDirectory() as temporary:
        report = save_trimmed(trimmed, Path(temporary, "out"), folder)
    del report["coverage_by_size"]
    seconds = time.perf_counter() - started
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**report, "seconds": seconds, "peak_memory_bytes": peak, "environment": _environment()}


def _environment() -> dict[str, Any]:
    versions = {name: version(name) for name in ("bistil", "torch", "transformers", "tokenizers")}
    return {"python": platform.python_version(), **versions, "cores": os.cpu_count()}


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """One row a pair and rule, then one a language of each."""
    return "\n".join([*_sizes(results), "", *_lines(results)])


def _sizes(results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "| languages | rule | tokens | parameters | of these embeddings | disk | time | peak memory |"
    yield "|---|---|---|---|---|---|---|---|"
    first = next(iter(results.values()))["default"]
    yield f"| all (teacher) | | {_size(first, 'before')} | | |"
    for target, rules in results.items():
        for rule, report in rules.items():
            yield (
                f"| en + {target} | {rule} | {_size(report, 'after')} | {report['seconds']:.0f} s "
                f"| {report['peak_memory_bytes'] / 2**30:.2f} GiB |"
            )


def _size(report: Mapping[str, Any], side: str) -> str:
    parameters, embeddings = report[f"parameters_{side}"], report[f"embedding_parameters_{side}"]
    return (
        f"{report[side]:,} | {parameters / 1e6:.1f} M | {100 * embeddings / parameters:.0f} % "
        f"| {report[f'disk_bytes_{side}'] / 1e6:.0f} MB"
    )


def _lines(results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield (
        "| languages | rule | language | new lines | tokens kept | split otherwise | unknown before | after "
        "| tokens per word before | after |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for target, rules in results.items():
        for rule, report in rules.items():
            for language, facts in report["languages"].items():
                yield (
                    f"| en + {target} | {rule} | {language} | {facts['lines']} | {100 * facts['coverage']:.2f} % "
                    f"| {100 * facts['changed_share']:.1f} % | {100 * facts['unknown_before']:.3f} % "
                    f"| {100 * facts['unknown_after']:.3f} % | {facts['tokens_per_word_before']:.3f} "
                    f"| {facts['tokens_per_word_after']:.3f} |"
                )


def write_page(check: bool) -> None:
    """Puts the table between the two marks of the page; with `check` only says whether it is there."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    _, after = rest.split(END)
    fresh = f"{before}{START}\n{table(json.loads(RESULT.read_text(encoding='utf-8'))['pairs'])}\n{END}{after}"
    if check and fresh != text:
        raise SystemExit(f"{PAGE.name} is not what results/ says. Run: python -m benchmarks.trimming --page")
    PAGE.write_text(fresh, encoding="utf-8")


def main() -> None:
    """All pairs, or the page from their numbers (--page, --check)."""
    match sys.argv[1:]:
        case [target, rule]:
            print(json.dumps(measure(target, rule)))
            return
        case ["--page" | "--check" as wanted]:
            write_page(wanted == "--check")
            return
    pairs: dict[str, dict[str, Any]] = {}
    for target in TARGETS:
        for rule in RULES:
            command = [sys.executable, "-m", "benchmarks.trimming", target, rule]
            output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
            pairs.setdefault(target, {})[rule] = json.loads(output.splitlines()[-1])
            print(target, rule, f"{pairs[target][rule]['seconds']:.0f} s", flush=True)
    result = {"command": "python -m benchmarks.trimming", "teacher": TEACHER, "pairs": pairs}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    write_page(check=False)


if __name__ == "__main__":
    main()
