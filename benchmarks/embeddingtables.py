"""The tables of sentence embeddings: what each model keeps of the teacher's scores, its size and its speed."""

from collections.abc import Iterator, Mapping
from typing import Any

from bistil.report import formats

# Of a pair of English and {0}; {1} is the language outside.
_COLUMNS = (
    ("NTREX en → {0}", "NTREX en-{0}", "src2trg_accuracy"),
    ("{0} → en", "NTREX en-{0}", "trg2src_accuracy"),
    ("Tatoeba", "Tatoeba en-{0}", "mean_accuracy"),
    ("STSb en", "STSb en", "spearman"),
    ("STSb {0}", "STSb {0}", "spearman"),
    ("XQuAD-R", "XQuAD-R en+{0}", "ndcg@10"),
    ("SIB-200 {0}", "SIB-200 {0}", "accuracy"),
    ("NTREX en-{1}", "NTREX en-{1}", "mean_accuracy"),
)


def embeddings(result: Mapping[str, Any]) -> str:
    """A table a pair: a row a model, a column a test, and the difference to the teacher on the first."""
    pairs: dict[str, dict[str, Any]] = {}
    for name, facts in result["rows"].items():
        pair, _, model = name.partition(": ")
        pairs.setdefault(pair, {})[model] = facts
    tables = ["\n".join(_table(pair, rows, result["speed"].get(pair))) for pair, rows in pairs.items()]
    machine = next(iter(result["speed"].values()))["environment"]
    said = (
        f"{machine['date']}, {machine['cores']} cores of an {machine['processor']}. Translations: accuracy at 1, "
        "for Tatoeba and the language outside the pair the mean of both directions. STSb: Spearman's ρ. XQuAD-R: "
        "nDCG@10 of questions in both languages among sentences of both. SIB-200: accuracy of the five nearest "
        "English texts. The last column is the difference to the teacher on NTREX, both directions, with its 95 % "
        "interval."
    )
    return "\n\n".join([*tables, said])


def embedding_objective(result: Mapping[str, Any]) -> str:
    """A row a way to learn, of one number of tokens."""
    rows = ["| half of the layers, en-tr, seed 0 | translations found | STSb tr |", "|---|---|---|"]
    for name, facts in result["rows"].items():
        alike = f"{facts['similarity']:.1f}" if "similarity" in facts else ""
        rows.append(f"| {name} | {facts['translations']:.1f} | {alike} |")
    command = "`python -m benchmarks.embedding_objective`"
    said = (
        "Accuracy at 1 among 500 lines of NTREX, mean of both directions, and Spearman's ρ, "
        f"{command}; two points may be chance."
    )
    return "\n".join([*rows, "", said])


def _table(pair: str, rows: Mapping[str, Any], speed: Mapping[str, Any] | None) -> Iterator[str]:
    target = pair.removeprefix("en-")
    first = next(iter(rows.values()))
    outside = next(
        name.removeprefix("NTREX en-")
        for name in first["scores"]
        if name.startswith("NTREX") and target not in name
    )
    columns = [tuple(part.format(target, outside) for part in column) for column in _COLUMNS]
    columns = [column for column in columns if column[1] in first["scores"]]
    heads = ["size", *(["sentences/s", "times"] if speed else []), *(title for title, *_ in columns), "− teacher"]
    yield f"| {pair} | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    if "teacher" not in rows:  # it is what the others are compared with
        theirs = [facts["score"] - facts["difference"] for facts in (first["scores"][t][m] for _, t, m in columns)]
        blank = [""] * (len(heads) - len(columns) - 1)
        yield f"| teacher | {' | '.join([*blank, *(f'{score:.1f}' for score in theirs), ''])} |"
    for model, facts in rows.items():
        cells = [formats.size(facts["bytes"])]
        if speed:
            own = speed["models"].get(_undistilled(model))
            cells += [f"{own['sentences_per_second']:.0f}", f"{own['times_faster']:.1f}"] if own else ["", ""]
        cells += [f"{facts['scores'][test][metric]['score']:.1f}" for _, test, metric in columns]
        beside = facts["scores"][f"NTREX en-{target}"]["mean_accuracy"]
        low, high = (formats.signed(beside[f"difference_{end}"]) for end in ("low", "high"))
        cells.append("" if model == "teacher" else f"{formats.signed(beside['difference'])} ({low} to {high})")
        yield f"| {model} | {' | '.join(cells)} |"
    if cut := {model: facts["dimensions"] for model, facts in rows.items() if "dimensions" in facts}:
        yield ""
        yield f"| {pair}, NTREX by the first dimensions alone | {' | '.join(next(iter(cut.values())))} |"
        yield "|---" * (1 + len(next(iter(cut.values())))) + "|"
        for model, scores in cut.items():
            yield f"| {model} | {' | '.join(f'{score:.1f}' for score in scores.values())} |"


def _undistilled(model: str) -> str:
    """The name by which the speed of a model is found: that of a shape is the same after any number of tokens."""
    parts = [part for part in model.split(", ") if not part.endswith(" tokens")]
    return ", ".join(parts)
