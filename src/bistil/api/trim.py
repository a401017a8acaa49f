"""`bistil.trim`: the same model with only the tokens that some languages need."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import PositiveInt
from transformers.utils.logging import disable_progress_bar

from bistil.api.data import Text, text_patterns
from bistil.api.given import check_apart, folder_of, path_of
from bistil.api.output import name_of
from bistil.corpora.text import files
from bistil.errors import BistilError
from bistil.exporting.card import card
from bistil.files import check_published, publish_files
from bistil.hub import CARD
from bistil.models import teachers
from bistil.packages import cache_folder
from bistil.pipeline.cardfacts import of_trimmed
from bistil.pipeline.trimmed import save_trimmed
from bistil.progress import Progress
from bistil.recipe.parts import Code, Part, validated
from bistil.runtime.pooling import Pooling
from bistil.runtime.shown import InFolder
from bistil.vocabulary import trim_vocabulary


class _Settings(Part):
    """What `trim` is given, checked as a recipe is; which numbers make a rule, `trim_vocabulary` checks."""

    languages: tuple[Code, ...]
    min_probability: float | None
    min_count: int | None
    coverage: float | None
    top_k: int | None
    max_changed: float | None
    keep: tuple[str, ...]
    vocab_size_multiple: PositiveInt


@dataclass(frozen=True, repr=False)
class Trimmed(InFolder):
    """A model with a smaller vocabulary: its folder, and what ``vocabulary.json`` in it says.

    ``report`` has, for example, ``{"before": 250037, "after": 61210, "parameters_after": 45_…, …}``.
    """

    output_dir: Path
    report: dict[str, Any]

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "output_dir", str(self.output_dir)
        for what, key in (("tokens", ""), ("parameters", "parameters_"), ("bytes", "disk_bytes_")):
            yield what, f"{self.report[f'{key}before']:,} → {self.report[f'{key}after']:,}"
        for language, facts in self.report["languages"].items():
            yield f"new {language} text", f"{facts['coverage']:.2%} of its tokens kept"


def trim(
    model: str | os.PathLike[str],
    *,
    text: Mapping[str, Text],
    output_dir: str | os.PathLike[str],
    min_probability: float | None = None,
    min_count: int | None = None,
    coverage: float | None = None,
    top_k: int | None = None,
    max_changed: float | None = None,
    keep: Iterable[str] = (),
    vocab_size_multiple: int = 1,
    progress: bool | Progress = True,
) -> Trimmed:
    """Cut a model's vocabulary down to the tokens that some languages need; nothing is trained.

    Text whose tokens are kept gives the same numbers as before. A sentence embedding model stays one, and the
    tokens of its prompts are kept.

    Args:
        model: a folder, a hub id, or ``bundled:multilingual-e5-small``.
        text: unlabelled text by language: a path, glob or folder, a list of texts, or a `datasets.Dataset`.
        output_dir: the folder for the model, with a card. One that bistil wrote is replaced; others are errors.
        min_probability: keep tokens that are this share of a language's tokens.
        min_count: or those that occur so often in a language.
        coverage: or those that make up this share of every language's text.
        top_k: or exactly so many, the most frequent.
        max_changed: keep likely tokens too, until about this share of new lines is segmented differently.
            Of these five only one may be given, `max_changed` beside the first three. The default is
            ``min_probability=1e-6, max_changed=0.01``.
        keep: tokens or words to keep in any case.
        vocab_size_multiple: round the size up, 64 for tensor cores.
        progress: whether to show it.

    Returns:
        The folder and what was measured; give it wherever a path is taken.

    Raises:
        BistilError: no such model, a language without text, rules that exclude each other, a folder that is not
            bistil's.

    Example:
        ``trim("xlm-roberta-base", text={"en": "en.txt", "tr": "tr/*.txt"}, output_dir="xlmr-en-tr")``
    """
    shown, out = Progress.shown(progress), folder_of(output_dir, "output_dir")
    name = path_of(model, "The model")
    if isinstance(keep, str):
        raise BistilError(f"keep is the text {keep!r}. Give a list of texts.")
    given = {
        "languages": tuple(text) if isinstance(text, Mapping) else (),
        "min_probability": min_probability,
        "min_count": min_count,
        "coverage": coverage,
        "top_k": top_k,
        "max_changed": max_changed,
        "keep": keep,
        "vocab_size_multiple": vocab_size_multiple,
    }
    settings = validated(_Settings, given, "trim")
    check_apart(name, out, "model")
    check_published(out)
    disable_progress_bar()  # of transformers: ours says more
    with tempfile.TemporaryDirectory() as folder:
        patterns = text_patterns(text, Path(folder))
        corpora = {language: files(own) for language, own in patterns.items()}
        with shown.stage("Fetching the model"):
            source = teachers.locate(name)
            network, tokenizer = teachers.load_as_saved(source)
            pooling = Pooling.known(source)
        with shown.stage("Trimming the vocabulary", unit="lines") as stage:
            trimmed = trim_vocabulary(
                network,
                tokenizer,
                corpora,
                min_probability=settings.min_probability,
                min_count=settings.min_count,
                coverage=settings.coverage,
                top_k=settings.top_k,
                max_changed=settings.max_changed,
                keep=[*settings.keep, *(pooling.prompts.values() if pooling else ())],
                size_multiple=settings.vocab_size_multiple,
                cache=cache_folder() / "counts",
                on_lines=stage.advance,
            )
        with shown.stage("Writing the model"):
            report = save_trimmed(trimmed, out, source)
            if pooling is not None:
                publish_files(out, pooling.files(network.config.hidden_size))
            known = of_trimmed(name, source, name_of(out), patterns, report, type(network).__name__)
            publish_files(out, {CARD: card(known)})
    return Trimmed(out, report)
