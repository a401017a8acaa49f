"""The tables of many languages: what a fleet took, and one student of five languages against four."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from bistil.progress import duration
from bistil.report.languages import language_name


def fleet(result: Mapping[str, Any]) -> str:
    """The same matrix by Ray and by processes."""
    rows = result["rows"]
    machine = next(iter(rows.values()))["environment"]
    said = [
        "Four languages, two students of multilingual-E5-small and two tasks each, two workers of one thread, "
        "20,000 tokens of general distillation, 100 examples a task; "
        f"{machine['cores']} cores of an {machine['processor']}, `python -m benchmarks.fleet`:",
        "",
        "| | stages | built | time of all stages | wall-clock time | over half of the stages' time | planned |",
        "|---|---|---|---|---|---|---|",
    ]
    weights: dict[str, set[str]] = {"ray": set(), "processes": set()}
    for name, own in rows.items():
        executor, when = name.split(", ")
        weights[executor].add(own["weights"])
        cells = [own["stages"], own["built"], duration(own["stage_seconds"]), duration(own["seconds"])]
        cells += [f"{100 * own['overhead']:.0f} %", duration(own["planned_seconds"])]
        title = "`--ray`" if executor == "ray" else executor
        said.append(f"| {title}, {when.replace('T', ' ')} | {' | '.join(map(str, cells))} |")
    same = "the same to the bit" if weights["ray"] & weights["processes"] else "not the same"
    said += [
        "",
        f"The weights by Ray and by processes on one machine are {same}. In the first two rows other programs "
        "used the cores, too.",
    ]
    return "\n".join(said)


def fleet_plan(result: Mapping[str, Any]) -> str:
    """What fifty languages would take on some cards."""
    machine = result["environment"]
    rows = [
        f"{result['languages']} languages, two students of XLM-R base (half and a third of the layers), four "
        f"tasks, {result['tokens'] / 1e6:.0f} million tokens of general distillation each; {machine['date']}, "
        "`python -m benchmarks.fleet_plan`, in which the text and files of three languages stand for all:",
        "",
        "| | stages | hours on one card | without sharing | memory of a stage | storage |",
        "|---|---|---|---|---|---|",
    ]
    plans = [(card, "", plan) for card, plan in result["cards"].items()]
    plans += [(card, ", `share_teachers: true`", plan) for card, plan in result["shared"].items()]
    for card, how, plan in plans:
        hours, saved = (plan[key] / 3600 for key in ("gpu_seconds", "gpu_saved"))
        cells = [f"{plan['stages']:,}", f"{hours:.0f}", f"{hours + saved:.0f}"]
        cells += [f"{plan['memory'] / 1e9:.1f} GB", f"{plan['disk'] / 1e9:,.0f} GB"]
        rows.append(f"| {card}{how} | {' | '.join(cells)} |")
    return "\n".join(rows)


def several_languages(result: Mapping[str, Any]) -> str:
    """One student of five languages against four bilingual ones."""
    rows = result["rows"]
    (many,), pairs = ([row for row in rows if (len(row["targets"]) > 1) == several] for several in (True, False))
    machine = many["environment"]
    tokens = sum(row["tokens"] for row in pairs)
    return "\n".join(
        [
            f"One student of English and four languages, distilled on {many['tokens']:,} tokens, against "
            f"{len(pairs)} bilingual students on {tokens // len(pairs):,} tokens each: half of the layers of "
            "multilingual-E5-small, 300 examples a task, one seed, zero-shot scores. "
            f"{machine['date']}, `python -m benchmarks.several_languages`:",
            "",
            "| | language | teacher, bilingual | student, bilingual | teacher of five | student of five |",
            "|---|---|---|---|---|---|",
            *_scores(many, pairs),
            "",
            "With so few examples teachers themselves differ by several points: compare a student with its own.",
            "",
            "| | students | vocabulary | size together | time together, planned |",
            "|---|---|---|---|---|",
            _size("bilingual students", pairs),
            _size("one of five languages", [many]),
        ]
    )


def _scores(many: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for task, title in (("pos", "POS tagging, accuracy"), ("topic", "topics, accuracy")):
        found = []
        for row in pairs:
            (code,) = row["targets"]
            if task in row["scores"]:
                own = [row["scores"][task][who][code][0] for who in ("teacher", "student")]
                own += [many["scores"][task][who][code][0] for who in ("teacher", "student")]
                found.append(own)
                yield f"| {title} | {language_name(code)} | {' | '.join(f'{score:.1f}' for score in own)} |"
        means = [fmean(column) for column in zip(*found, strict=True)]
        yield f"| {title} | **mean** | {' | '.join(f'**{mean:.1f}**' for mean in means)} |"


def _size(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    tokens = fmean(row["vocabulary"] for row in rows)
    size = sum(row["disk_bytes"] for row in rows)
    time = duration(sum(row["planned_seconds"] for row in rows))
    return f"| {title} | {len(rows)} | {tokens:,.0f} tokens | {size / 1e6:.0f} MB | {time} |"
