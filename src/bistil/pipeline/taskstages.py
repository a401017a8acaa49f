"""The stages of one task: task teacher, task students, and their scores."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from bistil.corpora import text
from bistil.corpora.text import sample
from bistil.corpora.textfile import TextFile
from bistil.errors import BistilWarning
from bistil.evaluation.scores import evaluate
from bistil.files import read_json, write_json
from bistil.models import pretrained
from bistil.models.folder import save_model
from bistil.models.students import Alignment
from bistil.pipeline import deployment
from bistil.pipeline.deployment import Deployed
from bistil.pipeline.stages import StageFolder, Stages, fingerprint_delta
from bistil.pipeline.taskdata import TaskData
from bistil.progress import Stage
from bistil.recipe.parts import Export
from bistil.recipe.parts import Task as TaskRecipe
from bistil.sparse.delta import SparseDelta
from bistil.sparse.switch import DeltaSwitch
from bistil.tasks import saved
from bistil.tasks.inference import max_length
from bistil.training import transfer
from bistil.training.batches import as_arrays
from bistil.training.checkpoints import remove_training
from bistil.training.devices import device
from bistil.training.ticket import Length

_SCORES = "evaluation.json"
_STUDENT_RATE = 5e-4
_MOST_LINES = 1_000_000  # of which lines of the target text are drawn


@dataclass(frozen=True)
class Context:
    """What all tasks of a run share: stages, trimmed teacher, and how a stage is titled.

    ``languages`` are the source and the targets, ``deltas`` the folders of their language deltas, if there are
    any; ``target_text`` is the unlabelled text of each target, ``width`` that of the teacher's hidden states.
    """

    stages: Stages
    vocabulary: StageFolder
    title: Callable[[str, int, TaskRecipe | None], str]
    languages: tuple[str, ...]
    deltas: Mapping[str, Path]
    target_text: Mapping[str, Sequence[TextFile]]
    width: int


@dataclass(frozen=True)
class Outcome:
    """A trained model and its scores, each the folder of a stage."""

    model: StageFolder
    evaluation: StageFolder

    @property
    def scores(self) -> dict[str, Any]:
        """What `evaluate` found for each language, and for ``validation``."""
        found: dict[str, Any] = read_json(self.evaluation.path / _SCORES)
        return found


class TaskStages:
    """Trains and evaluates the models of one task of a recipe."""

    def __init__(self, recipe: TaskRecipe, data: TaskData, context: Context) -> None:
        self.recipe, self._data, self._context = recipe, data, context

    def teacher(self, seed: int, who: str = "task teacher") -> Outcome:
        """The delta of the trimmed teacher (under the source language's delta, if any), tuned on gold labels."""
        recipe = self.recipe
        training = self._training(recipe.epochs, self._teacher_rate, recipe.density, seed)

        def build(folder: Path, stage: Stage) -> None:
            model = self._new_model(self._context.vocabulary.path / "model", seed)
            features = self._features(model, self._data.train)
            stage.total = training.steps(len(features))
            rest = (self._collator(), training, folder / "training", stage.reach)
            source = self._context.languages[0]
            if source in self._context.deltas:
                deltas = {source: SparseDelta.load(self._context.deltas[source])}
                delta = transfer.tune_teacher_on_sources(model, {source: features}, deltas, *rest)
            else:
                delta = transfer.tune_teacher(model, features, *rest)
            delta.save(folder)
            remove_training(folder / "training")

        inputs = {
            "vocabulary": self._context.vocabulary,
            "deltas": {language: fingerprint_delta(path) for language, path in self._context.deltas.items()},
            **self._inputs(training),
        }
        if self._context.deltas:  # under the first it learns, under the last it is saved
            inputs["languages"] = self._context.languages
        folder = self._make("task-teacher", f"Fine-tuning: {who}", seed, inputs, build, unit="steps")
        return Outcome(folder, self._evaluation(folder, who, seed, partial(self._tuned, folder, seed)))

    def taught(self, seed: int, who: str = "task teacher") -> Outcome:
        """`teacher`, with a warning where its labels for the validation examples are right by chance alone."""
        outcome = self.teacher(seed, who)
        # where a run is only planned there are no scores
        if (outcome.evaluation.path / _SCORES).is_file() and (said := self.doubt(outcome, who)):
            warnings.warn(said, BistilWarning, stacklevel=2)
        return outcome

    def doubt(self, teacher: Outcome, who: str = "task teacher") -> str:
        """That the teacher has learned nothing, where that is so; otherwise ""."""
        predicted = teacher.scores["validation"]["predictions"]
        return self._data.doubt(predicted, who, self.recipe, self._teacher_rate)

    def teacher_model(self, seed: int, teacher: Outcome, who: str = "task teacher") -> StageFolder:
        """The task teacher as a plain model folder, to use as it is, under the target language's delta if any."""

        def build(folder: Path, stage: Stage) -> None:
            model = self._tuned(teacher.model, seed, self._context.languages[-1])
            save_model(model, self._tokenizer(), folder / "model")

        return self._make("task-teacher-model", f"Saving: {who}", seed, {"teacher": teacher.model}, build)

    def student(
        self, seed: int, teacher: Outcome, undistilled: StageFolder, start: StageFolder, role: str, who: str
    ) -> Outcome:
        """A student into which the task was distilled: a sparse delta and a plain model folder.

        ``undistilled`` is the initial student, which says what in it matches what in the teacher.
        """
        recipe = self.recipe
        epochs, density = recipe.student_epochs or recipe.epochs, recipe.student_density or recipe.density
        rate = recipe.student_learning_rate or transfer.default_learning_rate(_STUDENT_RATE, self._context.width)
        training = self._training(epochs, rate, density, seed)
        wanted = recipe.pseudo_labels
        wanted = len(self._data.train) if wanted is None else wanted
        wanted *= self._data.task.reads_lines(self._data.train)  # of pairs and questions no line is an example
        read = wanted * self._data.task.lines_read

        def build(folder: Path, stage: Stage) -> None:
            model, (source, *targets) = self._new_model(start.path / "student", seed), self._context.languages
            features = {source: self._features(model, self._data.train)}
            reader = self._tuned(teacher.model, seed, targets[0]).to(device())  # of several, none has a delta
            for target in targets:
                lines = sample(islice(text.lines(self._context.target_text[target]), _MOST_LINES), read, seed)
                if len(lines) > wanted:
                    stage.note(f"the teacher reads {len(lines):,} lines of {target}")
                rest = (self._data.train, reader, self._tokenizer(), wanted)
                if more := self._data.task.for_student(lines, *rest):
                    features[target] = self._features(model, sample(more, wanted, seed))[:wanted]
            for language, examples in self._data.unlabelled.items():
                features[language] = [*features.get(language, []), *self._features(model, examples)]
            del reader  # a whole teacher, which training has no use for
            stage.total = training.steps(*map(len, features.values()))
            tuned, switch = self._teacher(teacher.model, seed)
            transfer.distill_task(
                tuned,
                model,
                Alignment.load(undistilled.path),
                features,
                self._collator(),
                self._data.task.head_loss,
                training,
                folder / "training",
                stage.reach,
                switch,
            ).save(folder)
            save_model(model, self._tokenizer(), folder / "model")
            remove_training(folder / "training")

        texts = {code: [file.fingerprint for file in own] for code, own in self._context.target_text.items()}
        inputs = {
            "teacher": teacher.model,
            "student": start,
            "pseudo_labels": read,
            "target_text": texts if len(texts) > 1 else next(iter(texts.values())),
            **({"unlabelled": self._data.unlabelled_files} if self._data.unlabelled else {}),
            **self._inputs(training),
        }
        folder = self._make(f"task-{role}", f"Distilling: {who}", seed, inputs, build, unit="steps")

        def load(language: str) -> Any:
            return pretrained.model(self._data.task.head, folder.path / "model")

        return Outcome(folder, self._evaluation(folder, who, seed, load))

    def exported(self, seed: int, model: StageFolder, settings: Export, who: str, held: bool = True) -> Deployed:
        """A model of the task as ONNX files; that one cannot be made is a problem, not an error.

        One that is not ``held`` to the tolerance is all in int8, whatever that costs.
        """
        compared = self._data.tests if held else {}

        def build(folder: Path, stage: Stage) -> None:
            deployment.write(model.path / "model", folder, settings, compared, {}, stage)
            if "int8" in saved.engines(folder / "model"):
                engine, tokenizer, _ = saved.load(folder / "model", "int8")
                found = evaluate(engine, tokenizer, self._data.task, self._tests)
                write_json(folder / _SCORES, found)

        asked = settings.model_dump(include={"quantize", *(["tolerance"] if held else [])})
        inputs = {"export": asked, **self._scored(model)}
        made = self._make("export", f"Exporting: {who}", seed, inputs, build, unit="files")
        return Deployed(model.path / "model", made)

    def _evaluation(self, model: StageFolder, who: str, seed: int, load: Callable[[str], Any]) -> StageFolder:
        def build(folder: Path, stage: Stage) -> None:
            found: dict[str, Any] = {}
            for language, examples in self._tests.items():
                own = {language: examples}
                found |= evaluate(load(language), self._tokenizer(), self._data.task, own, stage.advance)
            write_json(folder / _SCORES, found)

        total = sum(map(len, self._tests.values()))
        return self._make("evaluation", f"Evaluating: {who}", seed, self._scored(model), build, total, "examples")

    @property
    def _tests(self) -> dict[str, list[Any]]:
        return {"validation": self._data.validation, **self._data.tests}

    def _scored(self, model: StageFolder) -> dict[str, Any]:
        """What the scores of a model depend on."""
        return {
            "task": self._data.task.version,
            "model": model,
            "tests": self._data.test_files,
            "label_map": self.recipe.label_map,
        }

    def _make(
        self,
        name: str,
        title: str,
        seed: int,
        inputs: dict[str, Any],
        build: Callable[[Path, Stage], None],
        total: int | None = None,
        unit: str = "",
    ) -> StageFolder:
        title = self._context.title(title, seed, self.recipe)
        return self._context.stages.make(name, title, inputs, build, total, unit, task=self.recipe.name)

    def _inputs(self, training: transfer.TaskTraining) -> dict[str, Any]:
        kept = self.recipe.model_dump(include={"kind", "max_train_samples", "label_map"})
        held_out = "drawn" if self.recipe.validation is None else False
        return {
            "task": self._data.task.version,
            "train": self._data.train_file,
            "labels": self._data.task.labels,
            "held_out": held_out,
            "max_length": self._data.max_length,
            "training": asdict(training),
            **kept,
        }

    @property
    def _teacher_rate(self) -> float:
        usual = transfer.default_learning_rate(self._data.task.teacher_learning_rate, self._context.width)
        return self.recipe.teacher_learning_rate or usual

    def _training(
        self, epochs: tuple[int, int], learning_rate: float, density: float, seed: int
    ) -> transfer.TaskTraining:
        full, sparse = (Length(count, self.recipe.min_steps) for count in epochs)
        return transfer.TaskTraining((full, sparse), self.recipe.batch_size, learning_rate, density, seed)

    def _tuned(self, teacher: StageFolder, seed: int, language: str) -> Any:
        """The task teacher for a language (validation examples are in the source language)."""
        model = self._new_model(self._context.vocabulary.path / "model", seed)
        task = SparseDelta.load(teacher.path)
        own = self._context.deltas.get(self._context.languages[0] if language == "validation" else language)
        (task if own is None else SparseDelta.load(own) + task).merge(model)
        return model

    def _teacher(self, teacher: StageFolder, seed: int) -> tuple[Any, DeltaSwitch | None]:
        """The task teacher for distillation in all languages, and the switch of its language deltas."""
        source = self._context.languages[0]
        if not self._context.deltas:
            return self._tuned(teacher, seed, source), None
        model, task = (
            self._new_model(self._context.vocabulary.path / "model", seed),
            SparseDelta.load(teacher.path),
        )
        deltas = {code: SparseDelta.load(path) + task for code, path in self._context.deltas.items()}
        switch = DeltaSwitch(model, deltas)
        switch.to(source)
        return model, switch

    def _new_model(self, encoder: Path, seed: int) -> Any:
        return self._data.task.new_model(encoder, seed)

    def _features(self, model: Any, examples: Sequence[Any]) -> list[dict[str, Any]]:
        tokenizer = self._tokenizer()
        longest = min(self._data.max_length, max_length(model, tokenizer))
        features = partial(self._data.task.features, tokenizer=tokenizer, max_length=longest)
        return [*as_arrays(features, examples)]

    def _collator(self) -> Any:
        return self._data.task.collator(self._tokenizer())

    def _tokenizer(self) -> PreTrainedTokenizerFast:
        return pretrained.tokenizer(self._context.vocabulary.path / "model")
