"""Trims multilingual-E5-small to pairs of languages, and to four: `python -m benchmarks.trimming`.

From text files to a whole folder, each in a process of its own, by the default and by the paper's rule alone.
Every twentieth line of a language, at most 2,000, is left out of its file: these new lines verify the outcome.
The numbers go to ``results/trimming.json`` and, as a table, into ``docs/trim-vocabulary.md`` (``--check`` in CI).
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.realdata import ROOT, realdata
from benchmarks.results import machine

TEACHER = "bundled:multilingual-e5-small"
TEXT = {"en": "text/en.txt", "tr": "text/tr.txt", "de": "text/de.txt", "eu": "text/eu.txt", "sw": "nc/text/sw.txt"}
LANGUAGES = ("en+tr", "en+de", "en+eu", "en+sw", "en+tr+de+eu")
RULES: Mapping[str, dict[str, float]] = {"default": {}, "paper": {"min_probability": 1e-6}}
NEW_EVERY, NEW_LINES = 20, 2000
RESULT, PAGE = ROOT / "results/trimming.json", ROOT / "docs/trim-vocabulary.md"
COUNTING = ROOT / "results/counting.json"
START, END = "<!-- results: python -m benchmarks.trimming -->", "<!-- end of results -->"


def measure(languages: str, rule: str) -> dict[str, Any]:
    """One trimming, from the loading of the model to the whole folder, and what it does to the new lines."""
    from bistil.models import teachers
    from bistil.pipeline.trimmed import save_trimmed
    from bistil.vocabulary import trim_vocabulary
    from bistil.vocabulary.verify import verify

    source = teachers.locate(TEACHER)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        new_lines = {code: _split(code, folder) for code in languages.split("+")}
        rules: dict[str, Any] = dict(RULES[rule])
        started = time.perf_counter()
        model, tokenizer = teachers.load_as_saved(source)
        trimmed = trim_vocabulary(model, tokenizer, {code: folder / code for code in new_lines}, **rules)
        report = save_trimmed(trimmed, folder / "out", source)
        seconds = time.perf_counter() - started
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ids = trimmed.selection.ids
    verified = verify(model, tokenizer, trimmed.model, trimmed.tokenizer, ids, new_lines)
    del report["coverage_by_size"], report["languages"]
    return {
        **report,
        "new_lines": {code: asdict(measured) for code, measured in verified.languages.items()},
        "seconds": seconds,
        "peak_memory_bytes": peak,
    }


def _split(code: str, folder: Path) -> list[str]:
    """The new lines of a language; the others are written to a file."""
    lines = (realdata() / TEXT[code]).read_text(encoding="utf-8").splitlines()
    new = lines[::NEW_EVERY][:NEW_LINES]
    kept = [line for number, line in enumerate(lines) if number % NEW_EVERY or number >= NEW_EVERY * NEW_LINES]
    (folder / code).write_text("\n".join(kept), encoding="utf-8")
    return new


def table() -> str:
    """One row a trimming, then one a language of each, then where and when that was."""
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    counting = json.loads(COUNTING.read_text(encoding="utf-8"))
    return "\n".join([*_sizes(result["trimmed"]), "", *_lines(result["trimmed"]), "", _remarks(result, counting)])


def _sizes(trimmed: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "| languages | rule | tokens | parameters | of these embeddings | disk | time | peak memory |"
    yield "|---|---|---|---|---|---|---|---|"
    yield f"| all (teacher) | | {_size(trimmed[LANGUAGES[0]]['default'], 'before')} | | |"
    for languages, rules in trimmed.items():
        for rule, report in rules.items():
            yield (
                f"| {languages} | {rule} | {_size(report, 'after')} | {report['seconds']:.0f} s "
                f"| {report['peak_memory_bytes'] / 2**30:.2f} GiB |"
            )


def _size(report: Mapping[str, Any], side: str) -> str:
    parameters, embeddings = report[f"parameters_{side}"], report[f"embedding_parameters_{side}"]
    return (
        f"{report[side]:,} | {parameters / 1e6:.1f} M | {100 * embeddings / parameters:.0f} % "
        f"| {report[f'disk_bytes_{side}'] / 1e6:.0f} MB"
    )


def _lines(trimmed: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield (
        "| languages | rule | language | new lines | tokens kept | split differently | unknown before | after "
        "| tokens per word before | after |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for languages, rules in trimmed.items():
        for rule, report in rules.items():
            for language, facts in report["new_lines"].items():
                yield (
                    f"| {languages} | {rule} | {language} | {facts['lines']:,} | {100 * facts['coverage']:.2f} % "
                    f"| {100 * facts['changed_share']:.1f} % | {100 * facts['unknown_before']:.3f} % "
                    f"| {100 * facts['unknown_after']:.3f} % | {facts['tokens_per_word_before']:.3f} "
                    f"| {facts['tokens_per_word_after']:.3f} |"
                )


def _remarks(result: Mapping[str, Any], counting: Mapping[str, Any]) -> str:
    rates = counting["tokens_per_second"]
    where, share = result["environment"], 100 * counting["share_of_encode_batch_fast"]
    trimbed = f", trimbed {rates['trimbed']:,.0f}" if "trimbed" in rates else ""
    return (
        f"Measured on {where['date']} on {where['cores']} cores of an {where['processor']}. There "
        f"{rates['bistil']:,.0f} tokens a second are counted, {share:.0f} % of what the tokenizers library's "
        "`encode_batch_fast` alone reads; a plain Python loop counts "
        f"{rates['python loop']:,.0f}{trimbed} (`python -m benchmarks.counting`)."
    )


def write_page() -> None:
    """Puts the table between the two marks of the page."""
    PAGE.write_text(_page(), encoding="utf-8")


def _page() -> str:
    before, rest = PAGE.read_text(encoding="utf-8").split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{table()}\n{END}{after}"


def main() -> None:
    """All trimmings, or the page from their numbers (--page, --check)."""
    match sys.argv[1:]:
        case [languages, rule]:
            print(json.dumps(measure(languages, rule)))
        case ["--page"]:
            write_page()
        case ["--check"]:
            if _page() != PAGE.read_text(encoding="utf-8"):
                raise SystemExit(
                    f"{PAGE.name} is not what results/ says. Run: python -m benchmarks.trimming --page"
                )
        case _:
            measure_all()
            write_page()


def measure_all() -> None:
    """Each trimming in a process of its own, so that its memory is its own."""
    trimmed: dict[str, dict[str, Any]] = {}
    for languages in LANGUAGES:
        for rule in RULES:
            command = [sys.executable, "-m", "benchmarks.trimming", languages, rule]
            output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
            report = json.loads(output.splitlines()[-1])
            trimmed.setdefault(languages, {})[rule] = report
            print(languages, rule, f"{report['seconds']:.0f} s", flush=True)
    result = {
        "command": "python -m benchmarks.trimming",
        "teacher": TEACHER,
        "trimmed": trimmed,
        "environment": machine("bistil", "torch", "transformers", "tokenizers"),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
