"""A recipe becomes stages, and stages become a report."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from bistil import efficiency, teachers, transfer
from bistil.allocator import keep_freed_memory
from bistil.corpora import text
from bistil.corpora.blocks import Masking, load_blocks, pack, save_blocks, split
from bistil.distillation import distil
from bistil.errors import BistilError
from bistil.evaluation import evaluate
from bistil.progress import Progress, Stage
from bistil.recipe import Recipe
from bistil.recipe import Task as TaskRecipe
from bistil.report import write_report
from bistil.sparse.delta import SparseDelta
from bistil.stages import StageFolder, Stages, fingerprint_file
from bistil.students import kept_layers, make_student
from bistil.summary import summarise
from bistil.tasks import task_kind
from bistil.tasks.task import Task
from bistil.vocabulary import trim_vocabulary


@dataclass(frozen=True)
class Run:
    """What a run left behind: its folder, and the report as plain values."""

    out: Path
    report: dict[str, Any]


def run(recipe: Recipe, progress: Progress) -> Run:
    """Runs every stage of a recipe that is not there yet, then writes the report and the models.

    Leaves ``report.html``, ``report.md``, ``report.json``, ``recipe.yaml``, ``student/``, ``tasks/NAME/`` (of the
    first seed) and ``stages/`` in the recipe's ``out``.
    """
    recipe.check_files()
    keep_freed_memory()
    disable_progress_bar()  # of transformers: ours says more
    return _Pipeline(recipe, progress).run()


@dataclass(frozen=True)
class _TaskData:
    """The examples of one task: what is trained on, held out, and tested in each language."""

    task: Task[Any]
    train: list[Any]
    validation: list[Any]
    tests: dict[str, list[Any]]
    files: dict[str, str]

    @classmethod
    def read(cls, recipe: TaskRecipe) -> "_TaskData":
        kind = task_kind(recipe.kind)
        train = kind.read(recipe.train)
        if recipe.validation is not None:
            validation = kind.read(recipe.validation)
        else:
            validation = train[9::10]
            train = [example for number, example in enumerate(train) if number % 10 != 9]
        train = train[: recipe.examples]
        task = kind.from_examples(train)
        tests = {language: kind.read(path) for language, path in recipe.test.items()}
        for examples in (validation, *tests.values()):
            task.check(examples)
        paths = [recipe.train, *filter(None, [recipe.validation]), *recipe.test.values()]
        return cls(task, train, validation, tests, {path.name: fingerprint_file(path) for path in paths})


class _Pipeline:
    def __init__(self, recipe: Recipe, progress: Progress) -> None:
        self.recipe, self.progress = recipe, progress
        self.languages = (recipe.source.language, recipe.target.language)
        self.corpora = {part.language: text.files(part.text) for part in (recipe.source, recipe.target)}
        self.data = {task.name: _TaskData.read(task) for task in recipe.tasks}
        self.teacher = teachers.locate(recipe.teacher)
        self.stages = Stages(recipe.out / "stages", progress)

    def run(self) -> Run:
        """All stages in order."""
        recipe, out = self.recipe, self.recipe.out
        self.vocabulary = self._vocabulary()
        self.layers = kept_layers(
            _layers(self.vocabulary.path), recipe.student.layer_reduction, recipe.student.layers
        )
        self.blocks = self._blocks()
        undistilled = self._undistilled()
        distilled = {seed: self._distil(undistilled, seed) for seed in recipe.seeds}
        results: dict[str, dict[str, list[StageFolder]]] = {}
        for task in recipe.tasks:
            results[task.name] = {"teacher": [], "student": [], "layer_drop": []}
            for seed in recipe.seeds:
                teacher = self._task_teacher(task, seed)
                results[task.name]["teacher"].append(teacher)
                results[task.name]["student"].append(
                    self._task_student(task, seed, teacher, distilled[seed], "student", "Distilling the task")
                )
                if "layer_drop" in recipe.baselines:
                    results[task.name]["layer_drop"].append(
                        self._task_student(
                            task,
                            seed,
                            teacher,
                            undistilled,
                            "layer-drop",
                            "Baseline without general distillation",
                        )
                    )
        first = recipe.seeds[0]
        _publish(distilled[first].path / "student", out / "student")
        for task in recipe.tasks:
            _publish(results[task.name]["student"][0].path / "model", out / "tasks" / task.name)
        costs = self._efficiency(results)
        recipe.save(out / "recipe.yaml")
        report = summarise(
            recipe,
            layers=self.layers,
            vocabulary=_read(self.vocabulary.path / "vocabulary.json"),
            distillation=[
                (folder.manifest, _read(folder.path / "distillation.json")) for folder in distilled.values()
            ],
            costs=_read(costs.path / "efficiency.json"),
            evaluations={
                name: {
                    role: [_read(f.path / "evaluation.json") for f in folders] for role, folders in roles.items()
                }
                for name, roles in results.items()
            },
            data={name: (len(data.train), data.tests) for name, data in self.data.items()},
            stages=[folder.manifest for folder in self.stages.used],
        )
        write_report(report, out)
        return Run(out, report)

    def _vocabulary(self) -> StageFolder:
        """The teacher with only the tokens that the two languages need."""

        def build(folder: Path, stage: Stage) -> None:
            model, tokenizer = teachers.load(self.teacher)
            trimmed = trim_vocabulary(
                model,
                tokenizer,
                self.corpora,
                min_probability=self.recipe.vocabulary.min_probability,
                on_lines=stage.advance,
            )
            trimmed.model.save_pretrained(folder / "model")
            trimmed.tokenizer.save_pretrained(folder / "model")
            (folder / "vocabulary.json").write_text(json.dumps(trimmed.report, indent=2) + "\n")
            stage.note(f"{trimmed.report['before']:,} → {trimmed.report['after']:,} tokens")

        inputs = {
            "teacher": {
                path.name: fingerprint_file(path) for path in sorted(self.teacher.glob("*.*")) if path.is_file()
            },
            "text": self._text_fingerprints(),
            **self.recipe.vocabulary.model_dump(),
        }
        return self.stages.make("vocabulary", "Trimming the vocabulary", inputs, build, unit="lines")

    def _text_fingerprints(self) -> dict[str, list[str]]:
        return {language: [fingerprint_file(path) for path in paths] for language, paths in self.corpora.items()}

    def _blocks(self) -> StageFolder:
        """The text of both languages as packed token blocks."""

        def build(folder: Path, stage: Stage) -> None:
            tokenizer = self._tokenizer()
            for language, paths in self.corpora.items():
                blocks = pack(tokenizer, text.lines(paths), self.recipe.distil.block)
                save_blocks(folder, language, *split(blocks, language))
                stage.advance(len(blocks))

        inputs = {
            "vocabulary": self.vocabulary,
            "text": self._text_fingerprints(),
            "block": self.recipe.distil.block,
        }
        return self.stages.make("blocks", "Packing the text", inputs, build, unit="blocks")

    def _undistilled(self) -> StageFolder:
        """The student as it starts: chosen layers of the trimmed teacher."""

        def build(folder: Path, stage: Stage) -> None:
            self._save(make_student(self._encoder(), self.layers), folder / "student")
            stage.note(f"layers {', '.join(map(str, self.layers))}")

        inputs = {"vocabulary": self.vocabulary, "layers": self.layers}
        return self.stages.make("undistilled", "Making the student", inputs, build)

    def _distil(self, undistilled: StageFolder, seed: int) -> StageFolder:
        """The student after general distillation."""
        settings = self.recipe.distil
        if settings.tokens == 0:
            raise BistilError("distil.tokens is 0. Give a budget of at least some ten thousand tokens.")

        def build(folder: Path, stage: Stage) -> None:
            tokenizer, teacher = self._tokenizer(), self._encoder()
            student = _load(undistilled.path / "student")
            curve = distil(
                teacher,
                student,
                self.layers,
                {language: load_blocks(self.blocks.path, language) for language in self.languages},
                Masking.of(tokenizer),
                folder=folder,
                tokens=settings.tokens,
                batch=settings.batch,
                learning_rate=settings.learning_rate,
                seed=seed,
                on_tokens=_Follow(stage, rate="tokens/s"),
            )
            self._save(student, folder / "student")
            (folder / "curve.json").unlink()
            measured = {"tokens": curve[-1]["tokens"], "seconds": stage.seconds, "curve": curve}
            (folder / "distillation.json").write_text(json.dumps(measured, indent=2) + "\n")

        inputs = {"student": undistilled, "blocks": self.blocks, "seed": seed, **settings.model_dump()}
        return self.stages.make(
            "distil", self._title("General distillation", seed), inputs, build, settings.tokens, "tokens"
        )

    def _task_teacher(self, recipe: TaskRecipe, seed: int) -> StageFolder:
        """The trimmed teacher tuned on gold labels: a sparse delta and its scores."""
        data = self.data[recipe.name]
        training = _training(recipe, recipe.teacher_learning_rate, seed)

        def build(folder: Path, stage: Stage) -> None:
            tokenizer = self._tokenizer()
            model = data.task.new_model(self.vocabulary.path / "model", seed)
            features = data.task.features(data.train, tokenizer, recipe.max_length)
            stage.total = training.steps(len(features))
            follow = _Follow(stage)
            delta = transfer.tune_teacher(model, features, data.task.collator(tokenizer), training, folder, follow)
            delta.save(folder)
            _write(folder / "evaluation.json", self._evaluate(model, tokenizer, data))
            shutil.rmtree(folder / "full")
            shutil.rmtree(folder / "sparse")

        inputs = {"vocabulary": self.vocabulary, **self._task_inputs(recipe, data, training)}
        return self.stages.make(
            "task-teacher", self._title("Tuning the task teacher", seed, recipe), inputs, build, unit="steps"
        )

    def _task_student(
        self, recipe: TaskRecipe, seed: int, teacher: StageFolder, student: StageFolder, role: str, title: str
    ) -> StageFolder:
        """A student that learned the task from the task teacher: a plain model folder and its scores."""
        data = self.data[recipe.name]
        training = _training(recipe, recipe.student_learning_rate, seed)

        def build(folder: Path, stage: Stage) -> None:
            tokenizer = self._tokenizer()
            tuned = data.task.new_model(self.vocabulary.path / "model", seed)
            SparseDelta.load(teacher.path).apply(tuned)
            model = data.task.new_model(student.path / "student", seed)
            features = data.task.features(data.train, tokenizer, recipe.max_length)
            stage.total = training.steps(len(features))
            delta = transfer.distil_task(
                tuned,
                model,
                self.layers,
                features,
                data.task.collator(tokenizer),
                training,
                folder,
                _Follow(stage),
            )
            delta.save(folder)
            self._save(model, folder / "model")
            _write(folder / "evaluation.json", self._evaluate(model, tokenizer, data))
            shutil.rmtree(folder / "full")
            shutil.rmtree(folder / "sparse")

        inputs = {"teacher": teacher, "student": student, **self._task_inputs(recipe, data, training)}
        return self.stages.make(f"task-{role}", self._title(title, seed, recipe), inputs, build, unit="steps")

    def _task_inputs(self, recipe: TaskRecipe, data: _TaskData, training: transfer.TaskTraining) -> dict[str, Any]:
        kept = recipe.model_dump(mode="json", include={"kind", "examples", "max_length", "train", "validation"})
        return {"files": data.files, "training": asdict(training), **kept}

    def _evaluate(self, model: Any, tokenizer: Any, data: _TaskData) -> dict[str, Any]:
        tests = {"validation": data.validation, **data.tests}
        return evaluate(model, tokenizer, data.task, tests)

    def _efficiency(self, results: Mapping[str, Mapping[str, Sequence[StageFolder]]]) -> StageFolder:
        """Size and speed of the student beside the teacher as the user would otherwise deploy it, untrimmed."""
        recipe = self.recipe.tasks[0]
        data, student = self.data[recipe.name], results[recipe.name]["student"][0]

        def build(folder: Path, stage: Stage) -> None:
            pairs = []
            for model, where in (
                (data.task.new_model(self.teacher), self.teacher),
                (data.task.head.from_pretrained(student.path / "model"), student.path / "model"),
            ):
                pairs.append((model, AutoTokenizer.from_pretrained(where), where))
            examples = data.tests.get(self.languages[1]) or next(iter(data.tests.values()))
            speeds = efficiency.speed([(model, tokenizer) for model, tokenizer, _ in pairs], data.task, examples)
            measured = [
                {**efficiency.size(model, where), **speed}
                for (model, _, where), speed in zip(pairs, speeds, strict=True)
            ]
            _write(folder / "efficiency.json", dict(zip(("teacher", "student"), measured, strict=True)))

        return self.stages.make("efficiency", "Measuring size and speed", {"student": student}, build)

    def _title(self, title: str, seed: int, task: TaskRecipe | None = None) -> str:
        parts = [task.name] if task is not None and len(self.recipe.tasks) > 1 else []
        parts += [f"seed {seed}"] if len(self.recipe.seeds) > 1 else []
        return f"{title} ({', '.join(parts)})" if parts else title

    def _tokenizer(self) -> PreTrainedTokenizerFast:
        return AutoTokenizer.from_pretrained(self.vocabulary.path / "model")

    def _encoder(self) -> PreTrainedModel:
        return _load(self.vocabulary.path / "model")

    def _save(self, model: PreTrainedModel, folder: Path) -> None:
        model.save_pretrained(folder)
        self._tokenizer().save_pretrained(folder)


class _Follow:
    """Passes a position (tokens or steps done so far) on to a stage, with a note and perhaps a rate."""

    def __init__(self, stage: Stage, rate: str = "") -> None:
        self._stage, self._rate = stage, rate

    def __call__(self, position: int, note: str) -> None:
        self._stage.advance(position - self._stage.done)
        rate = f"{self._stage.done / max(self._stage.seconds, 1e-9):,.0f} {self._rate}" if self._rate else ""
        self._stage.note(" · ".join(filter(None, [note, rate])))


def _training(recipe: TaskRecipe, learning_rate: float, seed: int) -> transfer.TaskTraining:
    return transfer.TaskTraining(recipe.epochs, recipe.batch, learning_rate, recipe.density, seed)


def _load(folder: Path) -> PreTrainedModel:
    return AutoModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32)


def _layers(folder: Path) -> int:
    return int(_read(folder / "model" / "config.json")["num_hidden_layers"])


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n")


def _publish(folder: Path, where: Path) -> None:
    """Puts a copy of a model folder in its public place, whole or not at all."""
    fresh = where.with_name(f".{where.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(folder, fresh)
    shutil.rmtree(where, ignore_errors=True)
    fresh.rename(where)
