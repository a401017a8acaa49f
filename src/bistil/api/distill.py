"""`bistil.distill`: from a teacher and unlabelled text to a student of two languages or more."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bistil.api.data import Text, text_patterns
from bistil.api.given import check_apart, folder_of, path_of
from bistil.api.output import DATA, MODEL, RECIPE, name_of, publish_model
from bistil.errors import BistilError
from bistil.files import read_json
from bistil.hub import CARD
from bistil.launch import process_index
from bistil.pipeline.outfolder import held_folder
from bistil.pipeline.runs import DISTILLED, distilled
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.report.contents import widths
from bistil.runtime.pooling import FILES
from bistil.runtime.shown import InFolder
from bistil.tasks import saved


@dataclass(frozen=True, repr=False)
class Distilled(InFolder):
    """A student: its folder, and how general distillation went.

    ``layers`` are the teacher's, counted from 1, and a width of None is the teacher's; ``parameters`` a count;
    ``losses`` are those of each language's held-out text at the end. Example: ``Distilled(Path("out"), ("en",
    "tr"), (1, 3, 5, 8, 10, 12), 19_700_000, 999_936, {"en": 0.021, "tr": 0.025})``.
    """

    output_dir: Path
    languages: tuple[str, ...]
    layers: tuple[int, ...]
    parameters: int
    tokens: int
    losses: Mapping[str, float]
    intermediate_size: int | None = None
    hidden_size: int | None = None

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "output_dir", str(self.output_dir)
        yield "languages", ", ".join(self.languages)
        layers = f"{len(self.layers)} (the teacher's {', '.join(map(str, self.layers))})"
        yield "layers", "; ".join([layers, *widths(vars(self))])
        yield "parameters", f"{self.parameters:,}"
        yield "tokens", f"{self.tokens:,} distilled"
        yield "held-out loss", ", ".join(f"{language} {loss:.4f}" for language, loss in self.losses.items())


def distill(
    teacher: str | os.PathLike[str],
    *,
    text: Mapping[str, Text],
    output_dir: str | os.PathLike[str],
    layers: int | Sequence[int] | None = None,
    tokens: int = 1_000_000,
    min_probability: float = 1e-6,
    intermediate_size: int | None = None,
    hidden_size: int | None = None,
    budget: float | None = None,
    seed: int = 0,
    progress: bool | Progress = True,
    **settings: Any,
) -> Distilled:
    """Trim a teacher's vocabulary, drop layers, and distill it on unlabelled text of your languages.

    The method is BiStil's first phase (Ansell et al. 2023, section 3.1). A call that was interrupted goes on with
    the same arguments; what is finished is not computed again.

    Args:
        teacher: a folder, a hub id, or ``bundled:multilingual-e5-small``.
        text: unlabelled text of two languages or more, first of the one that has labels: a path, glob or folder,
            a list of texts, or a `datasets.Dataset`.
        output_dir: the folder for the student, a plain transformers folder with a model card. The work lies below,
            in ``stages``.
        layers: how many of the teacher's layers to keep, or which, counted from 1. The default is half of them.
        tokens: how long to distill.
        min_probability: keep a token with at least this share of any language's text; 0 keeps all.
        intermediate_size: width inside the feed-forward; None keeps the teacher's.
        hidden_size: width of hidden states, a multiple of the head width; None keeps the teacher's.
        budget: or the share of the trimmed teacher's time that a text may take, such as 0.5, measured here in
            PyTorch: layers and widths are chosen.
        seed: of masking, order and dropout.
        progress: whether to show it.
        **settings: further keys of a recipe's section ``distill``, such as ``sequence_length``, ``batch_size`` or
            ``learning_rate``. ``embeddings=True`` makes a sentence embedding model.

    Returns:
        The student's folder and what was measured; give it wherever a path is taken, `bistil.train` for one.

    Raises:
        BistilError: no such teacher, a language without text, a setting that there is not.

    Example:
        ``distill("xlm-roberta-base", text={"en": "en.txt", "tr": "tr.txt"}, layers=6, output_dir="student")``
    """
    out = folder_of(output_dir, "output_dir").absolute()
    name, shown = path_of(teacher, "The teacher"), Progress.shown(progress)
    if isinstance(text, Mapping) and len(text) < 2:
        raise BistilError(
            f"text has {len(text)} languages ({', '.join(text) or 'none'}). Give two or more: the one that has "
            "labels, then those to transfer to."
        )
    source, *targets = (
        {"language": code, "text": patterns} for code, patterns in text_patterns(text, out / DATA).items()
    )
    recipe = Recipe.checked(
        {
            "name": name_of(out),
            "teacher": name,
            "source": source,
            "target": targets if len(targets) > 1 else targets[0],
            "vocabulary": {"min_probability": min_probability},
            "student": {
                "layers": _plain(layers),
                "intermediate_size": intermediate_size,
                "hidden_size": hidden_size,
                "budget": budget,
            },
            "distill": {"tokens": tokens, **settings},
            "seeds": [seed],
            "out": out,
        },
        where="distill",
    )
    recipe.check_files()
    check_apart(name, out, "teacher")
    with held_folder(out, [*MODEL, *(FILES if recipe.distill.embeddings else ()), *DISTILLED, RECIPE, CARD]):
        found = distilled(recipe, shown)
        numbers = read_json(found.files["distillation.json"])
        if not process_index():
            further: dict[str, str | Path] = {**found.files, RECIPE: recipe.text(), CARD: found.card}
            publish_model(found.student.path / "student", out, further)
    languages = tuple(part.language for part in recipe.languages)
    losses = {language: numbers["curve"][-1][language] for language in languages}
    parameters, shape = saved.parameters_in(found.student.path / "student"), found.shape
    widths = shape.intermediate_size, shape.hidden_size
    return Distilled(out, languages, shape.layers, parameters, numbers["tokens"], losses, *widths)


def _plain(layers: Any) -> Any:
    """Layers as plain numbers, those of numpy and of a range, too; the recipe refuses what are none."""
    given = layers.tolist() if hasattr(layers, "tolist") else layers
    return [_plain(one) for one in given] if isinstance(given, list | tuple | range) else given
