"""Links within the repository lead somewhere. `make docs` checks those of the site, too."""

from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.docs.pages import PAGES, ROOT, anchors, links


def broken(page: Path, link: str, root: Path = ROOT) -> str:
    """What is wrong with a link of a page, or nothing."""
    name, _, anchor = unquote(link).partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.is_relative_to(root):
        return f"{link} leads out of the repository"
    if not path.exists():
        return f"{link}: there is no {path.relative_to(root)}"
    if anchor and anchor not in anchors(path):
        return f"{link}: {path.name} has no heading for #{anchor}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_within_the_repository(page):
    inner = [link for link in links(page) if "://" not in link and not link.startswith("mailto:")]
    assert list(filter(None, (broken(page, link) for link in inner))) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a](#one)\n# One", ""),
        ("[a](#two)\n# One", "no heading for #two"),
        ("[a](b.md)", "there is no"),
        ("![a](a.png)", "there is no"),
        ("[a](#one-1)\n# One\n# `One`!", ""),
        ("[a](../../a.md)", "leads out"),
    ],
)
def test_broken_links_are_found(text, words, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    (link,) = links(page)
    found = broken(page, link, tmp_path)
    assert words in found
    assert bool(found) == bool(words)
