"""`bistil report`: the page again, from its numbers."""

import json
from pathlib import Path
from typing import Annotated

import typer

from bistil.errors import BistilError


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The `out` folder of a run.")],
) -> None:
    """Write the report again from its numbers.

    RUN_DIR/report.json gives report.html and report.md.

    \b
    bistil report runs/quickstart-tr-default
    """
    path = run / "report.json"
    try:
        numbers = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BistilError(f"Cannot read {path}: {error.strerror}. Give the `out` folder of a run.") from error
    except ValueError as error:
        raise BistilError(f"{path} is not JSON ({error}). Run the recipe again to write it anew.") from error
    from bistil.report import write_report

    print(write_report(numbers, run))
