"""A model as one ONNX file in float32, for any batch and length, checked against PyTorch."""

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.utils import logging as transformers_logging

from bistil.errors import BistilError
from bistil.exporting import attention
from bistil.models.families import encoder
from bistil.runtime.engine import OnnxEngine
from bistil.runtime.positions import most_tokens

OUTPUTS = (
    ("logits",),
    ("start_logits", "end_logits"),
    ("arc_logits", "relation_logits"),
    ("last_hidden_state",),
)
OPSET = 20  # the first with Gelu
_SAME = 1e-4  # of the largest value of an output
_LARGEST = 2**31 - 2**20  # bytes of weights; protobuf has no larger files
_LENGTHS = ((2, 9), (3, 17), (1, 4), (5, 30))  # rows and tokens of the inputs that are compared
_TEXTS = (
    "The cat slept in the garden, didn't it?",
    "Evdeki kedi uyudu.",
    "Кошка спала в саду 1984 года.",
    "猫在花园里睡觉。",
)


@dataclass(frozen=True)
class Graph:
    """An ONNX file, the names of its inputs and of its outputs.

    Example: ``Graph(Path("onnx/model.onnx"), ("input_ids", "attention_mask"), ("logits",))``.
    """

    file: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def write_graph(model: Any, tokenizer: Any, file: Path, metadata: Mapping[str, str] | None = None) -> Graph:
    """Write a transformers model, with any head or none, as an ONNX graph.

    The inputs are int64 [batch, length]: ``input_ids``, ``attention_mask``, ``token_type_ids`` where the tokenizer
    gives them and the model has more than one, and ``word_ids`` for the parser. The outputs are ``logits``,
    ``start_logits`` and ``end_logits``, ``arc_logits`` and ``relation_logits``, or ``last_hidden_state``.

    Args:
        model: in eval mode, on the CPU, float32.
        tokenizer: its own.
        file: where to write.
        metadata: what else the file says, by name.

    Raises:
        BistilError: a model that torch cannot export, or whose outputs are not the same in ONNX form.
    """
    if not fits(size := 4 * sum(values.numel() for values in model.parameters())):
        raise BistilError(
            f"{type(model).__name__} has {size / 1e9:.1f} GB of weights, and an ONNX file holds 2 GB. "
            "Export a smaller model, such as its student."
        )
    from bistil.exporting.tidy import tidied

    batches = example_batches(model, tokenizer)
    expected = [_run(model, batch) for batch in batches]
    outputs = next((names for names in OUTPUTS if all(name in expected[0] for name in names)), None)
    if outputs is None:
        raise BistilError(f"{type(model).__name__} returns {', '.join(expected[0])}. Export a model with logits.")
    inputs = tuple(batches[0])
    program = _exported(model, batches[0], outputs)
    written = tidied(program, _Positional.INNER)
    for name, value in (metadata or {}).items():
        written.metadata_props.add(key=name, value=value)
    file.write_bytes(written.SerializeToString())
    graph = Graph(file, inputs, outputs)
    _check(graph, type(model).__name__, batches, expected)
    return graph


def fits(size: int) -> bool:
    """Whether one ONNX file holds so many bytes of weights."""
    return size < _LARGEST


