"""A recipe becomes stages, and stages become a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from bistil import efficiency, teachers
from bistil.allocator import keep_freed_memory
from bistil.corpora import text
from bistil.corpora.blocks import load_blocks, pack, save_blocks
from bistil.corpora.masking import Masking
from bistil.distillation import distil
from bistil.families import indispensable_layers
from bistil.progress import Progress, Stage
from bistil.recipe import Recipe
from bistil.recipe import Task as TaskRecipe
from bistil.report import write_report
from bistil.stages import StageFolder, Stages, fingerprint_file, publish, read_json, write_json
from bistil.students import kept_layers, make_student
from bistil.summary import summarise
from bistil.taskdata import TaskData
from bistil.taskstages import Context, Outcome, TaskStages
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


class _Pipeline:
    def __init__(self, recipe: Recipe, progress: Progress) -> None:
        self.recipe, self.progress = recipe, progress
        self.languages = (recipe.source.language, recipe.target.language)
        self.corpora = {part.language: text.files(part.text) for part in (recipe.source, recipe.target)}
        self.data = {task.name: TaskData.read(task) for task in recipe.tasks}
        with progress.stage("Getting the teacher"):
            self.teacher = teachers.locate(recipe.teacher)
        student = recipe.student
        config = teachers.read_config(self.teacher)
        self.layers = kept_layers(
            config.num_hidden_layers, student.layer_reduction, student.layers, indispensable_layers(config)
        )
        self.stages = Stages(recipe.out / "stages", progress)

    def run(self) -> Run:
        """All stages in order."""
        recipe, out = self.recipe, self.recipe.out
        self.vocabulary = self._vocabulary()
        self.blocks = self._blocks()
        undistilled = self._undistilled()
        distilled = {seed: self._distil(undistilled, seed) for seed in recipe.seeds}
        learned = {
            task.name: self._learn(TaskStages(task, self.data[task.name], self._context()), undistilled, distilled)
            for task in recipe.tasks
        }
        first = recipe.seeds[0]
        publish(distilled[first].path / "student", out / "student")
        for name, roles in learned.items():
            publish(roles["student"][0].model.path / "model", out / "tasks" / name)
        costs = self._efficiency(learned)
        recipe.save(out / "recipe.yaml")
        report = summarise(
            recipe,
            layers=self.layers,
            vocabulary=read_json(self.vocabulary.path / "vocabulary.json"),
            distillation=[read_json(folder.path / "distillation.json") for folder in distilled.values()],
            costs=read_json(costs.path / "efficiency.json"),
            evaluations={
                name: {role: [one.scores for one in outcomes] for role, outcomes in roles.items()}
                for name, roles in learned.items()
            },
            data={name: (len(data.train), data.tests) for name, data in self.data.items()},
            stages=[folder.manifest for folder in self.stages.used],
        )
        write_report(report, out)
        return Run(out, report)

    def _context(self) -> Context:
        return Context(self.stages, self.vocabulary, self.layers, self._title)

    def _learn(
        self, task: TaskStages, undistilled: StageFolder, distilled: Mapping[int, StageFolder]
    ) -> dict[str, list[Outcome]]:
        """Task teacher, task student and the baselines asked for, each with every seed."""
        outcomes: dict[str, list[Outcome]] = {"teacher": [], "student": []}
        for seed in self.recipe.seeds:
            teacher = task.teacher(seed)
            outcomes["teacher"].append(teacher)
            outcomes["student"].append(task.student(seed, teacher, distilled[seed], "student", "task student"))
            if "layer_drop" in self.recipe.baselines:
                baseline = task.student(
                    seed, teacher, undistilled, "layer-drop", "baseline without general distillation"
                )
                outcomes.setdefault("layer_drop", []).append(baseline)
        return outcomes

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
            write_json(folder / "vocabulary.json", trimmed.report)
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
        return {language: [file.fingerprint for file in files] for language, files in self.corpora.items()}

    def _blocks(self) -> StageFolder:
        """The text of both languages as packed token blocks."""

        def build(folder: Path, stage: Stage) -> None:
            tokenizer = self._tokenizer()
            for language, files in self.corpora.items():
                blocks = pack(tokenizer, text.lines(files), self.recipe.distil.block, language)
                save_blocks(folder, language, blocks, stage.advance)

        inputs = {
            "vocabulary": self.vocabulary,
            "text": self._text_fingerprints(),
            "block": self.recipe.distil.block,
        }
        return self.stages.make("blocks", "Packing the text", inputs, build, unit="blocks")

    def _undistilled(self) -> StageFolder:
        """The student as it starts: chosen layers of the trimmed teacher."""

        def build(folder: Path, stage: Stage) -> None:
            student, _ = make_student(self._encoder(), self.layers)
            self._save(student, folder / "student")
            stage.note(f"layers {', '.join(map(str, self.layers))}")

        inputs = {"vocabulary": self.vocabulary, "layers": self.layers}
        return self.stages.make("undistilled", "Making the student", inputs, build)

    def _distil(self, undistilled: StageFolder, seed: int) -> StageFolder:
        """The student after general distillation."""
        settings = self.recipe.distil

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
                on_tokens=stage.reach,
            )
            self._save(student, folder / "student")
            (folder / "curve.json").unlink()
            tokens = curve[-1]["tokens"]
            # the rate, because a resumed run has not seen the seconds of the interrupted one
            measured = {
                "tokens": tokens,
                "seconds": tokens / stage.rate if stage.rate else stage.seconds,
                "curve": curve,
            }
            write_json(folder / "distillation.json", measured)

        inputs = {"student": undistilled, "blocks": self.blocks, "seed": seed, **settings.model_dump()}
        return self.stages.make(
            "distil", self._title("General distillation", seed), inputs, build, settings.tokens, "tokens"
        )

    def _efficiency(self, learned: Mapping[str, Mapping[str, Sequence[Outcome]]]) -> StageFolder:
        """Size and speed of the student beside the teacher as one would otherwise deploy it, untrimmed."""
        name = self.recipe.tasks[0].name
        data, student = self.data[name], learned[name]["student"][0].model.path / "model"

        def build(folder: Path, stage: Stage) -> None:
            models = (data.task.new_model(self.teacher), data.task.head.from_pretrained(student))
            folders = (self.teacher, student)
            pairs = [
                (model, AutoTokenizer.from_pretrained(where)) for model, where in zip(models, folders, strict=True)
            ]
            examples = data.tests.get(self.languages[1]) or next(iter(data.tests.values()))
            speeds = efficiency.speed(pairs, data.task, examples)
            sizes = [efficiency.size(model, where) for model, where in zip(models, folders, strict=True)]
            measured = [{**size, **speed} for size, speed in zip(sizes, speeds, strict=True)]
            write_json(folder / "efficiency.json", dict(zip(("teacher", "student"), measured, strict=True)))

        return self.stages.make(
            "efficiency", "Measuring size and speed", {"student": learned[name]["student"][0].model}, build
        )

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


def _load(folder: Path) -> PreTrainedModel:
    return teachers.load(folder)[0]
