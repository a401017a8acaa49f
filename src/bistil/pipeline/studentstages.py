"""The stages from a teacher to a distilled student: vocabulary, blocks, start, general distillation."""

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from transformers import TrainingArguments

from bistil.corpora import text
from bistil.corpora.blocks import load_blocks, pack
from bistil.corpora.masked import MaskedBlocks
from bistil.corpora.masking import Masking
from bistil.corpora.sentences import filled
from bistil.corpora.streamed import StreamedBlocks
from bistil.errors import BistilError
from bistil.files import write_json, write_whole
from bistil.launch import process_index, processes
from bistil.models import pretrained, teachers
from bistil.models.folder import save_model
from bistil.models.shapes import StudentShape
from bistil.models.students import Alignment, describe, make_student
from bistil.pipeline import corpora
from bistil.pipeline.encoders import load_encoder, load_tokenizer, save_encoder
from bistil.pipeline.shaping import Shaping
from bistil.pipeline.stages import StageFolder, Stages, fingerprint_delta
from bistil.pipeline.unlabelled import Unlabelled
from bistil.progress import Progress, Stage
from bistil.recipe.parts import Patterns
from bistil.recipe.recipe import Recipe
from bistil.runtime.pooling import Pooling
from bistil.runtime.positions import most_tokens
from bistil.sparse.delta import SparseDelta
from bistil.sparse.switch import DeltaSwitch
from bistil.training.checkpoints import remove_checkpoints
from bistil.training.devices import unused
from bistil.training.distillation import Objective, distill_encoder
from bistil.training.scratch import train_from_scratch
from bistil.training.trainer import arguments
from bistil.vocabulary import trim_vocabulary

# TrainingArguments that report and do not change the result
_SAID = ("log_", "logging_", "report_to", "run_name", "dataloader_num_workers", "dataloader_pin_memory")
_MEASURED_BLOCKS, _MEASURED_BLOCK = 128, 64  # of each language: 16,384 tokens, many more than there are dimensions


