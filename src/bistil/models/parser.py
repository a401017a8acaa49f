"""The parser: an encoder of any family under a biaffine head, as a transformers model.

Importing this module makes ``AutoModel.from_pretrained(folder)`` load it; no remote code is needed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel, initialization
from transformers.utils import ModelOutput

from bistil.models import families, pretrained
from bistil.runtime.padding import IGNORED


class ParserConfig(PreTrainedConfig):
    """The encoder's own configuration, and the sizes of the head; ``id2label`` are the relations.

    ``dropout`` is that of the vectors of the head, in training.
    """

    model_type = "bistil-parser"
    sub_configs: ClassVar[dict[str, Any]] = {"encoder": AutoConfig}

    encoder: Any = None
    arc_size: int = 256
    relation_size: int = 128
    dropout: float = 0.33

    def __post_init__(self, **kwargs: Any) -> None:
        """Makes a configuration of what a file holds of the encoder's; transformers wants a default one, too.

        One that is given is copied: the line below sets the attention of all configurations inside anew, which
        must not befall that of a running encoder.
        """
        values = self.encoder.to_dict() if isinstance(self.encoder, PreTrainedConfig) else self.encoder or {}
        self.encoder = AutoConfig.for_model(**{"model_type": "bert", **values})
        super().__post_init__(**kwargs)


@dataclass
class ParserOutput(ModelOutput):
    """What a parser says of a batch; column 0 of the heads is the root, column h word h, words counted from 1.

    ``loss``: the cross-entropy of gold heads plus that of gold relations, a mean over words, in nats;
    ``arc_logits`` [batch, words, words + 1]: of each head, float32, the least finite number where there is no such
    word; ``relation_logits`` [batch, words, words + 1, relations]: of each relation, were that the head.
    """

    loss: Tensor | None = None
    arc_logits: Tensor | None = None
    relation_logits: Tensor | None = None


class BiaffineParser(PreTrainedModel):
    """An encoder under a biaffine head (Dozat and Manning 2017, "Deep biaffine attention").

    A word is the mean of its pieces, and the root is the state of the first token, as Glavaš and Vulić (2021)
    have it: it needs no parameter, and, other than a learned vector, it has seen the sentence. Example:
    ``BiaffineParser.from_pretrained("runs/basque/tasks/parsing")``.
    """

    config_class = ParserConfig
    base_model_prefix = "encoder"
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True  # the encoder says itself what it can

    def __init__(self, config: ParserConfig, encoder: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.encoder = encoder or AutoModel.from_config(config.encoder, **without_pooler(config.encoder))
        self.config.encoder = self.encoder.config  # one and the same, so that what changes in one does in both
        self._supports_attention_backend = self.encoder._supports_attention_backend
        width = config.encoder.hidden_size
        self.arc_dependents = _Projection(width, config.arc_size, config.dropout)
        self.arc_heads = _Projection(width, config.arc_size, config.dropout)
        self.relation_dependents = _Projection(width, config.relation_size, config.dropout)
        self.relation_heads = _Projection(width, config.relation_size, config.dropout)
        self.arcs = _Biaffine(config.arc_size, 1)
        self.relations = _Biaffine(config.relation_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        word_ids: Tensor,
        heads: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> ParserOutput:
        """Scores of all heads and relations of a batch, and their loss where gold is given.

        ``word_ids`` [batch, tokens]: the number, from 0, of the word a piece belongs to, −1 for special tokens and
        padding; ``heads`` [batch, words]: numbers of words counted from 1, 0 for the root; ``labels`` [batch,
        words]: numbers of relations. A head or label of −100 does not count. Example: "Evdeki kedi" in the pieces
        <s> Ev deki kedi </s> has the word_ids −1, 0, 0, 1, −1.
        """
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        words = torch.arange(word_ids.max().item() + 1, device=word_ids.device)
        own = word_ids[:, None, :] == words[:, None]  # [batch, words, tokens]
        pieces = own.sum(-1, keepdim=True)
        dependents = torch.bmm(own.to(states.dtype), states) / pieces.clamp(min=1).to(states.dtype)
        governors = torch.cat([states[:, :1], dependents], 1)

        arcs = self.arcs(self.arc_dependents(dependents), self.arc_heads(governors))[..., 0].float()
        real = F.pad(pieces[..., 0] > 0, (1, 0), value=True)
        arcs = arcs.masked_fill(~real[:, None], torch.finfo(arcs.dtype).min)
        relations = self.relations(self.relation_dependents(dependents), self.relation_heads(governors))
        loss = None
        if heads is not None and labels is not None:
            at_head = heads.clamp(min=0)[..., None, None]
            loss = _cross_entropy(arcs, heads)
            loss = loss + _cross_entropy(torch.take_along_dim(relations, at_head, 2)[:, :, 0], labels)
        return ParserOutput(loss=loss, arc_logits=arcs, relation_logits=relations)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, _Biaffine):
            initialization.normal_(module.weight, std=0.02)


class _Projection(nn.Sequential):
    """A vector for one of the parts that a word plays: one layer, as in Dozat and Manning (2017)."""

    def __init__(self, width: int, size: int, dropout: float) -> None:
        super().__init__(nn.Linear(width, size), nn.LeakyReLU(0.1), nn.Dropout(dropout))


class _Biaffine(nn.Module):
    """For every pair of a dependent d and a head h the products (d ⊕ 1)ᵀ W (h ⊕ 1), one for each output."""

    def __init__(self, size: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, size + 1, size + 1))

    def forward(self, dependents: Tensor, heads: Tensor) -> Tensor:
        """[batch, words, size] and [batch, words + 1, size] give [batch, words, words + 1, outputs]."""
        dependents, heads = (F.pad(vectors, (0, 1), value=1.0) for vectors in (dependents, heads))
        turned = torch.einsum("bwd,ode->bowe", dependents, self.weight)
        return torch.matmul(turned, heads[:, None].mT).movedim(1, -1)


def new_parser(encoder: Path, relations: tuple[str, ...]) -> BiaffineParser:
    """The encoder of a transformers folder, without pooler and dropout of attention, under a new random head."""
    config = pretrained.config(encoder)
    options = without_pooler(config) | families.without_dropout(config, of="attention")
    network = pretrained.model(AutoModel, encoder, dtype=torch.float32, **options)
    network.config.name_or_path = ""  # which would be saved
    return BiaffineParser(
        ParserConfig(
            encoder=network.config,
            id2label=dict(enumerate(relations)),
            label2id={relation: number for number, relation in enumerate(relations)},
            dtype=torch.float32,
        ),
        network,
    )


def without_pooler(config: PreTrainedConfig) -> dict[str, bool]:
    """The option that leaves out the pooler, for families whose encoders may carry one."""
    return {"add_pooling_layer": False} if families.family(config).pooler else {}


def _cross_entropy(logits: Tensor, gold: Tensor) -> Tensor:
    """The mean over what counts; 0 where nothing does."""
    loss = F.cross_entropy(logits.flatten(0, 1).float(), gold.flatten(), ignore_index=IGNORED, reduction="sum")
    return loss / gold.ne(IGNORED).sum().clamp(min=1)


AutoConfig.register(ParserConfig.model_type, ParserConfig)
AutoModel.register(ParserConfig, BiaffineParser)
