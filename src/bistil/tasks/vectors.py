"""Texts as vectors, by an encoder that runs in torch or in ONNX form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bistil.corpora.tokenizers import encode_texts, named_unless_read, placeholder
from bistil.runtime.pooling import Pooling, normalized
from bistil.tasks.inference import batched, max_length
from bistil.tasks.saved import width


@dataclass(frozen=True, eq=False)
class Encoder:
    """A network, its tokenizer and how its states become vectors, called as sentence-transformers' models are."""

    network: Any
    tokenizer: Any
    pooling: Pooling

    @property
    def prompts(self) -> Mapping[str, str]:
        """What is put before a text, by name: ``{"query": "query: ", "passage": "passage: "}``."""
        return self.pooling.prompts

    def encode(self, texts: list[str], /, *, prompt_name: str | None) -> NDArray[np.float32]:
        """Their vectors, [texts, dimensions]."""
        prompt = self.pooling.prompt(prompt_name)
        return vectors(self.network, self.tokenizer, self.pooling, [f"{prompt}{text}" for text in texts])


@dataclass(frozen=True)
class Embedding:
    """What an encoder is measured at, in place of a task: vectors of texts, which have their prompts."""

    pooling: Pooling

    def predict(
        self, network: Any, tokenizer: Any, texts: Sequence[str], batch_size: int = 32
    ) -> NDArray[np.float32]:
        """The vectors [texts, width] of texts."""
        return vectors(network, tokenizer, self.pooling, texts, batch_size)


def vectors(
    network: Any, tokenizer: Any, pooling: Pooling, texts: Sequence[str], batch_size: int = 32
) -> NDArray[np.float32]:
    """The vectors [texts, width] of texts, which have their prompts; normalised where the pooling says so."""
    found = np.zeros((len(texts), width(network.config)), dtype=np.float32)
    names = [f"texts[{number}]" for number in range(len(texts))]
    with named_unless_read(tokenizer, texts, names):
        inputs = encode_texts(tokenizer, texts, (), longest(network, tokenizer, pooling))
    for row, text, name in zip(inputs, texts, names, strict=True):
        if not row["input_ids"]:  # nothing frames the text, and nothing is left of it
            token = placeholder(tokenizer, text, name)
            row |= {key: [0] for key in row} | {"input_ids": [token], "attention_mask": [1]}
    for chosen, outputs in batched(network, tokenizer, inputs, batch_size):
        states = outputs["last_hidden_state"]
        lengths = np.array([len(inputs[index]["input_ids"]) for index in chosen])
        mask = (np.arange(states.shape[1]) < lengths[:, None]).astype(np.int64)
        found[chosen] = pooling(states, mask)
    return normalized(found) if pooling.normalize else found


def longest(network: Any, tokenizer: Any, pooling: Pooling) -> int:
    """The most tokens of a text that are read, special ones included: 512 for multilingual E5."""
    most = max_length(network, tokenizer)
    return min(pooling.max_seq_length or most, most)
