"""The stages of a language delta: pack the text, train a head where there is none, adapt, measure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bistil.corpora import text
from bistil.corpora.blocks import load_blocks, pack, save_blocks
from bistil.corpora.masking import Masking
from bistil.corpora.textfile import TextFile
from bistil.errors import BistilError
from bistil.files import publish_files, read_json, write_json
from bistil.models import teachers
from bistil.models.folder import save_model
from bistil.pipeline.outfolder import held_folder
from bistil.pipeline.stages import StageFolder, Stages
from bistil.progress import Progress, Stage
from bistil.runtime.positions import most_tokens
from bistil.sparse import files
from bistil.training.adaptation import Adaptation, adapt, check_head, masked_loss, train_head, with_new_head
from bistil.training.checkpoints import remove_training
from bistil.training.devices import unused

_TEXT = "text"


@dataclass(frozen=True)
class LanguageStages:
    """Trains a language delta for the model in ``teacher`` (a transformers folder) from ``corpus``.

    ``head_steps`` > 0 first trains a new language-modelling head for so many steps. Finished stages under
    ``out/stages`` are reused, and an interrupted run resumes.
    """

    teacher: Path
    corpus: Sequence[TextFile]
    sequence_length: int
    head_steps: int
    adaptation: Adaptation

    def run(self, out: Path, progress: Progress) -> dict[str, Any]:
        """Leaves the delta in ``out`` and returns ``{"held_out_loss": {"before": 3.1, "after": 2.4}, …}``."""
        model, tokenizer = self._start()
        if self.sequence_length > (longest := most_tokens(model.config)):
            raise BistilError(
                f"--sequence-length is {self.sequence_length}, "
                f"but the model takes only {longest} tokens. Give no more."
            )
        for sentence in unused():
            progress.say(sentence)
        stages = Stages(out / "stages", progress)
        left = (files.TENSORS, files.DESCRIPTION, "adaptation.json")
        with held_folder(out, left):
            blocks = self._blocks(stages, tokenizer)
            teacher = teachers.fingerprint(self.teacher)
            head = self._head(stages, blocks, teacher, tokenizer) if self.head_steps else None
            if head is not None:
                model = with_new_head(head.path / "model", self.adaptation.seed)
            delta = self._delta(stages, blocks, head, teacher, model, tokenizer)
            publish_files(out, {name: delta.path / name for name in left})
        result: dict[str, Any] = read_json(out / "adaptation.json")
        return result

    def _start(self) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        model, tokenizer = teachers.load_as_saved(self.teacher)
        if self.head_steps:
            model = with_new_head(self.teacher, self.adaptation.seed)
        check_head(model)
        return model.float(), tokenizer

    def _blocks(self, stages: Stages, tokenizer: PreTrainedTokenizerFast) -> StageFolder:
        def build(folder: Path, stage: Stage) -> None:
            save_blocks(
                folder, _TEXT, pack(tokenizer, text.lines(self.corpus), self.sequence_length, _TEXT), stage.advance
            )

        inputs = {
            "text": [file.fingerprint for file in self.corpus],
            "tokenizer": tokenizer.backend_tokenizer.to_str(),
            "block": self.sequence_length,
        }
        return stages.make("blocks", "Packing the text", inputs, build, unit="blocks")

    def _head(
        self, stages: Stages, blocks: StageFolder, teacher: Any, tokenizer: PreTrainedTokenizerFast
    ) -> StageFolder:
        def build(folder: Path, stage: Stage) -> None:
            model = with_new_head(self.teacher, self.adaptation.seed)
            train_head(
                model,
                load_blocks(blocks.path, _TEXT)[0],
                Masking.of(tokenizer),
                batch=self.adaptation.batch,
                steps=self.head_steps,
                seed=self.adaptation.seed,
                folder=folder / "training",
                on_step=stage.reach,
            )
            save_model(model, tokenizer, folder / "model")
            remove_training(folder / "training")

        inputs = {
            "teacher": teacher,
            "blocks": blocks,
            "steps": self.head_steps,
            "batch": self.adaptation.batch,
            "seed": self.adaptation.seed,
        }
        return stages.make("head", "Training a head", inputs, build, self.head_steps, "steps")

    def _delta(
        self,
        stages: Stages,
        blocks: StageFolder,
        head: StageFolder | None,
        teacher: Any,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
    ) -> StageFolder:
        masking, batch = Masking.of(tokenizer), self.adaptation.batch

        def build(folder: Path, stage: Stage) -> None:
            training, held_out = load_blocks(blocks.path, _TEXT)
            stage.total = sum(self.adaptation.phase_steps(len(training)))
            before = masked_loss(model, held_out, masking, batch)
            delta = adapt(model, training, masking, self.adaptation, folder / "training", stage.reach)
            delta.save(folder)
            after = masked_loss(model, held_out, masking, batch)
            numbers = {
                "held_out_loss": {"before": before, "after": after},
                "blocks": len(training),
                "steps": self.adaptation.phase_steps(len(training)),
                **asdict(self.adaptation),
            }
            write_json(folder / "adaptation.json", numbers)
            remove_training(folder / "training")

        inputs = {"teacher": teacher, "blocks": blocks, "head": head, **asdict(self.adaptation)}
        return stages.make("language-delta", "Language adaptation", inputs, build, unit="steps")
