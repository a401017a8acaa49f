"""Tiny models of every family, as `bistil export` leaves them, and what bistil says with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tests.tasks.test_families import FAMILIES as OWN
from tokenizers import Encoding, Tokenizer
from transformers import AutoModel

import bistil
from bistil.files import publish
from bistil.models.folder import save_model
from bistil.runtime.engine import FILES, OnnxEngine
from bistil.runtime.pooling import Pooling
from bistil.runtime.positions import most_tokens
from bistil.tasks import saved, task_kind

# By the name of the page: the type of the model, and the layout of its tokenizer.
FAMILIES = {**OWN, "multilingual E5": ("bert", "e5")}
LABELS = {
    "pos": ("NOUN", "PUNCT", "VERB"),
    "topic": ("animal", "food", "object"),
    "qa": ("start", "end"),
    "parsing": ("nsubj", "obj", "root"),
    "ner": ("O", "B-LOC", "I-LOC", "B-PER", "I-PER"),
    "nli": ("contradiction", "entailment", "neutral"),
    "answerable": ("start", "end"),  # or not
}
KINDS = {
    "topic": "classification",
    "nli": "classification",
    "answerable": "qa",
}  # where the folder has another name
LONGEST = 64  # tokens
EMBEDDING = "embedding"
POOLING = Pooling("cls", True, {"query": "query: "})
SHORT = (
    "Öğretmen sabahleyin taze ekmeği okuyor , 12 .",
    "Komşum ( bir öğrenci ) 🙂 gördü !",
    "The teacher reads fresh bread every week .",
)
TEXTS = (*SHORT, " ".join(["Yaşlı doktor her hafta yeşil elmaları satıyor ."] * 12))  # the last is cut off
PAIRS = (("Öğretmen taze ekmeği okuyor.", "Komşum gördü."), ("Bir öğrenci", "🙂"))
QUESTIONS = tuple(
    ("Kim okuyor?", text)
    for text in ("Öğretmen taze ekmeği okuyor, 12.", "Komşum her hafta yeşil elmaları okuyor.")
)


@dataclass(frozen=True)
class Family:
    """A model type and its tokenizer, whose models lie in ``root`` where docs/loaders.md has them."""

    root: Path
    kind: str
    tokenizer: Any
    encoder: Any

    def folder(self, name: str) -> Path:
        return self.root / "runs/turkish" / (name if name in ("student", EMBEDDING) else f"tasks/{name}")

    def made(self, name: str, exported: bool = True) -> Path:
        """The folder of the student, of a task, or of a student with the files of sentence-transformers.

        It is published, and exported if asked for.
        """
        folder = self.folder(name)
        if not folder.exists():
            source = self.root / "work" / name
            save_model(self._network(name), self.tokenizer, source)
            if name == EMBEDDING:
                POOLING.save(source, self._student.config.hidden_size)
            folder.parent.mkdir(parents=True, exist_ok=True)
            publish(source, folder)
        if exported and not (folder / "onnx").exists():
            bistil.export(folder, progress=False)
        return folder

    def _network(self, name: str) -> Any:
        if name in ("student", EMBEDDING):
            return self._student
        labels, kind = LABELS[name], task_kind(KINDS.get(name, name))
        task = kind(no_answer=name == "answerable") if kind.kind == "qa" else kind(labels)
        return task.new_model(self.made("student", exported=False), seed=1).eval()

    @cached_property
    def _student(self) -> Any:
        padding = self.tokenizer.pad_token_id
        offset = padding + 1 if self.kind in ("roberta", "xlm-roberta") else 0
        model = self.encoder(
            self.kind,
            num_hidden_layers=2,
            vocab_size=len(self.tokenizer),
            pad_token_id=padding,
            max_position_embeddings=LONGEST + offset,
        )
        assert most_tokens(model.config) == LONGEST
        return model


def encoded(folder: Path, text: str, pair: str | None = None, whole: bool = True) -> Encoding:
    """As the tokenizers library reads the folder; too long ones cut before the final special token, or behind."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if whole:
        tokenizer.enable_truncation(LONGEST)
    encoding = tokenizer.encode(text, pair)
    encoding.truncate(LONGEST)
    return encoding


def outputs(folder: Path, engine: str, encoding: Encoding) -> dict[str, NDArray[Any]]:
    """What bistil's engine gives for one text, [1, …]."""
    values = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask}
    values["token_type_ids"] = encoding.type_ids
    batch = {name: np.array([own], dtype=np.int64) for name, own in values.items()}
    if engine != "torch":
        return OnnxEngine(folder / FILES[engine], {}).run(batch)
    model = AutoModel.from_pretrained(folder) if folder.name == "student" else saved.load(folder, "torch")[0]
    if getattr(model.config, "type_vocab_size", 0) < 2:
        del batch["token_type_ids"]
    with torch.inference_mode():
        found: Mapping[str, Any] = model.eval()(**{name: torch.from_numpy(own) for name, own in batch.items()})
    return {name: own.numpy() for name, own in found.items()}


def mean_vector(folder: Path, engine: str, text: str, whole: bool = True) -> NDArray[Any]:
    """The mean of the states of one text."""
    vector: NDArray[Any] = outputs(folder, engine, encoded(folder, text, whole=whole))["last_hidden_state"][
        0
    ].mean(0)
    return vector


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    shares: NDArray[Any] = powers / powers.sum(-1, keepdims=True)
    return shares
