"""An encoder that no stage made, as the folder of a stage."""

from pathlib import Path

from bistil.models import teachers
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
