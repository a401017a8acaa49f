"""`bistil.load`: a task model that is called with text, or a sentence embedding model."""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

from bistil.api.data import Labelled, labelled_file, several
from bistil.api.embedding import EmbeddingModel, whole_number
from bistil.api.evaluation import Evaluation, evaluated
from bistil.api.given import check_no_splits, kind_of, label_map_of, language_of, path_of
from bistil.corpora.strict import whole
from bistil.errors import BistilError
from bistil.models import sources
from bistil.runtime.engine import FILES
from bistil.runtime.results import Result
from bistil.tasks import saved
from bistil.tasks.task import Prediction, Task, unknown_labels

# One thing to predict for: a text; the columns of a row; or a pair of texts.
Item = str | Mapping[str, Any] | tuple[str, str]


@dataclass(frozen=True, repr=False, eq=False)
class TaskModel:
    """A model of a task, its tokenizer, and the task with its labels.

    It can be given wherever the path of its folder is taken. Example: ``model("Evdeki kedi uyudu.").words[1]`` is
    ``Word("kedi", 7, 11, "NOUN", 0.98)``.
    """

    path: Path
    network: Any
    tokenizer: Any
    learned: Task[Any]

    @property
    def task(self) -> str:
        """The kind of its task: ``"pos"``."""
        return self.learned.kind

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels, in the order of the model's outputs: ``("ADJ", "ADP", …)``."""
        return self.learned.labels

    @overload  # a text is an iterable of texts, too
    def __call__(  # type: ignore[overload-overlap]
        self, texts: str | Mapping[str, Any], batch_size: int = 32
    ) -> Result: ...

    @overload
    def __call__(self, texts: Iterable[Item], batch_size: int = 32) -> list[Result]: ...

    @overload
    def __call__(self, *, batch_size: int = 32, **row: Any) -> Result: ...

    def __call__(
        self, texts: str | Mapping[str, Any] | Iterable[Item] | None = None, batch_size: int = 32, **row: Any
    ) -> Result | list[Result]:
        """What the model says of a text, or of each of several.

        Plain text is split into words at white space, and at the punctuation and symbols at the ends of what is
        between: "(Evet!)" is four words, "İstanbul'da" is one. Tasks on words take a text as one sentence. A text
        longer than the model is read in parts, between words, and a context in windows that overlap; a text to
        classify is cut at the model's length.

        Args:
            texts: a text, or several in a list, tuple, or column of a `datasets.Dataset`. A dict is a row:
                ``{"text": …, "text_pair": …}`` (or ``premise`` and ``hypothesis``) for a pair of texts, which in a
                list can be a tuple, too; ``{"question": …, "context": …}``; ``{"tokens": […]}`` for a sentence
                that is cut into words already: its text is these joined by spaces.
            batch_size: how many go through the model at once.
            **row: the columns of one row: ``model(question=…, context=…)``.

        Returns:
            For a text a result, for several a list of as many, in their order: `TaggedText`, `ParsedText`,
            `EntityText`, `Label` or `Answer` of `bistil.runtime.results`. An empty text has no words.

        Raises:
            BistilError: an empty list, or what is no text.

        Example:
            ``model(["Evet.", "Hayır."])[0].words[0].tag`` is ``"INTJ"``.
        """
        if row and texts is not None:
            if odd := [name for name in row if name not in self.learned.row]:
                raise BistilError(f"There is no argument {odd[0]}. Give texts, and batch_size if you like.")
            raise BistilError(f"Both texts and {', '.join(row)} are given. Give texts, or the columns of one row.")
        given = row or texts
        check_no_splits(given, "texts")
        if isinstance(given, str | Mapping):
            return self._results([self.example(given, "The input")], batch_size)[0]
        items = several(given, self.learned.takes, "its rows: table.to_dict('records')")
        examples = [self.example(item, f"texts[{number}]") for number, item in enumerate(items)]
        if not examples:
            raise BistilError(f"texts is empty. Give at least one: {self.learned.takes}.")
        return self._results(examples, batch_size)

    def predict(self, examples: Sequence[Any], batch_size: int = 32) -> list[Prediction]:
        """The predictions for examples that the task has read, in their order."""
        return self.learned.predict(self.network, self.tokenizer, examples, batch_size)

    def evaluate(
        self,
        data: Labelled,
        *,
        language: str | None = None,
        label_map: Mapping[str, str] | None = None,
        lenient: bool = False,
    ) -> Evaluation:
        """The model's scores on labelled data.

        Args:
            data: a file in a format of the task, a list of rows (dicts), or a `datasets.Dataset`.
            language: code of the data's language, for MLQA's scores in question answering.
            label_map: labels of the data to rename, by their name in the data: ``{"e": "entailment"}``.
            lenient: for parsing, also score heads without the tree constraint.

        Returns:
            Scores in per cent, those of each label, and how many examples there are.

        Raises:
            BistilError: data that cannot be read, or a label that the model does not have.

        Example:
            ``model.evaluate("tr_boun-test.conllu").scores["accuracy"]`` is 78.6.
        """
        labels = label_map_of(label_map)
        if language is not None:
            language_of(language, "language")
        with tempfile.TemporaryDirectory() as folder:
            if not isinstance(data, str | os.PathLike):
                data = labelled_file(data, Path(folder), "data")
            read = self.learned.read(Path(data))
        examples = [example.renamed(labels) for example in read]
        if language is not None:
            examples = self.learned.in_language(examples, language)
        found = evaluated(self.network, self.tokenizer, self.learned, examples, lenient)
        if not (said := unknown_labels(read, labels)):
            return found
        return replace(found, warning=f"{found.warning} {said}" if found.warning else said)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __repr__(self) -> str:
        labels = ", ".join(self.labels[:8]) + (f" and {len(self.labels) - 8} more" if len(self.labels) > 8 else "")
        return f"TaskModel({str(self.path)!r}, task={self.task!r}, {len(self.labels)} labels: {labels})"

    def _results(self, examples: Sequence[Any], batch_size: int) -> list[Result]:
        if not (size := whole_number(batch_size)):
            raise BistilError(f"batch_size is {batch_size!r}. Give a whole number from 1.")
        pairs = zip(examples, self.predict(examples, size), strict=True)
        return [self.learned.result(example, prediction) for example, prediction in pairs]

    def example(self, item: Any, where: str) -> Any:
        """An item as the task reads it, for `predict`; ``where`` says in errors where it stands."""
        pairs = "text_pair" in self.learned.row
        if pairs and isinstance(item, tuple) and len(item) == 2 and all(isinstance(text, str) for text in item):
            item = dict(zip(("text", "text_pair"), item, strict=True))
        if isinstance(item, Mapping):
            return self.learned.parse_row(dict(item), where)
        if not isinstance(item, str) or not self.learned.reads_lines(()):
            raise BistilError(f"{where} is {_named(item)}. Give {self.learned.takes}.")
        text = str(whole(item, where))  # one of numpy becomes plain
        try:
            return self.learned.parse(text)
        except BistilError as error:
            raise BistilError(f"{where}: {error}") from error


