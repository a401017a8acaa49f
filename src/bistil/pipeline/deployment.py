"""The ONNX files of a run's task models, and what a report and a published folder have of them."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bistil.errors import BistilError
from bistil.evaluation.efficiency import Candidate
from bistil.exporting.conversion import Exportable, to_int8, to_onnx
from bistil.exporting.folder import publish_export
from bistil.files import read_json, write_json
from bistil.pipeline.stages import StageFolder
from bistil.progress import Stage
from bistil.recipe.parts import Export
from bistil.runtime.tokenizer import FILE as TOKENIZER
from bistil.tasks import saved


@dataclass(frozen=True)
class Deployed:
    """The folder of a task model, and the stage that has its ONNX files."""

    weights: Path
    export: StageFolder

    @property
    def folder(self) -> Path:
        """ONNX files and what they need beside them; there is none where the model has no ONNX form."""
        return self.export.path / "model"

    @property
    def engines(self) -> tuple[str, ...]:
        """Those that it has a file for: of "int8" and "onnx", in this order."""
        return saved.engines(self.folder)

    @property
    def report(self) -> dict[str, Any]:
        """What ``export.json`` says; ``problem`` is why a file is missing."""
        found: dict[str, Any] = read_json(self.export.path / "export.json")
        return found

    @property
    def scores(self) -> dict[str, Any]:
        """What `evaluate` found in int8 for each language, and for ``validation``."""
        found: dict[str, Any] = read_json(self.export.path / "evaluation.json")
        return found

    def publish(self, place: Path) -> None:
        """Put the files into the published folder of the model."""
        report = self.report
        tokenizer = (self.folder / TOKENIZER).read_text(encoding="utf-8") if report["bytes"] else None
        publish_export(place, place, {name: self.folder / name for name in report["bytes"]}, report, tokenizer)


def write(
    weights: Path,
    folder: Path,
    settings: Export,
    tests: Mapping[str, Sequence[Any]],
    texts: Mapping[str, Sequence[Any]],
    stage: Stage,
) -> None:
    """Write the ONNX files of a model into ``folder/model``, and ``export.json``.

    That one cannot be made is a problem, not an error. ``tests`` and ``texts`` are those of `to_int8`.
    """
    source, out = Exportable.load(weights), folder / "model"
    report: dict[str, Any] = {"bytes": {}}
    try:
        report = to_onnx(source, out)
        if settings.quantize:
            stage.note("int8")
            report |= to_int8(source, out, tests, texts, settings.tolerance, stage.advance)
    except BistilError as error:
        report["problem"] = str(error)
        stage.note(f"no {'int8' if report['bytes'] else 'ONNX'}")
    if not report["bytes"]:
        shutil.rmtree(out)
    write_json(folder / "export.json", report)


# of a task, one for each seed: of the "student" and further ones, and of the "trimmed" task teacher
ByModel = Mapping[str, Sequence[Deployed]]


def scores(deployed: ByModel) -> dict[str, list[dict[str, Any]]]:
    """The scores in int8 by role, such as "student_int8", where the models of all seeds have that form."""
    return {
        f"{who}_int8": [one.scores for one in own]
        for who, own in deployed.items()
        if all("int8" in one.engines for one in own)
    }


def candidates(deployed: ByModel) -> Iterator[tuple[str, Candidate]]:
    """What is measured of the first seed's, by role: every engine of a student, the best of its rival."""
    for who, (own, *_) in deployed.items():
        for engine in reversed(own.engines) if who != "trimmed" else own.engines[:1]:
            yield f"{who}_{engine}", Candidate(own.folder, engine, weights=own.weights)


def problems(task: str, deployed: ByModel, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """What could not be exported: ``{"task": "pos", "model": "student", "seed": 0, "missing": "int8", …}``."""
    return [
        {
            "task": task,
            "model": who,
            "seed": seed,
            "missing": "int8" if one.engines else "ONNX",
            "reason": one.report["problem"],
        }
        for who, own in deployed.items()
        for seed, one in zip(seeds, own, strict=True)
        if "problem" in one.report
    ]
