"""A tokenizer and a model cut down to some of their token ids."""

import copy
import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bistil.errors import BistilError
from bistil.vocabulary.bpe import Bpe
from bistil.vocabulary.count import Counts
from bistil.vocabulary.select import Ids
from bistil.vocabulary.unigram import Unigram
from bistil.vocabulary.wordpiece import WordPiece

KINDS: dict[str, type[Unigram | WordPiece | Bpe]] = {"Unigram": Unigram, "WordPiece": WordPiece, "BPE": Bpe}


def check_pair(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Raises `BistilError` for a tokenizer that cannot be trimmed, or that is not the model's own."""
    _kind(_specification(tokenizer))
    tokens = max(tokenizer.backend_tokenizer.get_vocab().values()) + 1
    rows = len(model.get_input_embeddings().weight)
    padding = tokenizer.pad_token_id
    # Not the config: multilingual-E5-small's says 0, which is <s>, and no harm comes of it.
    expected = _position_padding(model)
    if rows < tokens:
        found = f"the model's embedding has {rows} rows, but the tokenizer has {tokens} tokens"
    elif rows > 2 * tokens:  # some rows more are usual, to have a round number
        found = f"the model's embedding has {rows} rows, but the tokenizer only {tokens} tokens"
    elif expected is not None and padding != expected:
        found = f"the model counts positions from the padding id {expected}, but the tokenizer pads with {padding}"
    else:
        return
    raise BistilError(f"The model and the tokenizer do not belong together: {found}. Give those of one folder.")


def special_ids(tokenizer: PreTrainedTokenizerFast) -> set[int]:
    """Ids that are kept always: special and added tokens, what frames a sequence, the unknown token."""
    unknown = _kind(_specification(tokenizer)).unknown
    backend = tokenizer.backend_tokenizer
    # Not `added_tokens_decoder`: the backend alone is sure to know every added token.
    added = backend.get_added_tokens_decoder().keys()
    frame = backend.encode("", "").ids
    return {*added, *frame, *tokenizer.all_special_ids, *([] if unknown is None else [unknown])}


def closure(tokenizer: PreTrainedTokenizerFast, counts: Counts) -> Callable[[Iterable[int]], set[int]]:
    """A function that tells what must stay beside some kept tokens, which may be in it too.

    So that no text of these counts gains an unknown token, and every kept token can still be the outcome. Where
    the vocabulary has no unknown token, all characters that it can read stay: another would be an error, or lost.
    The closure of two sets of tokens is the union of theirs. Example: a BPE vocabulary that writes ``the``
    by the merges ``t h`` and ``th e`` needs ``t``, ``h``, ``e`` and ``th`` for it.
    """
    kind = _kind(_specification(tokenizer))
    special = special_ids(tokenizer)  # the letters of "<unk>" are no text
    readable = np.flatnonzero(counts).tolist() if kind.unknown is not None else kind.vocabulary.values()
    required = kind.required(set(readable) - special)
    parts = cache(kind.parts)
    return lambda kept: required.union(*map(parts, set(kept) - special))


def trim_tokenizer(tokenizer: PreTrainedTokenizerFast, ids: Ids) -> PreTrainedTokenizerFast:
    """The tokenizer with only the tokens `ids`, ascending: the new id of a token is its rank there.

    Text whose tokens are all kept is segmented as before. `ids` must contain `special_ids`.
    """
    specification = _specification(tokenizer)
    rank = {old: new for new, old in enumerate(ids.tolist())}
    if lost := special_ids(tokenizer) - rank.keys():
        raise BistilError(f"Special tokens cannot be trimmed away: keep the ids {sorted(lost)}.")
    specification["model"] = _kind(specification).trim(ids)
    for token in specification["added_tokens"]:
        token["id"] = rank[token["id"]]
    # What the last call left there; every call of a transformers tokenizer sets both anew.
    specification["padding"] = specification["truncation"] = None
    if specification["post_processor"]:
        _renumber(specification["post_processor"], rank)
    backend = Tokenizer.from_str(json.dumps(specification))
    trimmed = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **tokenizer.special_tokens_map,
        extra_special_tokens=tokenizer.extra_special_tokens,
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        clean_up_tokenization_spaces=tokenizer.clean_up_tokenization_spaces,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
    )
    if trimmed.convert_ids_to_tokens(range(len(ids))) != tokenizer.convert_ids_to_tokens(ids.tolist()):
        raise BistilError(
            "The tokenizer's added tokens do not keep their order when it is trimmed. "
            "Give them ids directly after the vocabulary."
        )
    return trimmed


