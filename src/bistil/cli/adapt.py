"""`bistil adapt`: a language delta for a model, from unlabelled text."""

from pathlib import Path
from typing import Annotated

import typer


def adapt(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder, hub id, or a bundled: model.")],
    text: Annotated[list[str], typer.Option(help="Text of the language: file, glob or folder; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Folder for the delta; the same command resumes an interrupted run.")],
    density: Annotated[float, typer.Option(help="Share of the encoder's parameters that may change.")] = 0.08,
    epochs: Annotated[
        tuple[int, int], typer.Option(metavar="FULL SPARSE", help="Epochs in the full and the sparse phase.")
    ] = (1, 1),
    min_steps: Annotated[int, typer.Option(min=0, help="Minimum number of steps in each phase.")] = 0,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Maximum number of steps in each phase.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences in a batch.")] = 8,
    sequence_length: Annotated[int, typer.Option(min=8, help="Tokens in a sequence.")] = 256,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate, decays to 0.")] = 5e-5,
    head_steps: Annotated[
        int, typer.Option(min=0, help="First train a language-modelling head for this many steps.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of order, masking and dropout.")] = 0,
) -> None:
    """Learn a language as a sparse delta by masked language modelling on plain text.

    The model needs a language-modelling head (mBERT, XLM-R, mDeBERTa). One that has none, such as E5, gets one
    with --head-steps, trained on the same text while the model itself does not change.

    \b
    bistil adapt FacebookAI/xlm-roberta-base --text "eu/*.txt" --out language/eu --max-steps 30000
    bistil adapt bundled:multilingual-e5-small --head-steps 1000 --text eu.txt --out language/eu
    """
    from transformers.utils.logging import disable_progress_bar

    from bistil.corpora.text import files
    from bistil.models import teachers
    from bistil.pipeline.languagestages import LanguageStages
    from bistil.progress import Progress
    from bistil.training.adaptation import Adaptation
    from bistil.training.ticket import Length

    disable_progress_bar()
    full, sparse = (Length(count, min_steps, max_steps) for count in epochs)
    adaptation = Adaptation((full, sparse), batch_size, learning_rate, density, seed)
    progress = Progress()
    stages = LanguageStages(teachers.locate(model), files(text), sequence_length, head_steps, adaptation)
    loss = stages.run(out, progress)["held_out_loss"]
    progress.say(f"\nloss on held-out text  {loss['before']:.3f} → {loss['after']:.3f}")
    progress.say(f"delta  {out}")
