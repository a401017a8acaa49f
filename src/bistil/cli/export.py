"""`bistil export`: a model in ONNX form."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bistil.errors import BistilError


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A task model, OUT/tasks/NAME of a run, a student, or a hub id.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for a copy with the ONNX files, instead of the model's own.")
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(metavar="LANGUAGE=FILE", help="Labelled examples to compare scores on; may be repeated."),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(metavar="LANGUAGE=FILE", help="Plain text to compare on, without labels; may be repeated."),
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Points that no language may lose more than.")] = 0.3,
    quantize: Annotated[bool, typer.Option(help="Also write the model in int8.")] = True,
    web: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write a folder that runs the int8 file in the browser."),
    ] = None,
) -> None:
    """Write a model as ONNX, in float32 and in int8 that keeps its scores.

    It writes onnx/model.onnx, onnx/model_quantized.onnx and export.json. What would lose a language more than the
    tolerance stays in float32. With --web, a model that has been exported is not exported again.

    \b
    bistil export runs/basque/tasks/pos --test eu=eu-test.conllu
    bistil export runs/turkish/tasks/classification --out deploy --text tr=tr.txt --tolerance 0.5
    bistil export runs/turkish/student --text tr=tr.txt --text en=en.txt
    bistil export runs/turkish/tasks/pos --web page
    """
    from bistil.api.export import export as run_export

    exported = run_export(
        model,
        out,
        quantize="int8" if quantize else None,
        test=_by_language(test or [], "--test"),
        text=_by_language(text or [], "--text"),
        tolerance=tolerance,
        web=web,
    )
    print(f"\n{exported!r}")
    if web is not None:
        print(f"\nServe it: python -m http.server -d {shlex.quote(str(web))}")


def _by_language(options: Sequence[str], name: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for option in options:
        language, _, file = option.partition("=")
        if not (language and file):
            raise BistilError(f"{name} takes LANGUAGE=FILE, for example tr=tr.conllu; got {language!r}.")
        if language in pairs:
            raise BistilError(f"{name} gives two files for {language}: {pairs[language]} and {file}. Give one.")
        pairs[language] = file
    return pairs
