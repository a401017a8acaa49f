"""The unlabelled text of a recipe, as general distillation reads it: blocks, whole lines, or a stream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from bistil.corpora import text
from bistil.corpora.blocks import Rows, load_blocks, pack, save_blocks
from bistil.corpora.masking import Masking
from bistil.corpora.mixed import MixedBlocks
from bistil.corpora.sentences import MixedSentences, mean_length, sentence_rows
from bistil.corpora.streamed import StreamedBlocks
from bistil.corpora.textfile import TextFile
from bistil.pipeline import corpora
from bistil.pipeline.encoders import load_tokenizer
from bistil.pipeline.stages import StageFolder, Stages
from bistil.progress import Stage
from bistil.recipe.distill import Distill
from bistil.recipe.recipe import Recipe
from bistil.runtime.pooling import Pooling

Data = MixedBlocks | MixedSentences | StreamedBlocks


@dataclass(frozen=True)
class Unlabelled:
    """The files of each language, tokenised by stages. With the teacher's ``pooling`` whole lines are learned."""

    recipe: Recipe
    files: Mapping[str, Sequence[TextFile]]
    stages: Stages
    pooling: Pooling | None = None

    @property
    def _settings(self) -> Distill:
        return self.recipe.distill

    @property
    def prompts(self) -> list[str]:
        """What the teacher puts before texts, each once."""
        return [] if self.pooling is None else list(dict.fromkeys(self.pooling.prompts.values()))

    def tokenised(self, vocabulary: StageFolder) -> StageFolder | None:
        """What general distillation reads, None where that is streams."""
        if self._settings.stream:
            return None
        return self.packed(vocabulary) if self.pooling is None else self._lines(vocabulary)

    def packed(self, vocabulary: StageFolder) -> StageFolder:
        """The text of all languages as packed token blocks."""

        def build(folder: Path, stage: Stage) -> None:
            tokenizer = load_tokenizer(vocabulary)
            opened = {language: text.lines(files) for language, files in self.files.items()}
            for language, lines in opened.items():
                blocks = pack(tokenizer, lines, self._settings.sequence_length, language)
                save_blocks(folder, language, blocks, stage.advance)
            self._note(opened, stage)

        return self.stages.make("blocks", "Packing the text", self._inputs(vocabulary), build, unit="blocks")

    def _lines(self, vocabulary: StageFolder) -> StageFolder:
        """The text of all languages as rows of whole lines."""

        def build(folder: Path, stage: Stage) -> None:
            tokenizer = load_tokenizer(vocabulary)
            opened = {language: text.lines(files) for language, files in self.files.items()}
            for language, lines in opened.items():
                rows = sentence_rows(tokenizer, lines, self.prompts, self._settings.sequence_length, language)
                save_blocks(folder, language, rows, stage.advance)
            self._note(opened, stage)

        inputs = {**self._inputs(vocabulary), "prompts": self.prompts}
        return self.stages.make("blocks", "Tokenising the text", inputs, build, unit="lines")

    def _inputs(self, vocabulary: StageFolder) -> dict[str, Any]:
        return {
            "vocabulary": vocabulary,
            "text": corpora.fingerprints(self.files),
            "block": self._settings.sequence_length,
        }

    def _note(self, opened: Mapping[str, Any], stage: Stage) -> None:
        tallies = {language: lines.tally for language, lines in opened.items()}
        stage.note("; ".join(corpora.dropped(self.recipe, tallies)))

    def steps(self, languages: Sequence[str], length: float | None = None) -> int:
        """The batches that make up the budget, of rows of so many tokens; by default of full blocks."""
        row = self._settings.sequence_length if length is None else length
        return max(len(languages), round(self._settings.tokens / (self._settings.batch * row)))

    def data(
        self,
        tokenised: StageFolder | None,
        tokenizer: PreTrainedTokenizerFast,
        masking: Masking,
        seed: int,
        languages: Sequence[str],
    ) -> tuple[Data, Mapping[str, Rows]]:
        """Blocks or texts to train on, of some languages in their order, and held-out ones of each."""
        settings = self._settings
        order: dict[str, Any] = {"batch": settings.batch, "batches": self.steps(languages), "seed": seed}
        if tokenised is None:
            lines = {language: partial(text.lines, self.files[language]) for language in languages}
            stream = StreamedBlocks(lines, tokenizer, masking, block=settings.sequence_length, **order)
            return stream, stream.held_out()
        loaded = {language: load_blocks(tokenised.path, language) for language in self.files}
        training = {language: loaded[language][0] for language in languages}
        held_out = {language: rows for language, (_, rows) in loaded.items()}
        if self.pooling is None:
            return MixedBlocks(training, masking, temperature=settings.temperature, **order), held_out
        length = sum(map(mean_length, training.values())) / len(training)
        order["batches"] = self.steps(languages, length)
        # a language's delta is applied for whole batches
        apart = any(part.delta is not None for part in self.recipe.languages)
        return MixedSentences(training, masking, row_tokens=length, monolingual=apart, **order), held_out
