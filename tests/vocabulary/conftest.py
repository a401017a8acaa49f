import pytest
from transformers import PreTrainedTokenizerFast

from layouts import layouts, sample  # noqa: F401  (fixtures)

LAYOUTS = ("xlm_roberta", "mbert", "mdeberta", "mmbert", "modernbert", "eurobert")


@pytest.fixture(params=LAYOUTS)
def tokenizer(request, layouts) -> PreTrainedTokenizerFast:  # noqa: F811
    return layouts[request.param]