class StudentStages:
    """Makes the students of a recipe, a stage folder each; `stages` holds them.

    ``labelled`` are texts of the tasks by language, to tell whether the corpora are swapped; ``further`` is the
    text of languages other than source and target.
    """

    def __init__(
        self,
        recipe: Recipe,
        progress: Progress,
        labelled: Mapping[str, Sequence[str]] | None = None,
        further: Mapping[str, Patterns] | None = None,
        stages: Stages | None = None,
    ) -> None:
        self.recipe, self._progress, self._labelled = recipe, progress, labelled or {}
        self._arguments(recipe.out, recipe.seeds[0])  # impossible settings are reported before anything runs
        self.corpora = corpora.read(recipe, further or {})
        self._counted = corpora.counted(recipe, self.corpora)
        with progress.stage("Fetching the teacher"), _first_process_first():
            self.teacher = teachers.locate(recipe.teacher, recipe.out)
        self.shaping = Shaping(recipe, self.teacher, progress.say)
        if recipe.distill.sequence_length > (longest := most_tokens(teachers.read_config(self.teacher))):
            raise BistilError(
                f"distill.sequence_length is {recipe.distill.sequence_length}, but the teacher takes only "
                f"{longest} tokens. Give no more."
            )
        if stages is None:  # another one, which made them, has said it
            for sentence in unused():
                progress.say(sentence)
        self.stages = stages or Stages(recipe.out / "stages", progress)
        self.pooling = self._pooling() if recipe.distill.embeddings else None
        self.unlabelled = Unlabelled(recipe, self.corpora, self.stages, self.pooling)

    def _pooling(self) -> Pooling:
        found, prompts = Pooling.of(self.teacher), self.recipe.distill.prompts
        return found if prompts is None else replace(found, prompts=prompts, default_prompt_name=None)

    def having(self, recipe: Recipe) -> "StudentStages":
        """The same for a recipe that differs in the student alone: text and teacher are not looked up again."""
        other = copy.copy(self)
        other.recipe = recipe
        other.shaping = Shaping(recipe, self.teacher, self._progress.say)
        return other

    def vocabulary(self) -> StageFolder:
        """The trimmed teacher: only the tokens that its languages need."""

        def build(folder: Path, stage: Stage) -> None:
            model, tokenizer = teachers.load(self.teacher)
            trimmed = trim_vocabulary(
                model,
                tokenizer,
                self._counted,
                min_probability=self.recipe.vocabulary.min_probability,
                keep=self.unlabelled.prompts,
                sample_lines=self.recipe.vocabulary.sample_lines,
                cache=self.stages.root / ".counts",  # of a text that recipes of other languages have, too
                on_lines=stage.advance,
            )
            save_model(trimmed.model, trimmed.tokenizer, folder / "model")
            write_json(folder / "vocabulary.json", trimmed.report)
            for sentence in corpora.odd(self.corpora, self._labelled, trimmed.tokenizer):
                self._progress.say(f"warning: {sentence}")
            unkept = [
                f"at most {facts['not_kept_at_most']:.2%} of {language} lost"
                for language, facts in trimmed.report["languages"].items()
                if "not_kept_at_most" in facts
            ]
            sizes = f"{trimmed.report['before']:,} → {trimmed.report['after']:,} tokens"
            stage.note("; ".join([sizes, *unkept, *corpora.dropped(self.recipe, trimmed.tallies)]))

        inputs = {
            "teacher": teachers.fingerprint(self.teacher),
            "text": corpora.fingerprints(self._counted),
            # what is not given was not there in earlier releases
            **self.recipe.vocabulary.model_dump(exclude={"further"}, exclude_none=True),
            **({"keep": self.unlabelled.prompts} if self.unlabelled.prompts else {}),
        }
        return self.stages.make("vocabulary", "Trimming the vocabulary", inputs, build, unit="lines")

    def chosen(self, vocabulary: StageFolder) -> StageFolder | None:
        """Where the shape was chosen, if that was for a budget."""
        return self.shaping.chosen(vocabulary, self.stages)

    def shape(self, vocabulary: StageFolder) -> StudentShape:
        """The student's layers and widths."""
        return self.shaping.of(self.chosen(vocabulary))

    def undistilled(
        self, vocabulary: StageFolder, title: str = "Making the student", chosen: StageFolder | None = None
    ) -> StageFolder:
        """The initial student, and which of its parts match which parts of the teacher.

        ``chosen`` is where the shape was chosen, if for another vocabulary.
        """
        chosen = chosen or self.chosen(vocabulary)

        def build(folder: Path, stage: Stage) -> None:
            teacher, shape = load_encoder(vocabulary.path / "model"), self.shaping.of(chosen)
            widths = {"intermediate_size": shape.intermediate_size, "hidden_size": shape.hidden_size}
            batches = self._batches(vocabulary) if any(widths.values()) else ()
            student, alignment = make_student(teacher, shape.layers, **widths, batches=batches)
            save_encoder(student, vocabulary, folder / "student")
            alignment.save(folder)
            said = [describe(teacher, student, alignment), self.shaping.said(chosen)]
            write_whole(folder / "student.txt", "\n".join(filter(None, said)))
            stage.note(shape.said)

        known = self.shaping.known_by(chosen)
        inputs = {"vocabulary": vocabulary, **known}
        narrow = chosen or known["intermediate_size"] or known["hidden_size"]
        if narrow:
            inputs["narrowing"] = 2  # the first put means in place of what is dropped
            if self._counted is not self.corpora:  # else the vocabulary's text says it
                inputs["text"] = corpora.fingerprints(self.corpora)
        return self.stages.make("undistilled", title, inputs, build)

    def _batches(self, vocabulary: StageFolder) -> list[dict[str, torch.Tensor]]:
        """Some text of each language, by which neurons, heads and directions are judged."""
        tokenizer = load_tokenizer(vocabulary)
        batches = []
        for language, files in self.corpora.items():
            blocks = pack(tokenizer, text.lines(files), _MEASURED_BLOCK, language)
            rows = np.concatenate(list(islice(blocks, 1)))[:_MEASURED_BLOCKS]
            batches += [{"input_ids": part} for part in torch.from_numpy(rows.astype(np.int64)).split(16)]
        return batches

    def distilled(
        self, vocabulary: StageFolder, undistilled: StageFolder, seed: int, title: str, only: str | None = None
    ) -> StageFolder:
        """The student after general distillation, with ``distillation.json`` and ``loss.svg``.

        With ``only`` all of its text is in that language.
        """
        settings = self.recipe.distill
        languages = tuple(self.corpora) if only is None else (only,)
        tokenised = self.unlabelled.tokenised(vocabulary)
        delta_files = self.deltas()

        def build(folder: Path, stage: Stage) -> None:
            tokenizer, teacher = load_tokenizer(vocabulary), load_encoder(vocabulary.path / "model")
            student = load_encoder(undistilled.path / "student")
            deltas = {language: SparseDelta.load(path) for language, path in delta_files.items()}
            if settings.freeze_embeddings:
                student.get_input_embeddings().requires_grad_(False)
            masking = Masking.of(tokenizer, settings.masked)
            masking = masking if self.pooling is None else filled(masking)
            data, held_out = self.unlabelled.data(tokenised, tokenizer, masking, seed, languages)
            curve = distill_encoder(
                teacher,
                student,
                Alignment.load(undistilled.path),
                data,
                held_out,
                masking,
                self._arguments(folder, seed),
                objective=Objective(
                    settings.attention,
                    settings.hidden_weight,
                    settings.attention_weight,
                    settings.matched_layers,
                    self.pooling,
                    settings.vector_weight,
                    settings.similarity_weight,
                ),
                switch=DeltaSwitch(teacher, deltas) if deltas else None,
                on_tokens=stage.reach,
            )
            if process_index():
                return
            save_encoder(student, vocabulary, folder / "student")
            if self.pooling is not None:
                self.pooling.save(folder / "student", student.config.hidden_size)
            if isinstance(data, StreamedBlocks) and (tallies := data.reached(len(data))):
                stage.note("; ".join(corpora.dropped(self.recipe, tallies)))
            tokens = curve[-1]["tokens"]
            # the rate, because a resumed run has not seen the seconds of the interrupted one
            seconds = tokens / stage.rate if stage.rate else stage.seconds
            write_json(folder / "distillation.json", {"tokens": tokens, "seconds": seconds, "curve": curve})
            from bistil.report.lossplot import loss_plot  # it brings matplotlib

            loss_plot(curve).savefig(folder / "loss.svg")
            remove_checkpoints(folder)
            (folder / "curve.json").unlink()  # as the last: a training that goes on needs both

        inputs = {
            "student": undistilled,
            "blocks": tokenised or corpora.fingerprints(self.corpora),
            "deltas": {language: fingerprint_delta(path) for language, path in delta_files.items()},
            "seed": seed,
            **({} if only is None else {"only": only}),
            **settings.known,
            **({} if self.pooling is None else {"pooling": asdict(self.pooling)}),
            "arguments": self._learned_with,
        }
        return self.stages.make("distill", title, inputs, build, settings.tokens, "tokens", together=True)

    def _arguments(self, folder: Path, seed: int) -> TrainingArguments:
        settings = self.recipe.distill
        return arguments(
            folder,
            batch=settings.batch,
            learning_rate=settings.learning_rate,
            seed=seed,
            further=settings.arguments,
        )

    @property
    def _learned_with(self) -> dict[str, Any]:
        """The further arguments of training that change its outcome."""
        given = self.recipe.distill.arguments
        return {name: value for name, value in given.items() if not name.startswith(_SAID)}

    def scratch(self, vocabulary: StageFolder, undistilled: StageFolder, seed: int, title: str) -> StageFolder:
        """The student's shape, trained from scratch on the text and with the budget of general distillation.

        ``model`` in the folder is an encoder with its tokenizer, as it is in that of ``vocabulary``.
        """
        settings, blocks = self.recipe.distill, self.unlabelled.packed(vocabulary)

        def build(folder: Path, stage: Stage) -> None:
            training = {language: load_blocks(blocks.path, language)[0] for language in self.corpora}
            model = train_from_scratch(
                pretrained.config(undistilled.path / "student"),
                MaskedBlocks(
                    training,
                    Masking.of(load_tokenizer(vocabulary)),
                    settings.batch,
                    self.unlabelled.steps(tuple(self.corpora)),
                    seed,
                ),
                self._arguments(folder, seed),
                lambda step, loss: stage.reach(
                    step * settings.batch * settings.sequence_length,
                    "" if loss is None else f"loss {loss:.3f}",
                ),
            )
            save_encoder(model, vocabulary, folder / "model")
            remove_checkpoints(folder)

        names = ("tokens", "sequence_length", "batch_size", "learning_rate")
        kept = {name: settings.known[name] for name in names}
        # of the student it is the shape that matters, and where its layers attend
        inputs = {"student": undistilled, "blocks": blocks, "seed": seed, **kept, "arguments": self._learned_with}
        return self.stages.make("scratch", title, inputs, build, settings.tokens, "tokens")

    def deltas(self) -> dict[str, Path]:
        """The folders of the language deltas, if the recipe has them."""
        return {part.language: part.delta for part in self.recipe.languages if part.delta is not None}


def _first_process_first() -> AbstractContextManager[None]:
    """What is downloaded once, not by every process at a time."""
    if processes() == 1:
        return nullcontext()
    first: AbstractContextManager[None] = PartialState(cpu=not torch.cuda.is_available()).main_process_first()
    return first