def trim_model(model: PreTrainedModel, ids: Ids) -> PreTrainedModel:
    """A copy of the model whose embedding (and language-modelling head) has only the rows `ids`.

    All other weights are equal to the model's; token ids in the config are updated.
    Raises `BistilError` where the model has fewer rows than the tokenizer has ids.
    """
    embedding = model.get_input_embeddings()
    rows = len(embedding.weight)
    if int(ids[-1]) >= rows:
        raise BistilError(
            f"The model's embedding has {rows} rows, but the tokenizer has the token id {ids[-1]}. "
            "Give a model and a tokenizer that belong together."
        )
    index = torch.from_numpy(ids).to(embedding.weight.device)
    head = model.get_output_embeddings()
    by_token = [embedding.weight]
    if head is not None:
        # BERT's and RoBERTa's heads have a second bias beside the decoder's, tied to it or not.
        parent = next(module for module in model.modules() if head in module.children())
        beside = [*head.parameters(), *parent.parameters(recurse=False)]
        # DeBERTa's newer head has a layer of its own size in this place, and uses the embedding itself.
        by_token += [parameter for parameter in beside if len(parameter) == rows]
    # A copy with these parameters exchanged wherever they are used keeps tied ones tied.
    trimmed = copy.deepcopy(
        model, {id(old): torch.nn.Parameter(old.detach()[index], old.requires_grad) for old in by_token}
    )
    rank = {old: new for new, old in enumerate(ids.tolist())}
    words = trimmed.get_input_embeddings()
    words.num_embeddings = len(ids)
    words.padding_idx = rank.get(words.padding_idx)
    padding = _position_padding(model)
    if padding is not None and rank.get(padding) != padding:
        raise BistilError("The padding token would move; keep all token ids below it.")
    if head is not None:
        trimmed.get_output_embeddings().out_features = len(trimmed.get_output_embeddings().weight)
    trimmed.config.vocab_size = len(ids)
    for config in (trimmed.config, getattr(trimmed, "generation_config", None)):
        for name, value in config.to_dict().items() if config is not None else ():
            if name.endswith(("_token_id", "suppress_tokens")) and value is not None:
                setattr(config, name, _renumbered(value, rank))
    return trimmed


def _position_padding(model: PreTrainedModel) -> int | None:
    """RoBERTa counts positions from the padding id, so that it must not move; None for other models."""
    words = model.get_input_embeddings()
    others = (
        module for module in model.modules() if isinstance(module, torch.nn.Embedding) and module is not words
    )
    return next((module.padding_idx for module in others if module.padding_idx is not None), None)


def _renumbered(value: int | list[int], rank: dict[int, int]) -> int | list[int] | None:
    """The new ids of those tokens of a config that are still there."""
    if isinstance(value, int):
        return rank.get(value)
    return [rank[old] for old in value if old in rank] or None


def _specification(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    if not tokenizer.is_fast:
        raise BistilError(
            f"{type(tokenizer).__name__} is a slow tokenizer, which cannot be trimmed. "
            "Give one that has a tokenizer.json."
        )
    specification: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return specification


def _kind(specification: dict[str, Any]) -> Unigram | WordPiece | Bpe:
    kind = specification["model"]["type"]
    if kind not in KINDS:
        raise BistilError(
            f"Tokenizers of the kind {kind} cannot be trimmed. "
            f"Give a teacher with a tokenizer of the kind {', '.join(KINDS)}."
        )
    return KINDS[kind](specification)


def _renumber(processor: dict[str, Any], rank: dict[int, int]) -> None:
    match processor["type"]:
        case "Sequence":
            for part in processor["processors"]:
                _renumber(part, rank)
        case "TemplateProcessing":
            for token in processor["special_tokens"].values():
                token["ids"] = [rank[old] for old in token["ids"]]
        case "BertProcessing" | "RobertaProcessing":
            for end in ("sep", "cls"):
                token, old = processor[end]
                processor[end] = [token, rank[old]]
