"""Encoders in the folders of stages, and one that no stage made as such a folder."""

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bistil.models import pretrained, teachers
from bistil.models.folder import save_model
from bistil.pipeline.stages import StageFolder, Stages
from bistil.progress import Stage


def as_stage(stages: Stages, name: str, located: Path) -> StageFolder:
    """An encoder and its tokenizer, in ``model`` as they are in the folder of the trimmed teacher.

    ``located`` is the local transformers folder of the model called ``name``.
    """

    def build(folder: Path, stage: Stage) -> None:
        save_model(*teachers.load(located), folder / "model")

    return stages.make("other", f"Fetching {name}", {"model": teachers.fingerprint(located)}, build)


def load_tokenizer(vocabulary: StageFolder) -> PreTrainedTokenizerFast:
    """The trimmed tokenizer of a run."""
    return pretrained.tokenizer(vocabulary.path / "model")


def load_encoder(folder: Path) -> PreTrainedModel:
    """The encoder of a folder that a stage wrote, in float32."""
    return teachers.load(folder)[0]


def save_encoder(model: PreTrainedModel, vocabulary: StageFolder, folder: Path) -> None:
    """An encoder with the trimmed tokenizer of its run."""
    save_model(model, load_tokenizer(vocabulary), folder)
