"""The Markdown pages of the repository: their code blocks, links and anchors."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
)
_LINKS = ("link_open", "image")
_NOT_RUN = re.compile(r"<!-- not run:(.*?)-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced code block: its language, text, first line of text, and why it is not run (None: it is)."""

    language: str
    text: str
    line: int
    not_run: str | None


@cache
def tokens(page: Path) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")))


def blocks(page: Path) -> list[Block]:
    """All code blocks of a page, in order. An HTML comment right above one may say why it is not run."""
    found: list[Block] = []
    above = None
    for token in tokens(page):
        if token.type == "fence":
            reason = _NOT_RUN.fullmatch(above.content.strip()) if above and above.type == "html_block" else None
            line = token.map[0] + 2 if token.map else 0
            language = token.info.split()[0] if token.info else ""
            found.append(Block(language, token.content, line, reason and reason[1].strip()))
        above = token
    return found


def links(page: Path) -> list[str]:
    """Where the links and pictures of a page lead."""
    inner = [child for token in tokens(page) for child in token.children or ()]
    return [str(token.attrs.get("href") or token.attrs.get("src")) for token in inner if token.type in _LINKS]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    every = tokens(page)
    titles = [every[at + 1] for at, token in enumerate(every) if token.type == "heading_open"]
    seen: Counter[str] = Counter()
    found = set()
    for title in titles:
        text = "".join(child.content for child in title.children or ())
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found