def load(
    model: str | os.PathLike[str], *, engine: str | None = None, threads: int | None = None
) -> TaskModel | EmbeddingModel:
    """A task model, ready to be called with text, or a sentence embedding model with its method `encode`.

    Args:
        model: the folder of a task model (``OUT/tasks/NAME`` of a run, or what `bistil.train` returned), that of a
            sentence embedding model (what ``bistil.distill(…, embeddings=True)`` returned), or a hub id. What is
            written as a path is never looked up on the hub. Of models that bistil did not train those are taken
            that classify texts or tokens, find answers, or are loaded by sentence-transformers.
        engine: ``"int8"`` or ``"onnx"``, which `bistil.export` wrote and which need no torch, or ``"torch"``,
            which runs on the CUDA device if there is one. The default is the first of these that the folder has.
        threads: on how many an ONNX file runs. The default is as many as this process may use: 1 is better where
            several threads of your own call the model.

    Returns:
        The model with its task and its labels, or with its prompts.

    Raises:
        BistilError: no such model, one that has neither the head of a task nor the files of sentence-transformers,
            weights that are not safetensors.

    Example:
        ``load("runs/tr/tasks/pos")`` is ``TaskModel('runs/tr/tasks/pos', task='pos', 17 labels: ADJ, ADP, …)``.
    """
    if isinstance(model, TaskModel | EmbeddingModel):
        return model
    name = path_of(model, "The task model")
    count = None if threads is None else whole_number(threads)
    if count == 0:
        raise BistilError(f"threads is {threads!r}. Give a whole number from 1, or None for all.")
    choices = "OUT/tasks/NAME of a run, or a hub id"
    folder = sources.found(name, "task model", choices, further=FILES.values())
    if saved.is_embedding_model(folder):
        return EmbeddingModel.of(folder, engine, count)
    return TaskModel(folder, *saved.load(folder, engine, count))


def load_task(
    model: str | os.PathLike[str], *, engine: str | None = None, threads: int | None = None
) -> TaskModel:
    """What `load` gives where that is a task model; of anything else it raises BistilError."""
    loaded = load(model, engine=engine, threads=threads)
    if isinstance(loaded, EmbeddingModel):
        raise BistilError(
            f"{os.fspath(model)} is a sentence embedding model, which has no task. Give OUT/tasks/NAME of a run."
        )
    return loaded


def _named(value: Any) -> str:
    return "a text" if isinstance(value, str) and value else kind_of(value)
