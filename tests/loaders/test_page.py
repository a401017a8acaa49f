"""Every block of docs/loaders.md is run by one of the tests here."""

import re
from pathlib import Path

import pytest
from tests.docs.pages import blocks
from tests.loaders.snippets import MARKS, PAGE, snippet


def test_every_block_is_known():
    assert sorted(map(snippet, MARKS)) == sorted(block.text for block in blocks(PAGE))


@pytest.mark.parametrize("name", MARKS)
def test_every_block_is_run(name):
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert re.search(rf'"{re.escape(name)}"', tests)
