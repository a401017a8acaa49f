"""A matrix of sentence embeddings: the students and scores of runs of their own, planned, and one summary."""

import io
import json
from pathlib import Path

import pytest
from tests import tiny

from bistil.evaluation import efficiency
from bistil.fleet.executors import InTurn
from bistil.fleet.fleet import run_fleet
from bistil.models.e5 import POOLING
from bistil.pipeline.runs import run
from bistil.planning.matrixplan import plan_matrix
from bistil.progress import Progress
from bistil.recipe.matrix import Matrix


@pytest.fixture(scope="module")
def values(tmp_path_factory, tiny_lines, tiny_teacher):
    made = tmp_path_factory.mktemp("embeddings")
    own = tiny.matrix(made, tiny_lines, tiny_teacher)
    POOLING.save(Path(own["teacher"]), 32)
    for code in ("en", "tr", "az"):
        (made / f"pairs.{code}").write_text("\n".join((made / f"{code}.txt").read_text().splitlines()[:30]))
    return {
        **{key: own[key] for key in own if key not in ("tasks", "students")},
        "students": {"half": {"layer_reduction": 2}},
        "distill": {"embeddings": True, "tokens": 512, "sequence_length": 16},
        "embeddings": {"test": {"lines": [str(made / "pairs.en"), str(made / "pairs.{language}")]}},
        "export": {"tolerance": 50.0},
        "out": str(made / "out"),
    }


@pytest.mark.slow
def test_students_and_scores_are_those_of_runs_of_their_own(values, tmp_path, monkeypatch):
    monkeypatch.setattr(efficiency, "peak_memory", lambda *_, **__: 0)
    matrix = Matrix.checked(values)
    planned = plan_matrix(matrix)
    found = run_fleet(matrix, InTurn(), Progress(io.StringIO()))
    made = {path.name for path in (found.output_dir / "stages").iterdir() if not path.name.startswith(".")}
    assert found.summary["failed"] == []
    assert made == set(planned.stages)
    alone = matrix.recipes()["az/half"].model_copy(update={"out": tmp_path})
    own = run(alone, Progress(io.StringIO()))
    weights = [out / "student/model.safetensors" for out in (tmp_path, found.output_dir / "az/half")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    (test,) = own.report["embeddings"]
    role = own.report["comparison"]["deployed"]["role"]
    az = next(one for one in found.summary["recipes"] if one["label"] == "az/half")
    (scored,) = az["tasks"]
    assert az["form"] == role
    assert scored["student"] == test["scores"][role]["lines"][0]
    assert scored["teacher"] == test["scores"]["teacher"]["lines"][0]
    assert scored["difference_low"] <= scored["difference"] <= scored["difference_high"]
    page = (found.output_dir / "fleet.html").read_text("utf-8")
    assert "az/half/report.html" in page
    assert "lines" in page
    again = run_fleet(matrix, InTurn(), Progress(io.StringIO()))
    assert again.summary["work"]["made"] == 0
    assert json.loads((found.output_dir / "fleet.json").read_text())["recipes"] == again.summary["recipes"]
