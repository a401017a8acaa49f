"""A small bilingual model from scratch: the baseline without a teacher."""

from collections.abc import Callable

import torch
from transformers import AutoModelForMaskedLM, PreTrainedConfig, PreTrainedModel, TrainingArguments

from bistil.corpora.masked import MaskedBlocks
from bistil.training.trainer import ResumableTrainer


def train_from_scratch(
    config: PreTrainedConfig,
    blocks: MaskedBlocks,
    arguments: TrainingArguments,
    on_step: Callable[[int, float | None], None],
) -> PreTrainedModel:
    """A new encoder of this shape, trained by masked language modelling; the head is left behind.

    The seed of ``arguments`` fixes its random start (as BERT, Devlin et al. 2019, section 3.1, without pairs).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(arguments.seed)
        model = AutoModelForMaskedLM.from_config(config)
    ResumableTrainer(model=model, args=arguments, train_dataset=blocks, on_step=on_step).run()
    encoder: PreTrainedModel = model.base_model
    return encoder
