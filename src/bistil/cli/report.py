"""`bistil report`: the page written again from its numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bistil.corpora.strict import parse_json
from bistil.errors import BistilError


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="The `out` folder of a run, or its report.json.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for the page that compares several runs.")] = None,
) -> None:
    """Write the report of a run again, or compare several runs side by side.

    For one run, report.html, report.md and the model cards are written again from report.json. For several,
    --out gets comparison.html, .md and .json. A report.json that was copied elsewhere is named after its file.

    \b
    bistil report runs/quickstart-tr-default
    bistil report runs/tr-100k runs/tr-1m runs/tr-small --out runs/compared
    """
    if len(runs) == 1 and out is not None:
        raise BistilError("--out is for several runs side by side. Give more of them, or leave it out.")
    if len(runs) > 1 and out is None:
        raise BistilError(f"{len(runs)} runs are compared in a page of their own. Add --out FOLDER.")
    reports = {path: _read(path) for path in map(_file, runs)}
    if len(reports) < len(runs):
        raise BistilError("A run is named twice. Name each once.")
    from bistil.exporting.card import write_cards
    from bistil.report import write_comparison, write_pages

    if out is None:
        ((path, numbers),) = reports.items()
        print(write_pages(numbers, path.parent))
        if path.name == "report.json":  # a copy elsewhere lies beside other models, if any
            for place in write_cards(numbers, path.parent):
                print(f"The card in {path.parent / place} stays: that model is not the one of {path}.")
    else:
        labels = _labels(list(reports))
        print(write_comparison(dict(zip(labels, reports.values(), strict=True)), out))


def _file(run: Path) -> Path:
    return run if run.suffix == ".json" else run / "report.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        numbers = parse_json(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise BistilError(f"Cannot read {path}: {error.strerror}. Give the `out` folder of a run.") from error
    except (UnicodeDecodeError, BistilError) as error:
        raise BistilError(f"{error} Run the recipe again to write it anew.") from error
    if not isinstance(numbers, dict) or "target" not in numbers:
        raise BistilError(f"{path} is not the report of a run. Give the `out` folder of a run.")
    return numbers


def _labels(paths: Sequence[Path]) -> list[str]:
    """The runs' folder names (or files' names), or whole paths where those are alike."""
    names = [path.parent if path.name == "report.json" else path.with_suffix("") for path in paths]
    short = [name.name or str(name) for name in names]
    return short if len(set(short)) == len(short) else [str(name) for name in names]
