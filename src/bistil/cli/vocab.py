"""`bistil vocab`: a model trimmed to the tokens that its languages need."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bistil.errors import BistilError

WHY = {
    "frequency": "frequent",
    "likely": "likely (not in the text, but similar; --min-probability 1e-6 alone leaves them out)",
    "listed": "listed",
    "special": "special",
    "closure": "needed so that no text becomes unknown",
    "multiple": "added to round up",
}


def vocab(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder, hub id, or a bundled: model.")],
    text: Annotated[
        list[str],
        typer.Option(metavar="LANG=TEXT", help="Text of a language: file, glob or folder; may be repeated."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the smaller model; one that bistil wrote is replaced.")],
    min_probability: Annotated[
        float | None, typer.Option(help="Keep tokens that are this share of a language's tokens [1e-6].")
    ] = None,
    min_count: Annotated[
        int | None, typer.Option(help="Keep tokens that occur at least this often in a language.")
    ] = None,
    coverage: Annotated[
        float | None, typer.Option(help="Keep the tokens that make up this share of every language's text.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Keep exactly this many tokens, the most frequent ones.")
    ] = None,
    max_changed: Annotated[
        float | None,
        typer.Option(
            help="Also keep likely tokens, until at most this share of new lines is split differently [0.01]."
        ),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Tokens or words to keep in any case, one per line.")
    ] = None,
    vocab_size_multiple: Annotated[
        int, typer.Option(min=1, help="Round the vocabulary size up to a multiple, such as 64 for tensor cores.")
    ] = 1,
) -> None:
    """Make a model smaller by keeping only the tokens that your languages need.

    Nothing is trained: text whose tokens are all kept gives the same hidden states as before.

    Text is .txt, .jsonl or .parquet (column text, or another: corpus.jsonl:body), also .gz or .zst.
    Only one of the first four rules can be given. The values in brackets are the defaults.

    \b
    bistil vocab bundled:multilingual-e5-small --text en=en.txt --text tr="tr/*.txt.gz" --out e5-en-tr
    bistil vocab FacebookAI/xlm-roberta-base --text de=wiki.jsonl:body --top-k 32000 --out xlmr-de
    """
    corpora = _corpora(text)
    from bistil.api.trim import trim
    from bistil.corpora.text import files, lines

    trimmed = trim(
        model,
        text=corpora,
        output_dir=out,
        min_probability=min_probability,
        min_count=min_count,
        coverage=coverage,
        top_k=top_k,
        max_changed=max_changed,
        keep=list(lines(files(str(keep)))) if keep else [],
        vocab_size_multiple=vocab_size_multiple,
    )
    _show(trimmed.report)
    print(f"\nmodel   {out}")
    print(f"report  {out / 'vocabulary.json'}, {out / 'kept_tokens.tsv'}, {out / 'vocabulary_size.svg'}")


def _corpora(options: Sequence[str]) -> dict[str, list[str | Path]]:
    from bistil.corpora.urls import is_url

    corpora: dict[str, list[str | Path]] = {}
    for option in options:
        language, equals, path = option.partition("=")
        if not (language and equals and path):
            raise BistilError(f"--text takes LANG=TEXT, for example tr=corpora/tr.txt; got {option!r}.")
        corpora.setdefault(language, []).append(path if is_url(path) else Path(path))
    return corpora


def _show(report: Mapping[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from bistil.report import formats

    console = Console(highlight=False)
    box = SIMPLE_HEAD if console.is_terminal else None

    def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        drawn = Table(box=box, show_edge=False, pad_edge=False)
        for number, column in enumerate(columns):
            drawn.add_column(column, justify="right" if number else "left")
        for row in rows:
            drawn.add_row(*row)
        console.print()
        console.print(drawn)

    sides = ("before", "after")
    table(
        ("", *sides),
        [
            ("tokens", *(formats.count(report[side]) for side in sides)),
            ("parameters", *(formats.millions(report[f"parameters_{side}"]) for side in sides)),
            (
                "of these embeddings",
                *(
                    formats.share(report[f"embedding_parameters_{side}"] / report[f"parameters_{side}"], 0)
                    for side in sides
                ),
            ),
            ("disk", *(formats.size(report[f"disk_bytes_{side}"]) for side in sides)),
        ],
    )
    console.print(
        "\nkept: "
        + ", ".join(
            f"{formats.count(report['reasons'][reason])} {why}"
            for reason, why in WHY.items()
            if reason in report["reasons"]
        )
    )
    table(
        ("new lines", "tokens kept", "split differently", "unknown", "tokens per word"),
        [
            (
                language,
                formats.share(facts["coverage"]),
                formats.share(facts["changed_share"]),
                f"{formats.share(facts['unknown_before'], 3)} → {formats.share(facts['unknown_after'], 3)}",
                f"{facts['tokens_per_word_before']:.3f} → {facts['tokens_per_word_after']:.3f}",
            )
            if facts["tokens_per_word_before"] is not None
            else (language, "none held out")
            for language, facts in report["languages"].items()
        ],
    )
