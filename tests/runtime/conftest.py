"""One small exported model of each task, made when it is first asked for."""

import os
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from transformers import BertConfig, BertModel

from bistil.exporting.graph import write_graph
from bistil.exporting.quantisation import quantise
from bistil.models.folder import save_model
from bistil.runtime.engine import FILES, VOCABULARY
from bistil.runtime.tokenizer import backend, vocabulary_digest
from bistil.tasks import task_kind

LABELS = {
    "pos": ("NOUN", "PUNCT", "VERB"),
    "ner": ("O", "B-LOC", "I-LOC"),
    "parsing": ("nsubj", "obj", "root"),
    "classification": ("food", "object"),
    "qa": ("start", "end"),
}


class Exported(dict[str, Path]):
    """The folder of each kind: PyTorch, ONNX in float32 and in int8; ``student`` has no head.

    Processes that share a root make each kind once. No test may change it there.
    """

    def __init__(self, root: Path, tokenizer) -> None:
        self._root, self._tokenizer = root, tokenizer
        config = BertConfig(
            vocab_size=len(tokenizer) + 5,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=128,
            initializer_range=0.3,
            pad_token_id=tokenizer.pad_token_id,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self._encoder = BertModel(config, add_pooling_layer=False).eval()

    def __missing__(self, kind: str) -> Path:
        folder = self._root / kind
        with FileLock(self._root / "lock"):
            if not (folder / FILES["int8"]).exists():
                self._make(kind, folder)
        self[kind] = folder
        return folder

    def _make(self, kind: str, folder: Path) -> None:
        model, encoder = self._encoder, self._root / "encoder"
        if kind != "student":
            save_model(model, self._tokenizer, encoder)
            model = task_kind(kind)(LABELS[kind]).new_model(encoder, seed=1).eval()
        save_model(model, self._tokenizer, folder)
        (folder / "onnx").mkdir()
        metadata = {VOCABULARY: vocabulary_digest(backend(folder))}
        graph = write_graph(model, self._tokenizer, folder / FILES["onnx"], metadata)
        quantise(graph.file, folder / FILES["int8"])


def shared(tmp_path_factory) -> Path:
    """A folder that the workers of a test run have together."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported"
    root.mkdir(exist_ok=True)
    return root


@pytest.fixture(scope="session")
def exported(tiny_tokenizer, tmp_path_factory) -> Exported:
    return Exported(shared(tmp_path_factory), tiny_tokenizer)