def _exported(model: Any, batch: Mapping[str, Tensor], outputs: tuple[str, ...]) -> Any:
    sizes = tuple(dict.fromkeys(range(values.dim()), torch.export.Dim.AUTO) for values in batch.values())
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of torchvision, which no encoder needs
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # and of constants that it leaves as they are
    with _attention_as_a_node(model):
        try:
            program = torch.onnx.export(
                _Positional(model, tuple(batch), outputs).eval(),
                tuple(batch.values()),
                input_names=tuple(batch),
                output_names=outputs,
                dynamic_shapes=(sizes,),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise BistilError(f"torch cannot export {type(model).__name__} to ONNX: {reason}") from error
    assert program is not None
    return program.model_proto


@contextmanager
def _attention_as_a_node(model: Any) -> Iterator[None]:
    """Families with an attention of their own, DeBERTa's, keep it, of which transformers would warn."""
    before, verbosity = model.config._attn_implementation, transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        model.set_attn_implementation(attention.NAME)
        yield
    finally:
        model.set_attn_implementation(before)
        transformers_logging.set_verbosity(verbosity)


def _run(model: Any, batch: Mapping[str, Tensor]) -> dict[str, Any]:
    with torch.inference_mode():
        outputs = model(**batch)
    return {name: values.numpy() for name, values in outputs.items() if isinstance(values, Tensor)}


def _input_names(model: Any, tokenizer: Any) -> list[str]:
    taken = inspect.signature(model.forward).parameters
    config = encoder(model).config
    names = ["input_ids", "attention_mask"]
    if (
        "token_type_ids" in taken
        and "token_type_ids" in tokenizer.model_input_names
        and (getattr(config, "type_vocab_size", 0) or 0) > 1
    ):
        names.append("token_type_ids")
    return [*names, *(["word_ids"] if "word_ids" in taken else [])]


def example_batches(model: Any, tokenizer: Any) -> list[dict[str, Tensor]]:
    """Inputs of a model by name: random tokens, and texts in four scripts."""
    return [*_random(model, tokenizer), _real(model, tokenizer)]


def _random(model: Any, tokenizer: Any) -> Iterator[dict[str, Tensor]]:
    """Batches of random tokens; the last row is padded in its second half."""
    config = encoder(model).config
    chance, longest = torch.Generator().manual_seed(0), most_tokens(config)
    for rows, length in _LENGTHS:
        length = min(length, longest)
        ids = torch.randint(config.vocab_size, (rows, length), generator=chance)
        mask = torch.ones_like(ids)
        mask[-1, (length + 1) // 2 :] = 0
        ids[mask == 0] = config.pad_token_id or 0
        words = torch.arange(length).expand(rows, length).add(1) // 2 - 1
        made = {"input_ids": ids, "attention_mask": mask, "token_type_ids": (words > 2).long()}
        made["word_ids"] = words.clamp(min=-1).masked_fill(mask == 0, -1)
        yield {name: made[name] for name in _input_names(model, tokenizer)}


def _real(model: Any, tokenizer: Any) -> dict[str, Tensor]:
    """A batch of texts in four scripts."""
    encoded = [tokenizer(text, truncation=True, max_length=most_tokens(encoder(model).config)) for text in _TEXTS]
    length = max(len(one["input_ids"]) for one in encoded)
    made = {name: torch.zeros(len(encoded), length, dtype=torch.long) for name in _input_names(model, tokenizer)}
    made["input_ids"] += encoder(model).config.pad_token_id or 0
    if "word_ids" in made:
        made["word_ids"] -= 1
    for row, one in enumerate(encoded):
        for name in made.keys() - {"word_ids"}:
            made[name][row, : len(one[name])] = torch.tensor(one[name])
        if "word_ids" in made:
            words = [-1 if word is None else word for word in one.word_ids()]
            made["word_ids"][row, : len(words)] = torch.tensor(words)
    return made


def _check(graph: Graph, name: str, batches: Sequence[Any], expected: Sequence[Mapping[str, Any]]) -> None:
    engine = OnnxEngine(graph.file, {})
    for batch, wanted in zip(batches, expected, strict=True):
        found = engine.run({input_name: values.numpy() for input_name, values in batch.items()})
        real = batch["attention_mask"].numpy() > 0
        for output in graph.outputs:
            apart = difference(found[output], wanted[output], real)
            if not apart <= _SAME:
                raise BistilError(
                    f"{output} of {name} differ by {apart:.2g} of their size in ONNX form, more than {_SAME:g}. "
                    "Report this with the versions of torch and onnxruntime."
                )


def difference(found: Any, expected: Any, real: Any) -> float:
    """The largest difference at real tokens [batch, tokens], as a share of the largest value.

    Example: ``difference([1.0, 2.1], [1.0, 2.0], …)`` is 0.05.
    """
    if found.shape != expected.shape:
        return float("inf")
    if found.shape[:2] == real.shape:
        found, expected = found[real], expected[real]
    finite = expected > np.finfo(np.float32).min  # the parser's heads that are no word
    if not (found[~finite] == expected[~finite]).all():
        return float("inf")
    largest = np.abs(expected[finite]).max(initial=1e-12)
    return float(np.abs(found - expected)[finite].max(initial=0) / largest)


class _Positional(nn.Module):
    """A model with inputs and outputs in order, as graphs have them."""

    INNER = "network"

    def __init__(self, model: nn.Module, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self._inputs, self._outputs = model, inputs, outputs

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        found = self.network(**dict(zip(self._inputs, values, strict=True)))
        return tuple(found[name] for name in self._outputs)
