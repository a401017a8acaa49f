"""How long a text an encoder takes."""

from typing import Any


def most_tokens(config: Any) -> int:
    """The most tokens that an encoder has positions for, special ones included: 512 for XLM-R.

    ``config`` has the values of the model's config.json as attributes.
    """
    positions: int = config.max_position_embeddings
    if config.model_type in ("roberta", "xlm-roberta"):  # they count positions from the padding index on
        positions -= config.pad_token_id + 1
    return positions
