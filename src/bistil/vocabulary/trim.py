"""A tokenizer and a model cut down to some of their token ids."""

import copy
import json
from types import ModuleType
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bistil.errors import BistilError
from bistil.vocabulary import unigram
from bistil.vocabulary.count import Counts
from bistil.vocabulary.select import Ids

KINDS: dict[str, ModuleType] = {"Unigram": unigram}


def special_ids(tokenizer: PreTrainedTokenizerFast) -> set[int]:
    """Ids that are kept always: special tokens, tokens added by the user, the unknown token."""
    # Not `added_tokens_decoder`: the backend alone is sure to know every added token.
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    return added.keys() | set(tokenizer.all_special_ids)


def closure_ids(tokenizer: PreTrainedTokenizerFast, counts: Counts) -> set[int]:
    """Ids without which the text of these counts could gain an unknown token."""
    model = _specification(tokenizer)["model"]
    counts = counts.copy()
    counts[list(special_ids(tokenizer))] = 0  # the letters of "<unk>" are no text
    closure: set[int] = KINDS[model["type"]].closure(model, counts)
    return closure


def trim_tokenizer(tokenizer: PreTrainedTokenizerFast, ids: Ids) -> PreTrainedTokenizerFast:
    """The tokenizer with only the tokens `ids`, ascending: the new id of a token is its rank there.

    Text whose tokens are all kept is segmented as before. `ids` must contain `special_ids`.
    """
    specification = _specification(tokenizer)
    rank = {old: new for new, old in enumerate(ids.tolist())}
    if lost := special_ids(tokenizer) - rank.keys():
        raise BistilError(f"Special tokens cannot be trimmed away: keep the ids {sorted(lost)}.")
    model = specification["model"]
    specification["model"] = KINDS[model["type"]].trim(model, ids)
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
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
    )
    if trimmed.convert_ids_to_tokens(range(len(ids))) != tokenizer.convert_ids_to_tokens(ids.tolist()):
        raise BistilError(
            "The tokenizer's added tokens do not keep their order when it is trimmed. "
            "Give them ids that directly follow the vocabulary."
        )
    return trimmed


def trim_model(model: PreTrainedModel, ids: Ids) -> PreTrainedModel:
    """A copy of the model whose embedding (and language-modelling head) has only the rows `ids`.

    All other weights are equal to the model's; token ids in the config follow.
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
        by_token += [*head.parameters(), *parent.parameters(recurse=False)]
    # A copy with these parameters exchanged wherever they are used keeps tied ones tied.
    trimmed = copy.deepcopy(
        model, {id(old): torch.nn.Parameter(old.detach()[index], old.requires_grad) for old in by_token}
    )
    rank = {old: new for new, old in enumerate(ids.tolist())}
    words = trimmed.get_input_embeddings()
    words.num_embeddings = len(ids)
    if words.padding_idx is not None:
        words.padding_idx = rank[words.padding_idx]
    for module in trimmed.modules():
        # RoBERTa counts positions from the padding id, so that it must not move.
        padding = module.padding_idx if isinstance(module, torch.nn.Embedding) else None
        if padding is not None and module is not words and rank[padding] != padding:
            raise BistilError("The padding token would move; keep all token ids below it.")
    if head is not None:
        trimmed.get_output_embeddings().out_features = len(ids)
    trimmed.config.vocab_size = len(ids)
    for config in (trimmed.config, getattr(trimmed, "generation_config", None)):
        for name, value in config.to_dict().items() if config is not None else ():
            if name.endswith("_token_id") and value is not None:
                new = [rank.get(old) for old in value] if isinstance(value, list) else rank.get(value)
                setattr(config, name, new)
    return trimmed


def _specification(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    specification: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = specification["model"]["type"]
    if kind not in KINDS:
        raise BistilError(
            f"Tokenizers of the kind {kind} cannot be trimmed yet. "
            f"Give a teacher with a tokenizer of the kind {' or '.join(KINDS)}."
        )
    return specification


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
