"""The stages that score, export and measure sentence embedding models."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from bistil.corpora import text
from bistil.evaluation.efficiency import Candidate, measure
from bistil.evaluation.embeddings import EmbeddingTest
from bistil.evaluation.testfiles import read_test
from bistil.files import fingerprint_input, write_json
from bistil.models import teachers
from bistil.pipeline import corpora, costs, deployment
from bistil.pipeline.deployment import Deployed
from bistil.pipeline.onestudent import titled
from bistil.pipeline.stages import StageFolder
from bistil.pipeline.studentstages import StudentStages
from bistil.progress import Stage
from bistil.recipe.embeddings import Embeddings
from bistil.recipe.parts import Export
from bistil.runtime.pooling import Pooling
from bistil.tasks import saved
from bistil.tasks.vectors import Embedding, Encoder

_COMPARED, _TIMED = 500, 96  # lines of text


class EmbeddingStages:
    """Scores, ONNX files, size and speed of the models of ``students``; all pool as the teacher does.

    ``tests`` are by name.
    """

    def __init__(self, settings: Embeddings, students: StudentStages, pooling: Pooling) -> None:
        self._students, self._pooling = students, pooling
        self.tests: dict[str, EmbeddingTest] = {
            name: read_test(files, settings.train.get(name)) for name, files in settings.test.items()
        }
        self._files: dict[str, list[str]] = {}
        for field, path in settings.files():  # of a test's files each counts, and their order
            self._files.setdefault(field, []).append(fingerprint_input(path))

    def teacher(self) -> StageFolder:
        """The scores of the teacher as it stands."""
        folder = self._students.teacher
        return self._evaluated("teacher", None, folder, teachers.fingerprint(folder))

    def evaluated(self, who: str, model: StageFolder, seed: int | None = None) -> StageFolder:
        """The scores of the student in a stage's folder, in ``evaluation.json``."""
        return self._evaluated(who, seed, model.path / "student", model)

    def _evaluated(
        self, who: str, seed: int | None, weights: Path, model: StageFolder | Mapping[str, str]
    ) -> StageFolder:
        def build(folder: Path, stage: Stage) -> None:
            write_json(folder / "evaluation.json", self._scores(weights, "torch", stage.advance))

        title, total = (
            titled(self._students.recipe, f"Evaluating: {who}", seed),
            sum(map(len, self.tests.values())),
        )
        inputs = self._scored(model)
        return self._students.stages.make("embeddings-evaluation", title, inputs, build, total, "examples")

    def exported(
        self,
        who: str,
        model: StageFolder,
        place: str,
        settings: Export,
        seed: int | None = None,
        held: bool = True,
    ) -> Deployed:
        """The ONNX files of the encoder in ``place`` of a stage's folder, and its scores in int8.

        What int8 costs is 100 less the mean cosine with float32's vectors, in per cent, on lines of each language;
        a model that is not ``held`` to the tolerance is all in int8.
        """
        compared = self._students.corpora if held else {}

        def build(folder: Path, stage: Stage) -> None:
            lines = {code: list(islice(text.lines(own), _COMPARED)) for code, own in compared.items()}
            deployment.write(model.path / place, folder, settings, {}, lines, stage)
            if "int8" in saved.engines(folder / "model"):
                found = self._scores(folder / "model", "int8", lambda count: None)
                write_json(folder / "evaluation.json", found)

        inputs = {
            "export": settings.model_dump(include={"quantize", *(["tolerance"] if held else [])}),
            "text": corpora.fingerprints(compared),
            **self._scored(model),
        }
        title = titled(self._students.recipe, f"Exporting: {who}", seed)
        made = self._students.stages.make("embeddings-export", title, inputs, build, unit="files")
        return Deployed(model.path / place, made)

    def measured(self, student: StageFolder, deployed: deployment.ByModel, language: str) -> StageFolder:
        """What teacher and student cost on lines of a language, by role, in ``efficiency.json``."""
        files, teacher = self._students.corpora[language], self._students.teacher

        def build(folder: Path, stage: Stage) -> None:
            prompt = next(iter(self._pooling.prompts.values()), "")
            texts = [f"{prompt}{line}" for line in islice(text.lines(files), _TIMED)]
            candidates = {"teacher": Candidate(teacher), "student": Candidate(student.path / "student")}
            candidates |= deployment.candidates(deployed)
            write_json(folder / "efficiency.json", measure(candidates, Embedding(self._pooling), texts))

        inputs: dict[str, Any] = {
            "machine": costs.machine(),
            "texts": corpora.fingerprints({language: files}),
            "teacher": teachers.fingerprint(teacher),
            "student": student,
        }
        if deployed:
            inputs["onnxruntime"] = version("onnxruntime")
            inputs["exports"] = {who: own.export.fingerprint for who, (own, *_) in deployed.items()}
        return self._students.stages.make("embeddings-efficiency", "Measuring size and speed", inputs, build)

    def _scored(self, model: StageFolder | Mapping[str, str]) -> Mapping[str, Any]:
        """What the scores of a model depend on."""
        return {"model": model, "tests": self._files, "pooling": asdict(self._pooling)}

    def _scores(self, folder: Path, engine: str, advance: Callable[[int], None]) -> dict[str, Any]:
        """By test all scores, and of the one by which models are compared what each item contributes."""
        encoder = Encoder(*saved.load_encoder(folder, engine), self._pooling)
        found = {}
        for name, test in self.tests.items():
            scores = test.scores(encoder)
            advance(len(test))
            found[name] = {
                "scores": {metric: float(score) for metric, score in scores.items()},
                "items": scores[test.metric].plain(),
            }
        return found
