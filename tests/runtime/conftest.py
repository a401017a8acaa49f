"""One small exported model of each task, made when it is first asked for."""

from pathlib import Path

import pytest
import torch
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
    """The folder of each kind: PyTorch, ONNX in float32 and in int8; ``student`` has no head."""

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
        save_model(self._encoder, tokenizer, root / "encoder")

    def __missing__(self, kind: str) -> Path:
        folder = self._root / kind
        model = self._encoder
        if kind != "student":
            model = task_kind(kind)(LABELS[kind]).new_model(self._root / "encoder", seed=1).eval()
        save_model(model, self._tokenizer, folder)
        (folder / "onnx").mkdir()
        metadata = {VOCABULARY: vocabulary_digest(backend(folder))}
        graph = write_graph(model, self._tokenizer, folder / FILES["onnx"], metadata)
        quantise(graph.file, folder / FILES["int8"])
        self[kind] = folder
        return folder


@pytest.fixture(scope="session")
def exported(tiny_tokenizer, tmp_path_factory) -> Exported:
    return Exported(tmp_path_factory.mktemp("exported"), tiny_tokenizer)
