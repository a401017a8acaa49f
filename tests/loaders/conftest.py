"""The families, each made when a test first asks for it."""

from functools import cache

import pytest
from tests import tiny
from tests.loaders.folders import FAMILIES, Family
from tokenizers import Regex, normalizers, pre_tokenizers

from layouts import layouts, sample  # noqa: F401  (fixtures)


@pytest.fixture(scope="session")
def families(tiny_encoder, layouts, tiny_lines, tmp_path_factory):  # noqa: F811
    """A function from a family's name to its models."""

    @cache
    def of(name: str) -> Family:
        kind, layout = FAMILIES[name]
        tokenizer = e5(tiny_lines) if layout == "e5" else layouts[layout]
        return Family(tmp_path_factory.mktemp(name.replace(" ", "-")), kind, tokenizer, tiny_encoder)

    return of


def e5(lines):
    """As the bundled teacher's: with Nmt, and no words before Metaspace."""
    made = tiny.tokenizer(lines)
    steps = [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    made.backend_tokenizer.normalizer = normalizers.Sequence(steps)
    made.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    return made
