"""A sentence embedding model, called as sentence-transformers calls one."""

import operator
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bistil.api.data import Labelled, several
from bistil.api.evaluation import Evaluation, Tested, embedding_test, embeddings_evaluated
from bistil.corpora.strict import whole
from bistil.errors import BistilError
from bistil.runtime.pooling import Pooling, normalized
from bistil.tasks import saved
from bistil.tasks.vectors import longest, vectors


@dataclass(frozen=True, repr=False, eq=False)
class EmbeddingModel:
    """An encoder that makes one vector of a text.

    It can be given wherever the path of its folder is taken. Example: ``model.encode("Evdeki kedi uyudu.").shape``
    is ``(384,)``.
    """

    path: Path
    network: Any
    tokenizer: Any
    pooling: Pooling

    @classmethod
    def of(cls, folder: Path, engine: str | None, threads: int | None) -> Self:
        """The model of a folder; see `bistil.load`."""
        pooling = Pooling.of(folder)
        return cls(folder, *saved.load_encoder(folder, engine, threads), pooling)

    @property
    def dimensions(self) -> int:
        """The length of a vector: 384."""
        return saved.width(self.network.config)

    @property
    def prompts(self) -> Mapping[str, str]:
        """What can be put before a text, by name: ``{"query": "query: ", "passage": "passage: "}``."""
        return self.pooling.prompts

    @property
    def max_seq_length(self) -> int:
        """The most tokens of a text that are read, special ones included: 512."""
        return longest(self.network, self.tokenizer, self.pooling)

    def encode(
        self,
        texts: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> NDArray[np.float32]:
        """The vectors of texts.

        Args:
            texts: a text, or several in a list, tuple, or column of a `datasets.Dataset`. What is longer than
                `max_seq_length` is cut.
            prompt_name: the name of the prompt that is put before each text, one of `prompts`. The default is what
                the model's files name as such, which mostly is none.
            prompt: or the prompt itself, which goes before `prompt_name`.
            batch_size: how many go through the model at once.
            normalize_embeddings: whether vectors are given length 1, so that their dot product is the cosine, also
                where the model's files do not say so, and after ``truncate_dim``.
            truncate_dim: keep only the first so many dimensions (Matryoshka representations).

        Returns:
            Float32 [texts, dimensions], for a single text [dimensions].

        Raises:
            BistilError: what is no text, a prompt that the model does not have, more dimensions than there are.

        Example:
            ``model.encode(["query: Kim uyudu?", "passage: Evdeki kedi uyudu."]).shape`` is ``(2, 384)``.
        """
        before = self.pooling.prompt(prompt_name) if prompt is None else prompt
        if not isinstance(before, str):
            raise BistilError(f"prompt is of the type {type(before).__name__}. Give a text.")
        if not (size := whole_number(batch_size)):
            raise BistilError(f"batch_size is {batch_size!r}. Give a whole number from 1.")
        if not isinstance(normalize_embeddings, bool | np.bool_):
            raise BistilError(f"normalize_embeddings is {normalize_embeddings!r}. Give True or False.")
        kept = self.dimensions if truncate_dim is None else whole_number(truncate_dim)
        if not 1 <= kept <= self.dimensions:
            raise BistilError(
                f"truncate_dim is {truncate_dim!r}. Give a whole number from 1 to {self.dimensions}."
            )
        given = [texts] if isinstance(texts, str) else _listed(texts)
        prompted = [whole(f"{before}{text}", f"texts[{number}]") for number, text in enumerate(given)]
        found = vectors(self.network, self.tokenizer, self.pooling, prompted, size)[:, :kept]
        if normalize_embeddings:
            found = normalized(found)
        return found[0] if isinstance(texts, str) else found

    def evaluate(self, data: Tested, *, train: Labelled | None = None) -> Evaluation:
        """The model's scores, in per cent, on texts of which is known what belongs together.

        Two files of lines, line n the translation of line n, or a table of two texts: the share of lines whose
        translation is the nearest of all. A table of two texts and a score: Spearman's rank correlation with the
        cosines. A table of text and label, with ``train``: the accuracy of the five nearest texts of that. One or
        several files of XQuAD-R: nDCG@10 and mAP of questions among the sentences of all files.

        Args:
            data: a file, several in a list, a list of rows (dicts), or a `datasets.Dataset`.
            train: texts with labels, by whose neighbours those of ``data`` are labelled.

        Returns:
            Scores in per cent, and how many lines, pairs, texts or questions there are.

        Raises:
            BistilError: data that cannot be read, with file and line.

        Example:
            ``model.evaluate(["ntrex.en.txt", "ntrex.tr.txt"]).scores["mean_accuracy"]`` is 97.25, of
            multilingual-E5-small on the first 200 lines of NTREX.
        """
        with tempfile.TemporaryDirectory() as folder:
            test = embedding_test(data, train, Path(folder))
        return embeddings_evaluated(self, test)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __repr__(self) -> str:
        prompts = ", ".join(map(repr, self.prompts)) or "none"
        return f"EmbeddingModel({str(self.path)!r}, {self.dimensions} dimensions, prompts: {prompts})"


def whole_number(value: Any) -> int:
    """A whole number, also of numpy's kinds; 0 for what is none from 1."""
    try:
        return max(0, operator.index(value))
    except TypeError:
        return 0


def _listed(texts: Any) -> list[str]:
    given = several(texts, "a text", "its texts: table['text'].tolist()")
    for number, text in enumerate(given):
        if not isinstance(text, str):
            raise BistilError(f"texts[{number}] is of the type {type(text).__name__}. Give texts.")
    return given
