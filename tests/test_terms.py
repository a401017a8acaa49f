"""Docs, help and messages use the field's terms: what they must not say, and what they say instead."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bistil.cli import app

ROOT = Path(__file__).parents[1]
# Pattern, a text that it is there to find, and the term to use.
BANNED = (
    (r"\bpass(es)? over (the|both|all|its)\b", "two passes over the data", "epochs"),
    (r"\b(\d|one|two|more) passes\b", "More passes of the student", "epochs"),
    (r"\blaxer\b", "the laxer scores", "lenient"),
    (r"\bwears?\b", "deltas that the teacher wears", "applied to"),
    (r"\bput(s|ting)? (it |them |all |everything )?back\b", "put all back", "rewind, restore"),
    (r"\bmove[ds]? (most|farthest)\b", "the weights that moved most", "largest changes"),
    (r"\b(call(s|ed)?|split|segmented)( \w+){0,4} otherwise\b", "Call a label otherwise", "rename, differently"),
    (r"\bsays? of (it|them)\b", "what the teacher says of it", "pseudo-labels"),
    (r"\bfollow(s|ed)? (the|a|its|their) teacher", "it follows the teacher", "match, learn from"),
    (r"(?<!dependency )(?<!spanning )\btrees\b", "tags, trees, entities", "dependency parsing"),
    (r"\b(tak(e|es|en|ing)) (it |them )?off\b", "taken off to the last bit", "removed"),
    (r"\bput(s|ting)? (it |them |a delta |deltas )?on (a|the|its) model\b", "put on a model", "applied to"),
    (r"\bhow sure\b", "How sure the differences are", "confidence intervals"),
    (r"\b\d+ a batch\b", "32 a batch", "batch size"),
    (r"\bdistils\b", "it distils", "distills"),
)
# Names of settings in measured tables, which are kept as they were measured.
_MEASURED = re.compile(r"blocks of \d+, \d+ a batch|\d+ blocks a batch")


def _pages() -> Iterator[tuple[str, str]]:
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def _help() -> Iterator[tuple[str, str]]:
    def commands(path: tuple[str, ...], command: object) -> Iterator[tuple[str, ...]]:
        yield path
        for name, inner in getattr(command, "commands", {}).items():
            yield from commands((*path, name), inner)

    for path in commands((), typer.main.get_command(app)):
        result = CliRunner().invoke(app, [*path, "--help"])
        assert result.exit_code == 0, path
        yield " ".join(("bistil", *path, "--help")), result.stdout


def _strings() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value
    for path in sorted((ROOT / "src").rglob("*.jinja")):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def _found(text: str) -> list[str]:
    plain = _MEASURED.sub("", " ".join(text.split()))
    return [
        f"{found.group()!r} (say: {instead})"
        for pattern, _, instead in BANNED
        for found in re.finditer(pattern, plain, re.IGNORECASE)
    ]


@pytest.mark.parametrize("texts", [_pages, _help, _strings], ids=["pages", "help", "strings"])
def test_public_texts_use_the_terms_of_the_field(texts):
    named = list(texts())
    assert len(named) > 5
    assert {where: found for where, text in named if (found := _found(text))} == {}


@pytest.mark.parametrize(("pattern", "text", "instead"), BANNED, ids=[instead for _, _, instead in BANNED])
def test_each_pattern_finds_what_it_is_for(pattern, text, instead):
    assert any(instead in found for found in _found(text)), pattern
    assert not _found("One forward and backward pass over dependency trees; the test passes.")
